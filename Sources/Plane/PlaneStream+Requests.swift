import Logging
import MeshModel
import Platform
import Reactor

/// Questions and answers over a stream.
extension PlaneStream {
    /// Asks the peer and waits for its answer.
    ///
    /// - Throws: the peer's refusal (source `peer`), `plane_request_timeout`, `plane_too_many_requests`, what `send` throws, or why the stream ended
    ///   meanwhile.
    package func request(_ type: FrameType, _ payload: [UInt8], timeout: Duration) async throws(MeshError) -> Frame {
        let result: Result<Frame, MeshError> = await withCheckedContinuation { waiter in ask(type, payload, timeout, waiter) }
        return try result.get()
    }

    private func ask(_ type: FrameType, _ payload: [UInt8], _ timeout: Duration, _ waiter: CheckedContinuation<Result<Frame, MeshError>, Never>) {
        guard asked.count < settings.maxPendingRequests else {
            return waiter.resume(
                returning: .failure(
                    MeshError(
                        .internal, code: "plane_too_many_requests", "\(asked.count) questions to \(name) wait for an answer already",
                        remedy: "is that node overloaded?",
                        retryable: true)))
        }
        let number = nextNumber
        nextNumber += 1
        let timer = ControlLoop.shared.after(timeout) { [weak self] in
            guard let self else { return }
            settle(
                number,
                .failure(
                    MeshError(
                        .peer, code: "plane_request_timeout", "\(name) did not answer within \(timeout)", remedy: "is that node overloaded?",
                        retryable: true)))
        }
        asked[number] = (waiter, timer)
        do {
            try send(Frame(.request, Envelope(number: number, type: type, payload: payload).encode()))
        } catch {
            settle(number, .failure(error))
        }
    }

    /// False when nobody waits for it.
    @discardableResult
    func settle(_ number: UInt64, _ result: Result<Frame, MeshError>) -> Bool {
        guard let entry = asked.removeValue(forKey: number) else { return false }
        ControlLoop.shared.cancel(entry.timer)
        entry.waiter.resume(returning: result)
        return true
    }

    // MARK: What the peer says

    func answered(_ frame: Frame) {
        guard let envelope = Envelope(frame.payload) else { return countUnknown(frame.type) }
        let result: Result<Frame, MeshError> =
            frame.type == .response
            ? .success(Frame(envelope.type, envelope.payload, version: frame.version))
            : .failure(
                Envelope.decodeError(envelope.payload) ?? MeshError(.peer, code: "plane_refused", "\(name) refused the question and did not say why"))
        if !settle(envelope.number, result) { counters.lateResponses &+= 1 }
    }

    func serve(_ frame: Frame) {
        guard let question = Envelope(frame.payload) else { return countUnknown(frame.type) }
        guard let answerer = answerers[question.type] else {
            countUnknown(question.type)
            return refuse(
                question,
                MeshError(
                    .peer, code: "plane_unsupported", "this node answers no questions of type \(question.type)",
                    remedy: "is its version of Weft older?"))
        }
        guard serving < settings.maxServedRequests else {
            counters.busyRequests &+= 1
            return refuse(
                question, MeshError(.peer, code: "plane_busy", "this node works on \(serving) questions of this peer already", retryable: true))
        }
        serving += 1
        Task { @Control in
            defer { serving -= 1 }
            do throws(MeshError) {
                let payload = try await answerer(Frame(question.type, question.payload, version: frame.version))
                reply(.response, question, payload)
            } catch {
                refuse(question, error)
            }
        }
    }

    private func refuse(_ question: Envelope, _ error: MeshError) { reply(.failure, question, Envelope.encode(error)) }

    private func reply(_ type: FrameType, _ question: Envelope, _ payload: [UInt8]) {
        do {
            try send(Frame(type, Envelope(number: question.number, type: question.type, payload: payload).encode()))
        } catch {
            logger.debug("answer not sent", metadata: ["peer": "\(name)", "reason": "\(error)"])
        }
    }
}
