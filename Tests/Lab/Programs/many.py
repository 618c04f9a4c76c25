"""A server for many connections: many.py PORT. Answers every line with one that says which of its addresses was called; "fill" with as much as is taken."""
import selectors, socket, sys

zeros = bytes(262144)
selector = selectors.DefaultSelector()
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("", int(sys.argv[1])))
server.listen(4096)
server.setblocking(False)
selector.register(server, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, events in selector.select():
        if key.fileobj is server:
            try:
                while True:
                    connection, _ = server.accept()
                    selector.register(connection, selectors.EVENT_READ, connection.getsockname()[0])
            except BlockingIOError:
                pass
            continue
        try:
            if events & selectors.EVENT_WRITE:
                key.fileobj.send(zeros)
                continue
            data = key.fileobj.recv(100)
            if data == b"fill\n":
                selector.modify(key.fileobj, selectors.EVENT_READ | selectors.EVENT_WRITE, key.data)
            elif data:
                key.fileobj.sendall(f"{key.data}\n".encode())
        except OSError:
            data = b""
        if not data:
            selector.unregister(key.fileobj)
            key.fileobj.close()
