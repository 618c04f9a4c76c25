"""A server for many connections: many.py PORT. Answers every line with one that says which of its addresses was called."""
import selectors, socket, sys

selector = selectors.DefaultSelector()
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("", int(sys.argv[1])))
server.listen(4096)
server.setblocking(False)
selector.register(server, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        if key.fileobj is server:
            try:
                while True:
                    connection, _ = server.accept()
                    selector.register(connection, selectors.EVENT_READ, connection.getsockname()[0])
            except BlockingIOError:
                pass
            continue
        try:
            data = key.fileobj.recv(100)
            if data:
                key.fileobj.sendall(f"{key.data}\n".encode())
        except OSError:
            data = b""
        if not data:
            selector.unregister(key.fileobj)
            key.fileobj.close()
