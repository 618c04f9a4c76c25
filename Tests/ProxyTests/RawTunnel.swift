import CNGHTTP2
import Glibc
import Platform
import TLS

/// A client of the tunnel port that can say anything: TLS over a blocking socket, and HTTP/2 frames made by hand.
final class RawTunnel {
    private var tls: TLSConnection
    private let inflater: OpaquePointer
    private var received: [UInt8] = []

    /// Shakes hands; with TLS 1.3 a server's refusal of the client's certificate shows only when something is read.
    init(_ address: SocketAddress, as account: String?, alpn: [String] = ["h2"], serverName: String? = "server.default.mesh.test", receiveBuffer: CInt = 0) throws {
        let fd = OwnedFD(consuming: try Peers.connect(address, receiveBuffer: receiveBuffer))
        let context = TLSContext.client(trust: try Certificates.trust(), kernelTLS: false)
        tls = try TLSConnection(client: context, fd: fd, serverName: serverName, alpn: alpn, credential: try account.map(Certificates.credential))
        var inflater: OpaquePointer?
        precondition(nghttp2_hd_inflate_new(&inflater) == 0)
        self.inflater = inflater!
        if case .failed(let error) = tls.handshake() { throw error }
    }

    deinit { nghttp2_hd_inflate_del(inflater) }

    enum Answer: Equatable {
        case response(status: String, error: String?)
        case reset(UInt32)
        /// The connection ended, with a GOAWAY before or not.
        case closed
    }

    /// The connection preface and an empty SETTINGS frame.
    func begin() { send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, flags: 0, stream: 0, [])) }

    /// Reads up to the server's SETTINGS.
    func awaitSettings() { while let (type, _, _, _) = nextFrame(), type != 4 {} }

    func request(_ fields: [(String, String)], stream: UInt32 = 1) {
        send(Frames.headers(stream, fields))
    }

    func send(_ bytes: [UInt8]) { _ = trySend(bytes) }

    /// False when the connection has ended.
    func trySend(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let result = bytes.withUnsafeBytes { tls.write(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
            guard case .bytes(let count) = result else { return false }
            sent += count
        }
        return true
    }

    /// Past the TLS layer.
    func sendRaw(_ bytes: [UInt8]) { Peers.sendAll(tls.fd, bytes) }

    /// Reads to the end of the connection. The code and text of the last GOAWAY.
    func drain() -> (goaway: UInt32?, text: String) {
        var last: (UInt32?, String) = (nil, "")
        while let (type, _, _, payload) = nextFrame() {
            guard type == 7 else { continue }
            last = (payload.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }, String(decoding: payload.dropFirst(8), as: UTF8.self))
        }
        return last
    }

    /// Waits for so many RST_STREAM frames; how many came.
    func resets(_ count: Int) -> Int {
        var seen = 0
        while seen < count, let (type, _, _, _) = nextFrame() { seen += type == 3 ? 1 : 0 }
        return seen
    }

    /// Counts the bytes of DATA that come for a stream, until there are `size` or the connection or stream ends.
    func data(_ size: Int, stream: UInt32 = 1) -> Int {
        var count = 0
        while count < size, let (type, _, id, payload) = nextFrame() {
            if type == 3, id == stream { break }
            if type == 0, id == stream { count += payload.count }
        }
        return count
    }

    /// What comes for a stream first.
    func answer(stream: UInt32 = 1) -> Answer {
        while let (type, flags, id, payload) = nextFrame() {
            switch type {
            case 1 where id == stream:
                let fields = inflate(payload)
                return .response(status: fields[":status"] ?? "", error: fields["weft-error"])
            case 3 where id == stream: return .reset(payload.reduce(0) { $0 << 8 | UInt32($1) })
            case 4 where flags == 0: send(frame(4, flags: 1, stream: 0, []))
            case 6 where flags == 0: send(frame(6, flags: 1, stream: 0, payload))
            default: break
            }
        }
        return .closed
    }

    func frame(_ type: UInt8, flags: UInt8, stream: UInt32, _ payload: [UInt8]) -> [UInt8] { Frames.frame(type, flags: flags, stream: stream, payload) }

    private func nextFrame() -> (UInt8, UInt8, UInt32, [UInt8])? {
        guard fill(9) else { return nil }
        let length = Int(received[0]) << 16 | Int(received[1]) << 8 | Int(received[2])
        guard fill(9 + length) else { return nil }
        let stream = received[5..<9].reduce(0) { $0 << 8 | UInt32($1) }
        defer { received.removeFirst(9 + length) }
        return (received[3], received[4], stream, Array(received[9..<9 + length]))
    }

    private func fill(_ count: Int) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while received.count < count {
            let result = buffer.withUnsafeMutableBytes { tls.read(into: $0) }
            guard case .bytes(let more) = result else { return false }
            received += buffer[..<more]
        }
        return true
    }

    private func inflate(_ block: [UInt8]) -> [String: String] {
        var fields: [String: String] = [:]
        var rest = block[...]
        while !rest.isEmpty {
            var field = nghttp2_nv()
            var flags: CInt = 0
            let used = Array(rest).withUnsafeBufferPointer { nghttp2_hd_inflate_hd2(inflater, &field, &flags, $0.baseAddress, $0.count, 1) }
            guard used >= 0 else { return fields }
            rest = rest.dropFirst(used)
            if flags & CInt(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                let text = { (start: UnsafePointer<UInt8>?, count: Int) in String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self) }
                fields[text(field.name, field.namelen)] = text(field.value, field.valuelen)
            }
            if flags & CInt(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
        }
        nghttp2_hd_inflate_end_headers(inflater)
        return fields
    }
}
