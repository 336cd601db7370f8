"""A stand-in for the lifecycle server: just the calls that Sandbox.create, connect and kill make (contract 5.4)."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self):
        self.body()
        if self.path.endswith("/sandboxes"):
            self.answer(202, {"id": "sb1", "status": {"state": "Running"}, "createdAt": "2026-11-21T01:41:17Z",
                              "entrypoint": ["tail", "-f", "/dev/null"]})
        else:
            self.answer(204)

    def do_GET(self):
        if "/endpoints/" in self.path:
            port = self.path.split("/endpoints/")[1].split("?")[0]
            self.answer(200, {"endpoint": self.server.endpoint_for(port), "headers": self.server.endpoint_headers})
        else:
            self.answer(404, {"code": "NOT_FOUND", "message": self.path})

    def do_DELETE(self):
        self.answer(204)

    def log_message(self, *_):
        pass


@contextmanager
def lifecycle_server(endpoint, headers=None):
    """Yields "host:port"; every endpoint question is answered with `endpoint` (may hold {port})."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.endpoint_for = lambda port: endpoint.format(port=port)
    server.endpoint_headers = headers or {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
