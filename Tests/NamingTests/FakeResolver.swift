import Platform
import Testing

/// A resolver of its own in another process, plain Python. What it does is chosen by the first label that is asked.
enum FakeResolver {
    /// The process and the address it listens on, UDP and TCP.
    static func start(name: String = "one") throws -> (child: Child, address: SocketAddress) {
        let child = try Child(["python3", "-u", "-c", script, name])
        let port = try #require(UInt16(child.line()))
        return (child, SocketAddress(.loopbackV4, port: port))
    }

    private static let script = #"""
        import socket, socketserver, struct, sys, threading

        server_name = sys.argv[1].encode()

        def question(query):
            end, labels = 12, []
            while query[end]:
                labels.append(query[end + 1:end + 1 + query[end]])
                end += query[end] + 1
            return labels, end + 5

        def record(kind, data):
            return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data

        def text(data):
            return record(16, b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255)))

        def reply(query, tcp):
            """The messages to send."""
            labels, end = question(query)
            what = labels[0].lower()
            flags = struct.unpack(">H", query[2:4])[0]
            def message(answers, code=0, more=0, ident=query[:2], asked=query[12:end]):
                return ident + struct.pack(">HHHHH", 0x8080 | flags & 0x0110 | code | more, 1, len(answers), 0, 0) + asked + b"".join(answers)
            if what == b"silent":
                return []
            if what in (b"servfail", b"refused"):
                return [message([], {b"servfail": 2, b"refused": 5}[what])] if server_name == b"one" else [message([text(server_name)])]
            if what == b"echo":
                return [message([text(query[2:].hex().encode())])]
            if what == b"noise":
                wrong = bytes([query[0] ^ 1]) + query[1:2]
                return [b"", b"x", message([text(b"forged")], ident=wrong), message([text(b"forged")], asked=query[12:13] + b"N" + query[14:end - 4] + b"\0\x01\0\x01"), message([text(b"true")])]
            if what == b"rubbish" and server_name == b"one":
                head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
                loop = b"\xc0\x0c\0\x10\0\1"
                return [
                    head[:7], head, query, head + query[12:end - 3], head + loop, query[:2] + struct.pack(">HHHHH", 0x8180, 2, 0, 0, 0) + query[12:end] * 2,
                    query[:2] + struct.pack(">HHHHH", 0x8180, 0, 1, 0, 0) + text(b"forged")[2:], head + b"\xff" * 60000, message([text(b"forged")], ident=b"\0\0" if query[:2] != b"\0\0" else b"\1\1"),
                    query[:2] + b"\xa1\x80" + message([text(b"forged")])[4:],
                ]
            if what == b"big":
                return [message([text(b"x" * 250)] * 100)] if tcp else [message([], more=0x0200)]
            if what == b"missing":
                return [message([], 3)]
            return [message([text(server_name)])]

        class TCP(socketserver.StreamRequestHandler):
            def handle(self):
                while True:
                    head = self.rfile.read(2)
                    if len(head) < 2:
                        return
                    query = self.rfile.read(struct.unpack(">H", head)[0])
                    for message in reply(query, True):
                        self.wfile.write(struct.pack(">H", len(message)) + message)

        socketserver.ThreadingTCPServer.daemon_threads = True
        while True:
            tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), TCP)
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                udp.bind(tcp.server_address)
                break
            except OSError:
                tcp.server_close()
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        print(tcp.server_address[1])
        while True:
            query, client = udp.recvfrom(65535)
            try:
                # Right in everything but where it comes from.
                if server_name == b"one":
                    stranger.sendto(query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:question(query)[1]] + text(b"forged"), client)
                for message in reply(query, False):
                    udp.sendto(message, client)
            except Exception as error:
                print(error)
        """#
}
