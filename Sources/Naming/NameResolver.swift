import MeshModel
import Platform

/// Decides what becomes of a query: answered from the table, refused, or forwarded. Pure: no socket, no clock.
///
/// Zones `weft` and `mesh` and the reverse zones of the virtual networks are Weft's own: a name in them that no service has does not
/// exist. Outside of them only names that are services are answered, and everything else belongs to the host's resolvers.
package struct NameResolver: Sendable {
    package enum Decision: Equatable, Sendable {
        case answer([UInt8], Kind)
        /// Not ours: the host's resolvers get it as it is.
        case forward
        /// An answer that says no.
        case refuse([UInt8])
    }
    package enum Kind: Equatable, Sendable { case data, noData, nameError, truncated }

    /// Seconds, at most 5: a service's address never changes, but whether it exists does.
    package let ttl: UInt32
    private let searchDomains: [[String]]

    /// - Parameter searchDomains: the host's; a query for a service under one of them is taken as one for the bare name.
    package init(ttl: Duration = .seconds(5), searchDomains: [String] = []) {
        self.ttl = UInt32(clamping: max(0, min(5, ttl.components.seconds)))
        self.searchDomains = searchDomains.map { $0.lowercased().split(separator: ".").map(String.init) }.filter { !$0.isEmpty }
    }

    /// - Parameters:
    ///   - callerNamespace: who asks; evaluated only when the answer depends on it. Nil, an unknown caller, gets only names of our own zones.
    ///   - limit: the most bytes of an answer: `query.udpLimit`, or 65,535 over TCP.
    package func answer(_ query: DNSQuery, callerNamespace: @autoclosure () -> String?, table: NameTable, limit: Int) -> Decision {
        let internet: UInt16 = 1
        let anyClass: UInt16 = 255
        guard query.recordClass == internet || query.recordClass == anyClass else { return .forward }
        let found = find(query.labels, callerNamespace, table)
        if case .notOurs = found { return .forward }
        if let edns = query.edns, edns.version != 0 {
            return .refuse(DNSWriter(query, limit: limit).finished(.badVersion, authoritative: false).bytes)
        }
        if query.type == .axfr || query.type == .ixfr { return .refuse(DNSWriter(query, limit: limit).finished(.refused).bytes) }
        return respond(query, found, table, limit)
    }

    /// Whether some table could have the name: all that can be said before the first one is there.
    package func mayBeOurs(_ query: DNSQuery) -> Bool {
        func fits(_ labels: [String]) -> Bool {
            let forms = NameForms(labels)
            return Self.ownZone(labels) != nil || (!forms.candidates.isEmpty && !forms.isCommon)
        }
        return fits(query.labels)
            || searchDomains.contains {
                query.labels.count > $0.count && query.labels.suffix($0.count) == $0[...] && fits(Array(query.labels.dropLast($0.count)))
            }
    }

    // MARK: Which name

    enum Found: Equatable {
        /// A service or a version of it by a name of its own, `zone` being the zone of ours that it was asked in.
        case service(Owner, zone: [String]?)
        /// `_port._tcp` before a service's name; nil: a port by a name, which any service has.
        case port(Owner, UInt16?, zone: [String]?)
        case reverse(Owner, zone: [String])
        case apex([String])
        /// Exists, since names below it do, but has no records.
        case empty(zone: [String]?)
        case nonexistent(zone: [String])
        case notOurs
    }

    func find(_ labels: [String], _ who: () -> String?, _ table: NameTable) -> Found {
        // Who asks costs a question to the kernel: one for each query at most.
        var known: String??
        func caller() -> String? {
            if let known { return known }
            let answer = who()
            known = .some(answer)
            return answer
        }
        if let zone = Self.ownZone(labels) { return findOwn(labels, zone, caller, table) }
        if let found = findBare(labels, caller, table) { return found }
        for domain in searchDomains where labels.count > domain.count && labels.suffix(domain.count) == domain[...] {
            let rest = Array(labels.dropLast(domain.count))
            // `reviews.default.weft.corp.example.com`: a resolver with a high ndots asks this first.
            if let zone = Self.ownZone(rest) {
                switch findOwn(rest, zone, caller, table) {
                case .service(let name, _): return .service(name, zone: nil)
                case .port(let name, let port, _): return .port(name, port, zone: nil)
                case .reverse, .apex, .empty, .nonexistent, .notOurs: continue
                }
            }
            if let found = findBare(rest, caller, table) { return found }
        }
        return .notOurs
    }

    /// Zones that are Weft's alone.
    static let zones = [["weft"], ["mesh"]] + Reverse.zones

    private static func ownZone(_ labels: [String]) -> [String]? { zones.first { labels.count >= $0.count && labels.suffix($0.count) == $0[...] } }

    private func findOwn(_ labels: [String], _ zone: [String], _ caller: () -> String?, _ table: NameTable) -> Found {
        if labels.count == zone.count { return .apex(zone) }
        if zone.last == "arpa" { return Reverse.find(labels, zone, table) }
        var parts = Array(labels.dropLast(zone.count))
        if zone == ["mesh"] {
            guard parts.popLast() == "svc" else { return .nonexistent(zone: zone) }
            if parts.isEmpty { return .empty(zone: zone) }
        }
        let forms = NameForms(ownZone: parts, needsNamespace: zone == ["mesh"])
        if let owner = owner(forms.candidates, table, caller: caller) { return Self.with(forms.prefix, owner, zone, table) }
        if parts.count == 1, table.namespaces.contains(parts[0]) { return .empty(zone: zone) }
        return .nonexistent(zone: zone)
    }

    /// Names outside our zones, for callers that are known. Nil when no service has it.
    private func findBare(_ labels: [String], _ caller: () -> String?, _ table: NameTable) -> Found? {
        let forms = NameForms(labels)
        guard let owner = owner(forms.candidates, table, caller: caller), caller() != nil else { return nil }
        let found = Self.with(forms.prefix, owner, nil, table)
        if case .nonexistent = found { return nil }
        return found
    }

    /// The first candidate that exists. Who asks is looked at for no name that no service has.
    private func owner(_ candidates: [NameForms.Candidate], _ table: NameTable, caller: () -> String?) -> Owner? {
        for candidate in candidates {
            guard table.names.contains(candidate.name), candidate.version.map(table.versions.contains) ?? true,
                let namespace = candidate.namespace ?? caller(), let service = ServiceName(candidate.name, namespace: namespace)
            else { continue }
            let owner = Owner(service, version: candidate.version)
            if table[owner] != nil { return owner }
        }
        return nil
    }

    private static func with(_ prefix: [String], _ name: Owner, _ zone: [String]?, _ table: NameTable) -> Found {
        switch prefix.count {
        case 0: return .service(name, zone: zone)
        case 1 where prefix[0] == "_tcp": return .empty(zone: zone)
        case 2 where prefix[1] == "_tcp":
            guard let number = UInt16(prefix[0].dropFirst()) else { return .port(name, nil, zone: zone) }
            if table[name]?.ports.contains(number) == true { return .port(name, number, zone: zone) }
        default: break
        }
        return .nonexistent(zone: zone ?? [])
    }

    // MARK: The answer

    private func respond(_ query: DNSQuery, _ found: Found, _ table: NameTable, _ limit: Int) -> Decision {
        var writer = DNSWriter(query, limit: limit)
        var hasData = false
        func addresses(_ name: Owner) {
            guard let entry = table[name] else { return }
            if query.type == .a || query.type == .any, let address = entry.v4 {
                writer.answer(.question, .a, ttl: ttl, address.bytes)
                hasData = true
            }
            if query.type == .aaaa || query.type == .any, let address = entry.v6 {
                writer.answer(.question, .aaaa, ttl: ttl, address.bytes)
                hasData = true
            }
        }
        func ports(_ name: Owner, only port: UInt16?) {
            guard query.type == .srv, let entry = table[name], !entry.ports.isEmpty else { return }
            let target = name.fullName
            for number in entry.ports where port == nil || port == number {
                writer.answer(.question, .srv, ttl: ttl, DNSWriter.srv(port: number, target: target))
            }
            if let address = entry.v4 { writer.additional(.name(target), .a, ttl: ttl, address.bytes) }
            if let address = entry.v6 { writer.additional(.name(target), .aaaa, ttl: ttl, address.bytes) }
            hasData = true
        }
        var zone: [String]?
        var code = DNSCode.success
        switch found {
        case .service(let name, let own):
            zone = own
            addresses(name)
            ports(name, only: nil)
        case .port(let name, let port, let own):
            zone = own
            ports(name, only: port)
        case .reverse(let name, let own):
            zone = own
            if query.type == .ptr || query.type == .any {
                writer.answer(.question, .ptr, ttl: ttl, DNSWriter.name(name.fullName))
                hasData = true
            }
        case .apex(let own):
            zone = own
            if query.type == .soa || query.type == .any {
                writer.answer(.question, .soa, ttl: ttl, DNSWriter.soa(zone: own, ttl: ttl))
                hasData = true
            }
        case .empty(let own): zone = own
        case .nonexistent(let own):
            zone = own
            code = .nameError
        case .notOurs: preconditionFailure("a name that is not ours has no answer")
        }
        if !hasData {
            // A name outside our zones is its own zone's top: there is no other that we could speak for.
            let owner: DNSWriter.Owner = zone.map { .name($0) } ?? .question
            writer.authority(owner, .soa, ttl: ttl, DNSWriter.soa(zone: zone ?? ["weft"], ttl: ttl))
        }
        let message = writer.finished(code)
        return .answer(message.bytes, message.truncated ? .truncated : hasData ? .data : code == .nameError ? .nameError : .noData)
    }
}
