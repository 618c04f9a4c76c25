import Identity
import MeshModel
import Platform

/// The catalog's files, each replaced as a whole or not at all. Its work happens off the control thread, one thing at a time.
///
///     generation.json   the generation of this life; the next is higher
///     registered.json   what `weft service register` made
///     remote.json       the last good records of other nodes
actor CatalogStore {
    private let directory: String
    /// The most bytes of other nodes' records that are kept.
    static let maximumBytes = 128 << 20

    init(directory: String) { self.directory = directory }

    private struct GenerationFile: Codable { var generation: UInt64 }

    /// Makes the directory and takes the next generation.
    ///
    /// - Parameter salt: any number that another life of this node does not have.
    func open(now: WallTime, salt: UInt64) throws(MeshError) -> (generation: UInt64, warning: String?) {
        try AtomicFile.privateDirectory(directory)
        var last: UInt64 = 0
        var warning: String?
        if let bytes = try AtomicFile.read("\(directory)/generation.json", secret: false, maximumBytes: 4_096) {
            do throws(JSONFault) {
                last = try JSON.decode(GenerationFile.self, from: bytes).generation
            } catch {
                warning = "\(directory)/generation.json is damaged (\(error)); the clock gives the new generation"
            }
        }
        let generation = Generation.after(last, seconds: UInt64(max(1, now.seconds)), salt: salt)
        try save(generation: generation)
        return (generation, warning)
    }

    nonisolated func save(generation: UInt64) throws(MeshError) {
        try AtomicFile.write(JSON.encode(GenerationFile(generation: generation)), to: "\(directory)/generation.json", mode: 0o600)
    }

    func registered() throws(MeshError) -> [LocalInstance] {
        let path = "\(directory)/registered.json"
        guard let bytes = try AtomicFile.read(path, secret: false) else { return [] }
        do throws(JSONFault) {
            let file = try JSON.decode(RegisteredInstances.self, from: bytes)
            let locals = file.locals
            if let bad = locals.firstIndex(where: { $0 == nil }) { throw JSONFault("entry \(bad + 1) makes no sense") }
            return locals.compactMap { $0 }
        } catch {
            throw MeshError(
                .configuration, code: "state_corrupt", "\(path) cannot be used: \(error)",
                remedy: "repair it, or remove it and register the services again with `weft service register`")
        }
    }

    func save(registered: [LocalInstance]) throws(MeshError) {
        try AtomicFile.write(JSON.encode(RegisteredInstances(registered)), to: "\(directory)/registered.json", mode: 0o600)
    }

    /// What was last known of other nodes; empty when there is nothing that can be used, with the reason.
    func remote(_ authority: RecordAuthority) -> (deltas: [OriginDelta], warning: String?) {
        let path = "\(directory)/remote.json"
        do {
            guard let bytes = try AtomicFile.read(path, secret: false, maximumBytes: Self.maximumBytes) else { return ([], nil) }
            guard case .delta(let deltas) = try CatalogWire.decode(CatalogWire.FrameType.delta.rawValue, bytes, authority: authority) else {
                return ([], nil)
            }
            return (deltas, nil)
        } catch {
            return ([], "\(path) cannot be used, other nodes will be asked: \(error)")
        }
    }

    func save(remote deltas: [OriginDelta]) throws(MeshError) {
        try AtomicFile.write(CatalogWire.encode(.delta(deltas)).payload, to: "\(directory)/remote.json", mode: 0o600)
    }
}
