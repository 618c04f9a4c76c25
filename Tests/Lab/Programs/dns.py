"""A DNS server of the world outside of the mesh: it knows outside.example, and every other name does not exist."""
import socket, sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    query, client = server.recvfrom(4096)
    if len(query) < 17:
        continue
    end = 12
    labels = []
    while query[end]:
        labels.append(query[end + 1:end + 1 + query[end]].decode(errors="replace").lower())
        end += query[end] + 1
    kind = int.from_bytes(query[end + 1:end + 3], "big")
    question = query[12:end + 5]
    known = labels == ["outside", "example"]
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("192.0.2.80") if known and kind == 1 else b""
    flags = b"\x85\x80" if known else b"\x85\x83"
    server.sendto(query[:2] + flags + b"\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0" + question + answer, client)
