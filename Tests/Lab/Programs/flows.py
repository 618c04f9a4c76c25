"""Opens flows and keeps them: flows.py SOURCE WHO COUNT. WHO is 0 or 1, one of two programs whose source ports are the same.

Each of 1,000 source ports is bound again and again (SO_REUSEADDR), each time to another of the 800 destinations 10.97.0.0–10.97.3.31, which are never
the other program's for that port. Prints "ready" and one line for each flow, its source port and destination, once each has had an answer from the right one.
"""
import socket, sys, time

source, who, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
flows = []
for index in range(count):
    port = 20000 + index % 1000
    slot = index // 1000 * 2 + who
    number = (index % 1000 + slot * 133) % 800
    destination = f"10.97.{number >> 8}.{number & 255}"
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    connection.settimeout(20)
    connection.bind((source, port))
    connection.connect((destination, 7100))
    flows.append((connection, port, destination))
for connection, _, destination in flows:
    connection.sendall(b"who\n")
for connection, port, destination in flows:
    answer = connection.recv(100).decode().strip()
    if answer != destination:
        sys.exit(f"{source}:{port} called {destination}, and {answer or 'nobody'} answered")
print("".join(f"{port} {destination}\n" for _, port, destination in flows) + "ready", flush=True)
time.sleep(600)
