"""What the bookinfo services share: a threaded HTTP server for IPv4 and IPv6, and a JSON client that passes the request's id on.

Plain Python standard library. Nothing in here or in the services knows of a mesh: they call each other by name, over plain HTTP.
"""

import argparse
import json
import socket
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Bookinfo's services pass this header on, so that one request can be followed through all of them.
REQUEST_ID = "x-request-id"


class Server(ThreadingHTTPServer):
    """Listens on all addresses of both families."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def arguments(name, port):
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--port", type=int, default=port)
    parser.add_argument("--version", default="v1")
    return parser.parse_args()


def serve(name, port, routes):
    """Serves until killed. `routes` maps the first part of a path to a function of (handler, rest of the path) that returns an object."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Small answers go out at once, not after a delayed ACK.
        disable_nagle_algorithm = True

        def do_GET(self):
            path = self.path.split("?")[0].strip("/")
            first, _, rest = path.partition("/")
            route = routes.get(first)
            if first == "health":
                status, body = 200, {"status": f"{name} is healthy"}
            elif route is None:
                status, body = 404, {"error": f"{name} has no {self.path}"}
            else:
                try:
                    status, body = 200, route(self, rest)
                except OSError as error:
                    status, body = 502, {"error": str(error)}
            if isinstance(body, str):
                kind, data = "text/html; charset=utf-8", body.encode()
            else:
                kind, data = "application/json", json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = True

        def log_message(self, format, *args):
            print(f"{name} {self.client_address[0]} {format % args}", file=sys.stderr, flush=True)

    Server(("::", port), Handler).serve_forever()


def call(url, handler, timeout=10):
    """GETs JSON from another service, by its plain name. Raises OSError when it cannot be had."""
    request = urllib.request.Request(url)
    if handler.headers.get(REQUEST_ID):
        request.add_header(REQUEST_ID, handler.headers[REQUEST_ID])
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.load(answer)
