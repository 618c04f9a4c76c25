import MeshModel
import Settings

/// What the resources say, as far as this version understands them. Pure.
///
/// A writing that is not understood changes nothing: what the resource said before stays in force, and why is remembered.
package struct ResourceBook: Sendable {
    private var applied: [ResourceKey: (write: ResourceWrite, value: ResourceValue)] = [:]
    private var problems: [ResourceKey: (version: ResourceVersion, reason: String)] = [:]

    package init() {}

    /// Takes a writing in, or forgets the resource with nil. False when what is in force stays as it was.
    package mutating func update(_ key: ResourceKey, _ write: ResourceWrite?) -> Bool {
        problems[key] = nil
        guard let write, let payload = write.payload else { return applied.removeValue(forKey: key) != nil }
        switch Self.read(key, payload) {
        case .success(let value):
            let isSame = applied[key]?.value == value
            applied[key] = (write, value)
            return !isSame
        case .failure(let problem):
            problems[key] = (write.version, problem.description)
            return false
        }
    }

    /// The writing in force when that of `version` is not.
    package func inForce(insteadOf version: ResourceVersion, _ key: ResourceKey) -> ResourceWrite? {
        guard let write = applied[key]?.write, write.version != version else { return nil }
        return write
    }
    /// Why a resource's newest version is not understood.
    package func problem(_ key: ResourceKey) -> String? { problems[key]?.reason }
    package var invalid: Int { problems.count }

    /// The subsets of each service, in the order of the rules' names; of two of one name the first counts.
    package var subsets: [ServiceName: [SubsetRule]] {
        var result: [ServiceName: [SubsetRule]] = [:]
        for (_, entry) in applied.sorted(by: { $0.key < $1.key }) {
            guard case .destinationRule(let rule) = entry.value else { continue }
            let names = Set(result[rule.service, default: []].map(\.name))
            result[rule.service, default: []] += rule.subsets.filter { !names.contains($0.name) }
        }
        return result
    }

    private struct Problem: Error, CustomStringConvertible { var description: String }

    private static func read(_ key: ResourceKey, _ payload: [UInt8]) -> Result<ResourceValue, Problem> {
        guard ResourceKind.of(key) != nil else {
            return .failure(Problem(description: "this version of Weft does not know the kind \(key.kind) of \(key.group): upgrade this node"))
        }
        do {
            let documents = try ResourceDocument.read(String(decoding: payload, as: UTF8.self), path: "\(key)", namespace: key.namespace)
            guard documents.count == 1, documents[0].key == key else {
                return .failure(Problem(description: "its document is of \(documents.first.map { "\($0.key)" } ?? "nothing")"))
            }
            return .success(documents[0].value)
        } catch {
            return .failure(Problem(description: error.description))
        }
    }
}
