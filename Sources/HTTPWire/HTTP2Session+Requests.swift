import CNGHTTP2

extension HTTP2Session {
    /// Opens the stream of an ordinary request over cleartext (RFC 9113 section 8.3.1). Its body is pulled from the source at once.
    ///
    /// - Parameter token: the owner's own name for the stream, not zero; it comes with every event and pull.
    public func post(path: String, authority: String, headers: borrowing HTTP2HeaderList, token: UInt64) -> Opened {
        var (path, authority) = (path, authority)
        return path.withUTF8 { path in
            authority.withUTF8 { authority in
                open(
                    [
                        Self.field(":method", "POST"), Self.field(":scheme", "http"), Self.field(":authority", UnsafeRawBufferPointer(authority)),
                        Self.field(":path", UnsafeRawBufferPointer(path)),
                    ], headers, token: token, wider: 0)
            }
        }
    }
}
