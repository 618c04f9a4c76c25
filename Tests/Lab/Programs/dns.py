"""A DNS server of the world outside of the mesh: it knows outside.example and many.example, whose 200 addresses fit into no datagram, and every
other name does not exist."""
import socket, sys, threading


def answer(query, limit):
    end = 12
    labels = []
    while query[end]:
        labels.append(query[end + 1:end + 1 + query[end]].decode(errors="replace").lower())
        end += query[end] + 1
    kind = int.from_bytes(query[end + 1:end + 3], "big")
    question = query[12:end + 5]
    known = {("outside", "example"): ["192.0.2.80"], ("many", "example"): [f"192.0.2.{number}" for number in range(1, 201)]}
    addresses = known.get(tuple(labels))
    records = [b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(one) for one in addresses or []] if kind == 1 else []
    flags = b"\x85\x83" if addresses is None else b"\x85\x80"
    if 12 + len(question) + 16 * len(records) > limit:
        flags, records = b"\x87\x80", []
    return query[:2] + flags + b"\0\1" + len(records).to_bytes(2, "big") + b"\0\0\0\0" + question + b"".join(records)


def exactly(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def serve(connection):
    with connection:
        try:
            while True:
                query = exactly(connection, int.from_bytes(exactly(connection, 2), "big"))
                reply = answer(query, 65535)
                connection.sendall(len(reply).to_bytes(2, "big") + reply)
        except (EOFError, OSError):
            pass


def listen(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
listener = socket.create_server((sys.argv[1], 53))
threading.Thread(target=listen, args=(listener,), daemon=True).start()
print("ready", flush=True)
while True:
    query, client = server.recvfrom(4096)
    if len(query) >= 17:
        server.sendto(answer(query, 512), client)
