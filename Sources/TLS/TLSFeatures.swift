import COpenSSL
import Glibc

/// What this host offers to TLS.
public enum TLSFeatures {
    /// The kernel can encrypt (module tls loaded) and OpenSSL was built for it. Never required.
    public static let kernelTLS: Bool = {
        let file = open("/proc/sys/net/ipv4/tcp_available_ulp", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(file, &bytes, bytes.count)
        guard count > 0 else { return false }
        return bytes[..<count].split(whereSeparator: { $0 <= 0x20 }).contains { $0.elementsEqual("tls".utf8) }
    }()

    /// As `OpenSSL 3.0.22`.
    public static var library: String {
        String(cString: OpenSSL_version(OPENSSL_VERSION)).split(separator: " ").prefix(2).joined(separator: " ")
    }

    /// OpenSSL writes with write(2): without this a peer that closes would end the process. Left alone where someone handles the signal.
    static let ignoreBrokenPipes: Void = {
        var current = sigaction()
        guard sigaction(SIGPIPE, nil, &current) == 0, current.__sigaction_handler.sa_handler == nil else { return }
        signal(SIGPIPE, SIG_IGN)
    }()
}
