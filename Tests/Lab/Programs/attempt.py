"""What one attempt comes to, and how many milliseconds it took: attempt.py name,HOST or attempt.py tcp,ADDRESS,PORT"""
import errno, socket, sys, time

kind, *target = sys.argv[1].split(",")
start = time.monotonic()
try:
    if kind == "name":
        result = socket.getaddrinfo(target[0], 1, family=socket.AF_INET, type=socket.SOCK_STREAM)[0][4][0]
    else:
        with socket.create_connection((target[0], int(target[1])), timeout=5):
            result = "connected"
except socket.gaierror:
    result = "unknown"
except TimeoutError:
    result = "timeout"
except OSError as error:
    result = errno.errorcode.get(error.errno, "error")
print(result, round((time.monotonic() - start) * 1000, 1))
