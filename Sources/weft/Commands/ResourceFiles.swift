import Glibc
import ManagementAPI

/// What `weft apply -f` reads.
enum ResourceFiles {
    /// The management API takes no larger body.
    static let maximumBytes = 1_000_000

    /// The files of every path, those of a directory in the order of their names.
    static func read(_ paths: [String]) throws(Failure) -> [(path: String, text: String)] {
        var result: [(String, String)] = []
        for path in paths {
            if path != "-", isDirectory(path) {
                let names = try names(in: path).filter { $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") }.sorted()
                if names.isEmpty { throw Failure(.usage, code: "no_files", "there are no *.yaml files in \(path)") }
                for name in names { result.append(("\(path)/\(name)", try contents("\(path)/\(name)"))) }
            } else {
                result.append((path == "-" ? "standard input" : path, try contents(path)))
            }
        }
        return result
    }

    private static func isDirectory(_ path: String) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
    }

    private static func names(in path: String) throws(Failure) -> [String] {
        guard let handle = opendir(path) else { throw unreadable(path, errno) }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }

    private static func contents(_ path: String) throws(Failure) -> String {
        do throws(InputError) {
            return try InputText.read(path, maximum: maximumBytes)
        } catch {
            switch error {
            case .errno(let code): throw unreadable(path, code)
            case .tooLong: throw Failure(.usage, code: "too_large", "\(path) has more than \(maximumBytes) bytes", remedy: "split it")
            }
        }
    }

    private static func unreadable(_ path: String, _ code: CInt) -> Failure {
        Failure(code == EACCES ? .permission : .failed, code: "unreadable", "cannot read \(path): \(String(cString: strerror(code)))")
    }
}
