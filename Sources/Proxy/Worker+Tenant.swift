import Platform
import Reactor
import Traffic

/// Whose limits a flow counts against, and what it costs its namespace.
///
/// A flow is charged for the larger of its window and its stash in each direction, for its pipes, and for what callers charge here. All of it goes back once, in
/// `leaveTenant`.
extension Worker {
    /// Takes a flow into its namespace. False when a limit of the namespace, or of the node, is reached: the flow is finished with the reason.
    func admit(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, to tenant: TenantID) -> Bool {
        flow.pointee.tenant = tenant
        if let refusal = tenants.enter(tenant, of: settings.limits.nodeFlows, at: now) {
            finish(slot, flow, refusal)
            return false
        }
        flow.pointee.admitted = true
        return true
    }

    /// Gives back what the flow has of its namespace. `finish` calls it, after the flow's buffers are gone.
    func leaveTenant(_ flow: UnsafeMutablePointer<Flow>) {
        guard flow.pointee.admitted else { return }
        flow.pointee.admitted = false
        let rest = flow.pointee.charged + flow.pointee.up.prepaid + flow.pointee.down.prepaid
        if rest > 0 { tenants.entry(flow.pointee.tenant).pointee.discharge(rest) }
        tenants.leave(flow.pointee.tenant)
    }

    /// Charges the flow's namespace. False when its bound would be exceeded: nothing is charged then, and nothing counted (see `refuseMemory`).
    /// - Parameter spare: for what can be done without: it leaves a quarter of the bound for what can't.
    func charge(_ flow: UnsafeMutablePointer<Flow>, _ bytes: Int, spare: Bool = false) -> Bool {
        guard tenants.entry(flow.pointee.tenant).pointee.charge(bytes, spare: spare) else { return false }
        flow.pointee.charged += bytes
        return true
    }

    /// Gives back what `charge` took, or a part of it.
    func discharge(_ flow: UnsafeMutablePointer<Flow>, _ bytes: Int) {
        flow.pointee.charged -= bytes
        tenants.entry(flow.pointee.tenant).pointee.discharge(bytes)
    }

    /// Ends a flow that can't go on without memory that its namespace has not, and counts it.
    func refuseMemory(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        tenants.entry(flow.pointee.tenant).pointee.count(.memory)
        finish(slot, flow, .namespaceMemoryLimit)
    }

    // MARK: Stashes and pipes

    /// Charges a stash that grows to `capacity`, as far as the window has not paid for it. False at the bound, which is counted.
    func chargeStash(_ half: Half, _ capacity: Int) -> Bool {
        let cost = max(capacity, half.prepaid) - half.cost
        if cost == 0 || tenants.entry(half.tenant).pointee.charge(cost, spare: false) { return true }
        tenants.entry(half.tenant).pointee.count(.memory)
        return false
    }

    /// Gives back what a stash of `capacity` cost more than one of `left` does.
    func dischargeStash(_ half: Half, _ capacity: Int, left: Int) {
        let cost = max(capacity, half.prepaid) - max(left, half.prepaid)
        if cost > 0 { tenants.entry(half.tenant).pointee.discharge(cost) }
    }

    /// For as long as a flow has a pipe it is charged with all that the pipe can hold: how much lies in it changes with every call.
    func chargePipe(_ half: Half) -> Bool { tenants.entry(half.tenant).pointee.charge(Pipe.capacity, spare: true) }
    func dischargePipe(_ half: Half) { tenants.entry(half.tenant).pointee.discharge(Pipe.capacity) }

    // MARK: Windows

    /// The window that a flow's new stream may have, charged. Nil when its namespace has not even the smallest left: `refuseMemory` ends the flow then.
    func openWindow(_ flow: UnsafeMutablePointer<Flow>) -> Int? {
        let window = tenants.entry(flow.pointee.tenant).pointee.initialWindow(most: settings.limits.streamWindow)
        if setWindow(flow, window, spare: window > StreamWindow.smallest) { return window }
        // Another worker was faster.
        return setWindow(flow, StreamWindow.smallest) ? StreamWindow.smallest : nil
    }

    /// The window from now on, after a round trip in which the application took `consumed` bytes of the stream. The caller advertises what it has grown by.
    func growWindow(_ flow: UnsafeMutablePointer<Flow>, consumed: Int) -> Int {
        let window = flow.pointee.window
        let next = StreamWindow.next(window, consumed: consumed)
        guard next > window, tenants.entry(flow.pointee.tenant).pointee.windowMayGrow(by: next - window) else { return window }
        return setWindow(flow, next, spare: true) ? next : window
    }

    /// The stream is over, or was never opened, and the flow goes on without its window.
    func closeWindow(_ flow: UnsafeMutablePointer<Flow>) { _ = setWindow(flow, 0) }

    private func setWindow(_ flow: UnsafeMutablePointer<Flow>, _ window: Int, spare: Bool = false) -> Bool {
        guard flow.pointee.direction == .tunnel ? prepay(&flow.pointee.up, window, spare) : prepay(&flow.pointee.down, window, spare) else { return false }
        flow.pointee.enough = window > 0 ? StreamWindow.most(of: window) : .max
        return true
    }

    private func prepay(_ half: inout Half, _ window: Int, _ spare: Bool) -> Bool {
        let change = max(window, half.stashCapacity) - half.cost
        if change > 0 {
            guard tenants.entry(half.tenant).pointee.charge(change, spare: spare) else { return false }
        } else if change < 0 {
            tenants.entry(half.tenant).pointee.discharge(-change)
        }
        half.prepaid = window
        return true
    }
}

extension NamespaceRefusal {
    /// As a flow ends by it.
    var end: FlowEnd {
        switch self {
        case .flows: .namespaceFlowLimit
        case .rate: .namespaceRateLimit
        case .memory: .namespaceMemoryLimit
        }
    }
}
