"""An ordinary server: echo.py PORT [NAME]. The first line of a connection says what it does.

  GET …                 HTTP: who answered, and whom it sees as its client
  echo                  sends back what comes, while it comes
  upload                reads to the end, then answers with the number of bytes and their SHA-256
  download COUNT SEED   sends that many bytes of the pattern
  hello                 answers with a line at once, and keeps the connection open
"""
import hashlib, random, socket, sys, threading

port, name = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "echo"


def line(connection):
    text = b""
    while not text.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return ""
        text += byte
    return text.decode().strip()


def serve(connection, peer):
    with connection:
        try:
            words = line(connection).split()
            if not words:
                return
            if words[0] == "GET":
                while line(connection):
                    pass
                body = f"plaintext-answer from {name} to {peer[0].removeprefix('::ffff:')}\n".encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            elif words[0] == "echo":
                while data := connection.recv(262144):
                    connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            elif words[0] == "upload":
                digest, count = hashlib.sha256(), 0
                while data := connection.recv(262144):
                    digest.update(data)
                    count += len(data)
                connection.sendall(f"{count} {digest.hexdigest()}".encode())
            elif words[0] == "download":
                connection.sendall(random.Random(int(words[2])).randbytes(int(words[1])))
            elif words[0] == "hello":
                connection.sendall(f"{name} {peer[0].removeprefix('::ffff:')}\n".encode())
                connection.recv(1)
        except OSError:
            pass


server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", port))
server.listen(1024)
print("ready", flush=True)
while True:
    connection, peer = server.accept()
    threading.Thread(target=serve, args=(connection, peer), daemon=True).start()
