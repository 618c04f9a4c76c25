import Identity
import MeshModel
import Plane
import Platform
import Settings

/// What people ask for.
extension MeshResources {
    /// A resource that was written.
    package struct Applied: Sendable {
        package enum Outcome: String, Sendable { case created, configured, unchanged, deleted }
        package let key: ResourceKey
        package let outcome: Outcome
        package let version: ResourceVersion?
    }

    /// A resource as it is.
    package struct Status: Sendable {
        package let write: ResourceWrite
        /// Why it is not in force here; empty when it is.
        package let problem: String
    }

    package var isSettled: Bool { core.isSettled }
    package var counters: ResourceCounters { core.counters }
    package var stored: (resources: Int, bytes: Int, invalid: Int) { (core.count, core.storedBytes, book.invalid) }
    package var subsets: [ServiceName: [SubsetRule]] { book.subsets }
    /// Those that exist, sorted by kind, namespace and name.
    package var all: [Status] {
        core.writes.filter { !$0.isDeletion }.map { Status(write: $0, problem: book.problem($0.key) ?? "") }
    }

    /// Writes documents, or says for each what writing it would do.
    ///
    /// Rights and expected versions of all are looked at before the first is written.
    package func apply(_ documents: [ResourceDocument], isTrial: Bool) async throws(MeshError) -> [Applied] {
        for document in documents {
            do throws(ResourceRefusal) { try core.mayWrite(document.key, expecting: Self.expectation(document)) } catch {
                throw Self.explained(error).about(document.key)
            }
        }
        var result: [Applied] = []
        for document in documents {
            let (known, payload) = (core.version(of: document.key), Array(document.text.utf8))
            let isSame = known != nil && core.write(of: document.key)?.payload == payload
            var version = known
            if !isTrial, !isSame {
                do throws(MeshError) {
                    version = try await change { (core) throws(ResourceRefusal) in
                        try core.write(document.key, payload: payload, expecting: known.map { .version($0) } ?? .nothing, .now())
                    }
                } catch {
                    throw error.about(document.key)
                }
            }
            result.append(Applied(key: document.key, outcome: isSame ? .unchanged : known == nil ? .created : .configured, version: version))
        }
        return result
    }

    /// Deletes a resource.
    /// - Parameter expected: the version that it must have; nil for any.
    package func delete(_ key: ResourceKey, expected: ResourceVersion?) async throws(MeshError) -> Applied {
        guard core.version(of: key) != nil else {
            throw MeshError(.configuration, code: "resource_not_found", "there is no \(key)", remedy: "`weft get` lists what there is")
        }
        do throws(MeshError) {
            _ = try await change { (core) throws(ResourceRefusal) in
                try core.write(key, payload: nil, expecting: expected.map { .version($0) } ?? .anything, .now())
            }
        } catch {
            throw error.about(key)
        }
        return Applied(key: key, outcome: .deleted, version: core.write(of: key)?.version)
    }

    private static func expectation(_ document: ResourceDocument) -> ResourceCore.Expectation {
        document.expected.map { .version($0) } ?? .anything
    }

    // MARK: Rollout

    /// What this node makes of some versions.
    package func rollout(of list: [KnownResource]) -> [RolloutAnswer.Item] {
        list.map { item in
            let own = core.write(of: item.key)
            if let own, own.version == item.version {
                guard let problem = book.problem(item.key) else { return .init(state: .applied) }
                return .init(state: .invalid, version: book.inForce(insteadOf: own.version, item.key)?.version.description, reason: problem)
            }
            if let refusal = core.refusal(of: item.key), refusal.version == item.version {
                return .init(state: .refused, version: own?.version.description, reason: refusal.reason.description)
            }
            return .init(state: .waiting, version: own?.version.description)
        }
    }

    /// The versions to ask others about: what is here, deletions that are remembered included.
    package func known(_ isWanted: (ResourceKey) -> Bool) -> [KnownResource] {
        core.writes.filter { isWanted($0.key) }.map { KnownResource(key: $0.key, version: $0.version) }
    }

    func answer(_ frame: Frame) throws(MeshError) -> [UInt8] {
        guard let question = try? StateJSON.decode(RolloutQuestion.self, from: frame.payload), question.known.count <= RolloutQuestion.maximum,
            let bytes = try? StateJSON.encode(RolloutAnswer(items: rollout(of: question.known)))
        else { throw MeshError(.peer, code: "bad_question", "the question about resources cannot be read") }
        return bytes
    }
}

extension MeshError {
    /// The same, with the resource's name before the reason.
    func about(_ key: ResourceKey) -> MeshError {
        var error = self
        error.message = "\(key): \(message)"
        return error
    }
}
