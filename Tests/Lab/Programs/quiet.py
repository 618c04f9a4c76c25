"""Connections on which nobody speaks for a while.

quiet.py serve PORT             answers as the client's first line asks
quiet.py call HOST PORT SECONDS  opens four connections at once that are quiet for so long, and says which came through, as JSON:
    client    then the client speaks, and gets an answer
    server    then the server speaks
    ended     the client has closed its half, and the server speaks then
    answered  the server has closed its half, and the client speaks then; the server says on another connection what it got
"""
import collections, json, socket, sys, threading, time

heard = collections.Counter()


def serve(connection):
    with connection, connection.makefile("rb") as reader:
        _, kind, seconds = reader.readline().decode().split()
        if kind == "client":
            connection.sendall(reader.readline())
        elif kind == "server":
            time.sleep(float(seconds))
            connection.sendall(b"late\n")
        elif kind == "ended":
            reader.read()
            time.sleep(float(seconds))
            connection.sendall(b"late\n")
        elif kind == "answered":
            connection.shutdown(socket.SHUT_WR)
            heard[seconds] += reader.read() == b"late\n"
        elif kind == "heard":
            connection.sendall(b"%d\n" % heard[seconds])


def begin(target, kind, what):
    connection = socket.create_connection(target, 10)
    connection.sendall(f"quiet {kind} {what}\n".encode())
    return connection


def call(target, kind, seconds, name):
    try:
        with begin(target, kind, name if kind == "answered" else seconds) as connection:
            connection.settimeout(seconds + 10)
            if kind == "ended":
                connection.shutdown(socket.SHUT_WR)
            if kind in ("server", "ended"):
                return connection.recv(100) == b"late\n"
            time.sleep(seconds)
            connection.sendall(b"late\n")
            if kind == "client":
                return connection.recv(100) == b"late\n"
            connection.shutdown(socket.SHUT_WR)
            if connection.recv(100) != b"":
                return False
        time.sleep(0.5)
        with begin(target, "heard", name) as connection:
            return connection.recv(100) == b"1\n"
    except OSError:
        return False


if sys.argv[1] == "serve":
    server = socket.socket(socket.AF_INET6)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", int(sys.argv[2])))
    server.listen(1024)
    print("ready", flush=True)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
else:
    host, port, seconds = sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    results, threads = {}, []

    def run(kind, name):
        results[kind] = call((host, port), kind, seconds, name)

    for kind in ("client", "server", "ended", "answered"):
        threads.append(threading.Thread(target=run, args=(kind, f"{time.time_ns()}")))
        threads[-1].start()
    for thread in threads:
        thread.join()
    print(json.dumps(results))
