import Identity
import MeshModel
import Platform
import TLS

/// The last known records of other nodes on disk, a file for each: a change costs the origin that changed.
///
/// Others can say all of it again, so nothing waits for the disk. A file that a crash left damaged is told and removed.
struct RemoteFiles {
    private let directory: String
    /// By name of the file.
    private var kept: [String: Kept] = [:]
    private var writes: UInt64 = 0
    private var bytes = 0

    private struct Kept {
        var bytes: Int
        /// The number of its last write: the lowest goes first when there is too much.
        var write: UInt64
    }

    init(directory: String) { self.directory = directory }

    /// Makes the directory and takes up what is in it.
    ///
    /// - Parameters:
    ///   - authority: nil takes nothing from the files and only counts them.
    ///   - limit: the most bytes that are read; the rest is told and passed over.
    mutating func open(_ authority: RecordAuthority?, bytes limit: Int) throws(MeshError) -> (deltas: [OriginDelta], warnings: [String]) {
        try AtomicFile.privateDirectory(directory)
        var deltas: [OriginDelta] = []
        var warnings: [String] = []
        let names = IdentityStore.names(in: directory)
        // What a crash left of a write; the next one of the same node needs it gone, and removes it itself.
        for name in names where name.hasSuffix(".json.new") { try? AtomicFile.remove("\(directory)/\(name)") }
        let files = names.filter { $0.hasSuffix(".json") }.map { (name: $0, time: AtomicFile.modified("\(directory)/\($0)")) }
        for (name, _) in files.sorted(by: { ($0.time, $0.name) < ($1.time, $1.name) }) {
            let path = "\(directory)/\(name)"
            let content: [UInt8]
            do throws(MeshError) {
                guard let read = try AtomicFile.read(path, secret: false, maximumBytes: max(0, limit - bytes)) else { continue }
                content = read
            } catch {
                warnings.append("\(path) is not read, its node will be asked: \(error.message)")
                continue
            }
            note(name, content.count)
            guard let authority else { continue }
            do throws(WireFault) {
                deltas.append(try Self.delta(name, content, authority))
            } catch {
                warnings.append("\(path) is removed, its node will be asked: \(error)")
                try? remove(name)
            }
        }
        return (deltas, warnings)
    }

    /// Writes what is known of some origins, and removes those of which nothing is known.
    ///
    /// - Returns: how many files had to go because all would be more than `limit` bytes: those that were written longest ago.
    mutating func save(_ origins: [String: OriginDelta?], bytes limit: Int) throws(MeshError) -> Int {
        for (origin, delta) in origins.sorted(by: { $0.key < $1.key }) {
            let name = Self.name(of: origin)
            guard let delta else {
                try remove(name)
                continue
            }
            let content = CatalogWire.encode(.delta([delta])).payload
            try AtomicFile.write(content, to: "\(directory)/\(name)", mode: 0o600, synced: false)
            note(name, content.count)
        }
        var evicted = 0
        while bytes > limit, let oldest = kept.min(by: { $0.value.write < $1.value.write })?.key {
            try remove(oldest)
            evicted += 1
        }
        return evicted
    }

    /// A file's name is the node's, unless that would be too long for one.
    static func name(of origin: String) -> String {
        (origin.utf8.count <= 200 ? origin : "~" + Hex.encode(Digest.sha256(Array(origin.utf8)))) + ".json"
    }

    // MARK: Private

    private static func delta(_ name: String, _ content: [UInt8], _ authority: RecordAuthority) throws(WireFault) -> OriginDelta {
        guard case .delta(let deltas) = try CatalogWire.decode(CatalogWire.FrameType.delta.rawValue, content, authority: authority),
            deltas.count == 1, self.name(of: deltas[0].origin) == name
        else { throw WireFault("it is not about the node that it is named after") }
        return deltas[0]
    }

    private mutating func note(_ name: String, _ count: Int) {
        writes += 1
        bytes += count - (kept[name]?.bytes ?? 0)
        kept[name] = Kept(bytes: count, write: writes)
    }

    private mutating func remove(_ name: String) throws(MeshError) {
        try AtomicFile.remove("\(directory)/\(name)")
        bytes -= kept.removeValue(forKey: name)?.bytes ?? 0
    }
}
