import Glibc
import Identity
import MeshModel
import Platform
import TLS

/// The resources on disk, one file each and each replaced as a whole. Its work happens off the control thread, one thing at a time.
///
///     <sha256 of the key>.json    the writing, and the last one before it that this node could apply
///     agreed.json                 when the node last agreed with others
actor ResourceStore {
    private let directory: String
    /// Bytes of the largest file that is read.
    private static let maximumFile = 1 << 20

    init(directory: String) { self.directory = directory }

    /// What is kept of one resource.
    struct Stored: Sendable {
        var write: ResourceWrite
        /// The document in force when that of `write` cannot be applied.
        var good: ResourceWrite?
    }

    /// One step of bringing the disk up to date.
    enum Change: Sendable {
        case save(Stored)
        case remove(ResourceKey)
        case agreed(WallTime)
    }

    private struct StoredFile: Codable {
        var write: WriteField
        var good: WriteField?
    }
    private struct AgreedFile: Codable { var seconds: Int64 }

    /// Everything that is there, and what could not be read, one sentence each.
    func open() throws(MeshError) -> (stored: [Stored], agreed: WallTime?, warnings: [String]) {
        try AtomicFile.privateDirectory(directory)
        var stored: [Stored] = []
        var warnings: [String] = []
        for name in IdentityStore.names(in: directory).sorted() where name.hasSuffix(".json") && name != "agreed.json" {
            let path = "\(directory)/\(name)"
            do {
                guard let bytes = try AtomicFile.read(path, secret: false, maximumBytes: Self.maximumFile) else { continue }
                let file = try StateJSON.decode(StoredFile.self, from: bytes)
                guard let write = file.write.write else { throw MeshError(.configuration, code: "state_corrupt", "it names no resource") }
                stored.append(Stored(write: write, good: file.good?.write))
            } catch {
                warnings.append("\(path) cannot be used, other nodes will be asked: \(error)")
            }
        }
        let agreed = try AtomicFile.read("\(directory)/agreed.json", secret: false, maximumBytes: 4_096)
            .flatMap { try? StateJSON.decode(AgreedFile.self, from: $0) }
        return (stored, agreed.map { WallTime(seconds: $0.seconds) }, warnings)
    }

    /// Removes the files, and the directory when nothing else is in it.
    static func wipe(_ directory: String) throws(MeshError) {
        for name in IdentityStore.names(in: directory) where name.hasSuffix(".json") || name.hasSuffix(".json.new") {
            try AtomicFile.remove("\(directory)/\(name)")
        }
        rmdir(directory)
    }

    func write(_ change: Change) throws(MeshError) {
        switch change {
        case .save(let stored):
            try write(StoredFile(write: WriteField(stored.write), good: stored.good.map(WriteField.init)), to: path(of: stored.write.key))
        case .remove(let key): try AtomicFile.remove(path(of: key))
        case .agreed(let time): try write(AgreedFile(seconds: time.seconds), to: "\(directory)/agreed.json")
        }
    }

    private func write(_ content: some Encodable, to path: String) throws(MeshError) {
        guard let bytes = try? StateJSON.encode(content) else { throw MeshError(.internal, code: "state_encode", "cannot write down \(path)") }
        try AtomicFile.write(bytes, to: path, mode: 0o600)
    }

    private func path(of key: ResourceKey) -> String { "\(directory)/\(Hex.encode(Digest.sha256(Array(key.path.utf8)))).json" }
}
