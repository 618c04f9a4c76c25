"""Many callers at once: storm.py HOST PORT COUNT OPEN PROCESSES [FILE]

COUNT connections in all, OPEN of them at one time at most, from PROCESSES processes. Each sends a line and waits for one, then stays open until its place is
wanted for the next; at the end all are closed. With FILE each asks for
as much as it takes and reads nothing, and all stay open until there is such a file. Prints JSON: how many were
answered, ended by the other side ("refused"), got no answer in 20 s ("silent"), the most that were open, and the seconds that it took.
"""
import collections, json, os, resource, select, socket, sys, time

host, port, count, most, processes = sys.argv[1], *map(int, sys.argv[2:6])
deaf = sys.argv[6] if len(sys.argv) > 6 else None
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]


def run(count, most):
    poll, waiting, answered = select.epoll(), {}, collections.deque()
    result = {"answered": 0, "refused": 0, "silent": 0, "peak": 0}
    started = 0
    while started < count or waiting:
        while started < count and len(waiting) + len(answered) < most:
            connection = socket.socket()
            connection.setblocking(False)
            if deaf:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect_ex(address)
            started += 1
            waiting[connection.fileno()] = [connection, time.monotonic() + 20]
            poll.register(connection.fileno(), select.EPOLLOUT | select.EPOLLIN)
            if started % 50 == 0:
                break
        result["peak"] = max(result["peak"], len(waiting) + len(answered))
        for number, _ in poll.poll(0.01):
            connection = waiting[number][0]
            try:
                if len(waiting[number]) == 2:
                    connection.send(b"fill\n" if deaf else b"who\n")
                    waiting[number].append(True)
                    poll.modify(number, select.EPOLLIN)
                    if not deaf:
                        continue
                elif not connection.recv(100):
                    raise ConnectionResetError
                result["answered"] += 1
                answered.append(connection)
            except BlockingIOError:
                continue
            except OSError:
                result["refused"] += 1
                connection.close()
            else:
                poll.unregister(number)
            del waiting[number]
        now = time.monotonic()
        for number in [number for number, entry in waiting.items() if entry[1] < now]:
            waiting.pop(number)[0].close()
            result["silent"] += 1
        if started < count:
            for _ in range(min(50, len(answered), max(0, len(waiting) + len(answered) + 50 - most))):
                answered.popleft().close()
    while deaf and not os.path.exists(deaf):
        time.sleep(0.05)
    return result


print("ready", flush=True)
begin = time.monotonic()
pipes = []
for index in range(processes):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps(run(count // processes, most // processes)).encode())
        os._exit(0)
    os.close(writing)
    pipes.append(reading)
results = [json.loads(os.read(reading, 1000)) for reading in pipes]
total = {key: sum(result[key] for result in results) for key in results[0]}
print(json.dumps(total | {"seconds": time.monotonic() - begin}))
