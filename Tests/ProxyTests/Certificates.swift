import Glibc
import TLS

/// Certificates of a small mesh, made with the openssl program once for all tests.
enum Certificates {
    static let trustDomain = "mesh.test"

    static func credential(_ account: String) throws -> Credential {
        let leaf = try read("\(directory)/\(account).der")
        return try Credential(chainDER: [leaf], privateKeyDER: try read("\(directory)/\(account).key.der"))
    }
    static func trust() throws -> TrustStore { try TrustStore(rootsDER: [try read("\(directory)/ca.der")]) }

    static func identity(_ account: String) -> String { "spiffe://\(account == "foreign" ? "elsewhere.test" : trustDomain)/ns/default/sa/\(account)" }

    // Written once, while `directory` is made, and read at exit.
    private nonisolated(unsafe) static var made = ""
    private nonisolated(unsafe) static var maker: pid_t = 0
    static let directory: String = {
        var template = Array("/tmp/weft-proxy-tests-XXXXXX".utf8CString)
        let directory = String(cString: mkdtemp(&template)!)
        var script = """
            set -e; cd \(directory); exec >/dev/null 2>&1
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=root -days 2 \
              -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
            openssl x509 -in ca.pem -outform DER -out ca.der

            """
        // `expired` was valid until yesterday; `foreign` is of another trust domain under the same root; `stranger` has a root of its own.
        for account in ["client", "server", "other", "foreign", "expired", "stranger"] {
            let issuer = account == "stranger" ? "-signkey stranger.key" : "-CA ca.pem -CAkey ca.key -CAcreateserial"
            script += """
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout \(account).key -out \(account).csr -subj /
                printf 'subjectAltName=critical,URI:\(identity(account))\\nextendedKeyUsage=serverAuth,clientAuth\\nkeyUsage=digitalSignature\\n' > \(account).ext
                openssl x509 -req -in \(account).csr \(issuer) -days \(account == "expired" ? -1 : 1) -extfile \(account).ext -outform DER -out \(account).der
                openssl pkcs8 -topk8 -nocrypt -in \(account).key -outform DER -out \(account).key.der

                """
        }
        let result = system(script)
        precondition(result == 0, "openssl could not make the test's certificates")
        made = directory
        // In a child that was forked and not replaced, the directory is still its parent's.
        maker = getpid()
        atexit { if getpid() == Certificates.maker { system("rm -rf \(Certificates.made)") } }
        return directory
    }()

    /// For a process that ends without `atexit`, as the child of an exit test.
    static func remove() { _ = system("rm -rf \(directory)") }

    private static func read(_ path: String) throws -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes[..<count])
    }
}
