"""Calls an echo.py server and compares every byte: calls.py HOST PORT COUNT CLIENTS BIG SEED

COUNT calls from CLIENTS threads, of 1 byte to 256 KiB and BIG of 64 MiB, a third each of: echo in both directions at once, upload with a half-closed
connection, download. Prints JSON: calls, bytes, seconds, errors (the first of them as text).
"""
import hashlib, json, random, socket, sys, threading, time

host, port, count, clients, big, seed = sys.argv[1], *map(int, sys.argv[2:7])
sizes = random.Random(seed)
calls = []
for index in range(count):
    size = (64 << 20) if index < big else [1, 2, 1000, 16383, 16384, 16385, 65535, 65536, 262144][index % 9] if index < 90 else int(2 ** sizes.uniform(0, 18))
    calls.append((index, size, ("echo", "upload", "download")[index % 3]))
lock, errors, moved = threading.Lock(), [], 0


def read_all(connection):
    data = bytearray()
    while piece := connection.recv(262144):
        data += piece
    return bytes(data)


def call(index, size, kind):
    body = random.Random(seed + index).randbytes(size)
    with socket.create_connection((host, port), timeout=60) as connection:
        if kind == "download":
            connection.sendall(f"download {size} {seed + index}\n".encode())
            return size, read_all(connection) == body
        connection.sendall(f"{kind}\n".encode())
        if kind == "upload":
            connection.sendall(body)
            connection.shutdown(socket.SHUT_WR)
            return size, read_all(connection) == f"{size} {hashlib.sha256(body).hexdigest()}".encode()
        result = []
        reader = threading.Thread(target=lambda: result.append(read_all(connection)))
        reader.start()
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        reader.join()
        return 2 * size, result and result[0] == body


def client():
    global moved
    while True:
        with lock:
            if not calls:
                return
            item = calls.pop(0)
        try:
            size, same = call(*item)
            problem = None if same else "other bytes"
        except OSError as error:
            size, problem = 0, repr(error)
        with lock:
            moved += size
            if problem:
                errors.append(f"call {item}: {problem}")


start = time.monotonic()
threads = [threading.Thread(target=client) for _ in range(clients)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"calls": count, "bytes": moved, "seconds": time.monotonic() - start, "failed": len(errors), "first": errors[0] if errors else ""}))
