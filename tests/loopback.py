"""A web server on the loopback in a thread of this process, for endpoints that tests make up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open and prints nothing."""

    protocol_version = "HTTP/1.1"

    def reply(self, status: int, headers: Mapping[str, str], content: bytes, sent: int | None = None) -> None:
        """Send a reply; of its content only `sent` bytes, and then no more, if that is given."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if sent is not None:
            self.close_connection = True
        try:
            self.wfile.write(content[:sent])
        except OSError:
            self.close_connection = True  # the client has given up waiting, or was killed

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was cut on purpose is no error."""


@contextmanager
def served(handler: type[Handler]) -> Iterator[str]:
    """The base of the address at which `handler` answers, up to and with its `/v1`."""
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
