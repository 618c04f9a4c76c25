import Identity
import MeshModel
import Platform

/// The catalog's files, each replaced as a whole or not at all. Its work happens off the control thread, one thing at a time.
///
///     generation.json   the generation of this life; the next is higher
///     registered.json   what `weft service register` made
///     remote/           the last good records of other nodes, a file for each
actor CatalogStore {
    private let directory: String
    private var remotes: RemoteFiles
    /// The most bytes of other nodes' records that are read.
    static let maximumBytes = 128 << 20

    init(directory: String) {
        self.directory = directory
        remotes = RemoteFiles(directory: "\(directory)/remote")
    }

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

    /// What was last known of other nodes, and why some of it cannot be used. Call after `open`; without an authority nothing is taken.
    func remote(_ authority: RecordAuthority?) throws(MeshError) -> (deltas: [OriginDelta], warnings: [String]) {
        try remotes.open(authority, bytes: Self.maximumBytes)
    }

    /// - Returns: how many nodes are not on disk any more because there were more bytes than `limit`.
    func save(remote origins: [String: OriginDelta?], bytes limit: Int) throws(MeshError) -> Int { try remotes.save(origins, bytes: limit) }
}
