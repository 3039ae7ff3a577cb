"""The service's HTTP on the loopback device."""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from fleet import Fleet, Taken
from metrics import registry
from settings import Settings, SettingsError

MAX_BODY_BYTES = 65_536
# Seconds that a client has to say what it wants.
PATIENCE = 10
LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")


class Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    server: "Server"
    timeout = PATIENCE

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, act: Any) -> None:
        try:
            # A page in a browser reaches this port, too: its names for it are others, and it may send no JSON.
            if not LOCAL.fullmatch(self.headers.get("Host", "")):
                raise Refused(403, "this service answers on the loopback device only")
            status, kind, body = act()
        except Refused as error:
            status, kind, body = error.status, "application/json", to_json({"error": str(error)})
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _get(self) -> tuple[int, str, bytes]:
        if self.path == "/cameras":
            return 200, "application/json", to_json([camera.status() for camera in self.server.fleet.cameras()])
        if self.path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry)
        raise Refused(404, "there are /cameras and /metrics")

    def _post(self) -> tuple[int, str, bytes]:
        if self.path != "/cameras":
            raise Refused(404, "cameras are added to /cameras")
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, "a camera is application/json")
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            raise Refused(411, "the length is missing") from None
        if not 0 <= length <= MAX_BODY_BYTES:
            raise Refused(413, f"a camera has at most {MAX_BODY_BYTES} bytes")
        try:
            # Besides its own errors: too many digits, bytes that are no UTF-8.
            given = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"this is no JSON that can be read: {error}") from error
        try:
            camera = self.server.fleet.add(Settings.of(given))
        except SettingsError as error:
            raise Refused(400, str(error)) from error
        except Taken as error:
            raise Refused(409, str(error)) from error
        return 201, "application/json", to_json(camera.status())

    def _delete(self) -> tuple[int, str, bytes]:
        name = unquote(self.path.removeprefix("/cameras/"))
        if not self.path.startswith("/cameras/") or not self.server.fleet.remove(name):
            raise Refused(404, f"there is no camera {name}")
        return 200, "application/json", to_json({})

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing: Prometheus asks all the time."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # Clients that may wait to be connected: the standard library's five turn some away.
    request_queue_size = 128

    def __init__(self, port: int, fleet: Fleet) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.fleet = fleet
        self.registry = registry(fleet)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def to_json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()
