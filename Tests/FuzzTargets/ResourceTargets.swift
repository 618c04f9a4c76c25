import Identity
import MeshModel
import Plane
import Platform

@testable import Resources

/// Real digests; signatures prove nothing, so nothing of another author may ever be taken.
private let authority = ResourceAuthority(
    sha256: { Hash.sha256($0) }, sign: { _ in ([1], [2]) }, ownRights: { [.admin] }, verify: { _, _ in .failure(.badSignature("nobody signed it")) })

private func moment(_ seconds: UInt64) -> Moment {
    Moment(monotonic: MonotonicTime(nanoseconds: seconds * 1_000_000_000), wall: WallTime(seconds: 1_800_000_000 + Int64(seconds)))
}

private let key = ResourceKey(kind: "DestinationRule", group: "networking.istio.io", namespace: "shop", name: "reviews")!
private let document = """
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: reviews, namespace: shop, labels: {a: "1"}, resourceVersion: 1-0-a}
    spec: {host: reviews, subsets: [{name: v2, labels: {version: "2", "x y": z}}]}
    """

private func core() -> ResourceCore {
    var core = ResourceCore(node: "z", limits: ResourceLimits(), authority: authority)
    _ = try? core.write(key, payload: Array("own".utf8), expecting: .nothing, moment(1))
    core.connected("m", moment(1))
    core.effects = []
    return core
}

extension FuzzTarget {
    /// A frame about resources: the first byte says of which type. What it says goes to a core, too, which may take none of it.
    static let resourceWire = FuzzTarget(
        name: "resource-wire",
        seeds: {
            let version = ResourceVersion(time: HybridTime(milliseconds: 1_800_000_000_000, counter: 3), author: "a")
            let known = KnownResource(key: key, version: version)
            let write = ResourceWrite(key: key, version: version, payload: Array(document.utf8), replaces: version, certificate: [1], signature: [2])
            let gone = ResourceWrite(key: key, version: version, payload: nil, replaces: nil, certificate: [], signature: [])
            let messages: [ResourceMessage] = [
                .summary(digest: 7, isSettled: true), .parts(Array(0..<64), isSettled: false), .parts([], isSettled: true), .have([known], parts: [0, 63]),
                .have([known], parts: nil), .want([key]), .writes([write, gone]), .gone([known]),
            ]
            return messages.map { message in
                let frame = ResourceWire.encode(message)
                return [frame.type.rawValue - 0x40] + frame.payload
            }
        },
        run: { bytes in
            var input = Input(bytes)
            let type = FrameType(rawValue: 0x40 + input.byte() % 6)
            guard let message = try? ResourceWire.decode(Frame(type, input.bytes)) else { return }
            let again = ResourceWire.encode(message)
            require(again.type == type && (try? ResourceWire.decode(again)) == message, "\(message) reads as another")
            var core = core()
            core.received(message, from: "m", moment(2))
            core.tick(moment(10))
            require(core.count == 1 && core.counters.taken == 0, "a writing that nobody signed was taken")
            require(core.tableEntries < 2 * ResourceLimits().resources, "its tables have \(core.tableEntries) entries")
        })

    /// What people apply. What is stored of it says the same to every node.
    static let resourceDocument = FuzzTarget(
        name: "resource-document",
        seeds: {
            [document, "\(document)\n---\n\(document)", document.replacing("reviews, subsets", with: "reviews.shop.svc.cluster.local, subsets")].map { Array($0.utf8) }
        },
        run: { bytes in
            guard let documents = try? ResourceDocument.read(String(decoding: bytes, as: UTF8.self), path: "f", namespace: "shop") else { return }
            for document in documents {
                let again = try? ResourceDocument.read(document.text, path: "g", namespace: "other")
                require(again?.map(\.value) == [document.value] && again?.map(\.key) == [document.key], "\(document.text) says something else than was applied")
                require(again?.map(\.text) == [document.text], "\(document.text) is not in its one form")
            }
        })
}
