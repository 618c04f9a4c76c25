"""Calls without a pause: stream.py HOST PORT CLIENTS [PAUSE]. Prints "ready" and then one JSON line for each call: when it began and ended, and the answer or the error."""
import json, socket, sys, threading, time

host, port, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pause = float(sys.argv[4]) if len(sys.argv) > 4 else 0.01
lock = threading.Lock()


def client():
    while True:
        started = time.monotonic()
        try:
            with socket.create_connection((host, port), timeout=30) as connection:
                connection.sendall(b"hello\n")
                answer = connection.makefile().readline().split()
                answer = answer[0] if answer else "error: closed"
        except OSError as error:
            answer = f"error: {error!r}"
        with lock:
            print(json.dumps({"started": started, "ended": time.monotonic(), "answer": answer}), flush=True)
        time.sleep(pause)


print("ready", flush=True)
for _ in range(clients):
    threading.Thread(target=client).start()
