"""HTTP of all cameras and of the control port: one thread accepts, a bounded number of threads answer."""

import json
import selectors
import socket
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from .faults import FaultError, parse_fault
from .onvif import PUBLIC
from .soap import Fault, parse

MAX_BODY_BYTES = 256 * 1024
MAX_CONNECTIONS = 128
IDLE_S = 20


class WebError(RuntimeError):
    """A port that cannot be listened on; the text names it."""


class WebServer:
    """Listens on the ONVIF port of each camera and on the control port."""

    def __init__(self, bind: str, site) -> None:
        self._bind, self.site = bind, site
        self._selector = selectors.DefaultSelector()
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: dict[int, list[socket.socket]] = {}
        self._lock = threading.Lock()
        self._waker, wake_end = socket.socketpair()
        self._selector.register(wake_end, selectors.EVENT_READ, "wake")
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._waker.send(b"x")
        self._thread.join(1)

    def listen(self, port: int, camera=None, hang: bool = False) -> int:
        """Opens a port for a camera, or for control when `camera` is None; returns the port."""
        listener = self._listener(port)
        with self._lock:
            self._open.setdefault(-1 if camera is None else camera.index, []).append(listener)
            self._selector.register(listener, selectors.EVENT_READ, ("hang" if hang else "serve", camera))
        self._waker.send(b"x")
        return listener.getsockname()[1]

    def withdraw(self, camera, hang: bool) -> None:
        """Closes the camera's port; with `hang`, its ports take connections that nobody answers."""
        self._close(camera)
        if hang:
            self.listen(camera.onvif_port, camera, hang=True)
            self.listen(camera.rtsp.port, camera, hang=True)

    def restore(self, camera) -> None:
        self._close(camera)
        self.listen(camera.onvif_port, camera)

    def _listener(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._bind, port))
        except OSError as error:
            listener.close()
            message = f"HTTP: cannot listen on {self._bind}:{port}: {error.strerror}; choose another port"
            raise WebError(message) from error
        listener.listen(64)
        listener.setblocking(False)
        return listener

    def _close(self, camera) -> None:
        with self._lock:
            for listener in self._open.pop(camera.index, []):
                self._selector.unregister(listener)
                listener.close()

    def _run(self) -> None:
        held: list[socket.socket] = []
        while not self._stopped:
            for key, _events in self._selector.select():
                if key.data == "wake":
                    key.fileobj.recv(64)
                    continue
                mode, camera = key.data
                try:
                    connection, address = key.fileobj.accept()
                except OSError:
                    continue
                if mode == "hang":
                    held = [*held[-63:], connection]
                elif self._slots.acquire(blocking=False):
                    threading.Thread(target=self._serve, args=(connection, address, camera), daemon=True).start()
                else:
                    connection.close()

    def _serve(self, connection: socket.socket, address: tuple, camera) -> None:
        try:
            connection.setblocking(True)
            connection.settimeout(IDLE_S)
            handler = ControlHandler if camera is None else CameraHandler
            handler(connection, address, Context(self.site, camera))
        except OSError:
            pass
        finally:
            connection.close()
            self._slots.release()


class Context:
    """What a handler is about."""

    def __init__(self, site, camera) -> None:
        self.site, self.camera = site, camera


class Handler(BaseHTTPRequestHandler):
    """Shared parts: bodies with a limit, answers with a length, the pages both kinds of port have."""

    protocol_version = "HTTP/1.1"
    server_version = "gtv-demo-camera"
    sys_version = ""
    # Header and body leave in one segment: no wait for a delayed acknowledgement.
    wbufsize = -1

    @property
    def site(self):
        return self.server.site

    def answer(self, status: int, body: bytes, kind: str, headers: list[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def answer_json(self, value, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode() + b"\n", "application/json")

    def body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            status = 413 if length.isdigit() else 411
            self.answer(status, b"a request body needs a length, at most 256 KiB\n", "text/plain")
            return None
        return self.rfile.read(int(length))

    def common_page(self, path: str) -> bool:
        if path == "/truth":
            self.answer_json(self.site.truth())
        elif path == "/stats":
            self.answer_json(self.site.stats())
        else:
            return False
        return True

    def not_found(self) -> None:
        self.answer(404, b"not found; there are /truth and /stats\n", "text/plain")

    def log_message(self, form: str, *values) -> None:
        if self.site.log_requests:
            name = self.server.camera.name if self.server.camera else "control"
            self.site.log(f"{name} {self.client_address[0]} {form % values}")


class ControlHandler(Handler):
    """`GET /truth`, `GET /stats`, `POST /fault` with `{"fault": "drop-after=5", "camera": 0}`."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/healthz":
            self.answer(200, b"ok\n", "text/plain")
        elif not self.common_page(path):
            self.not_found()

    def do_POST(self) -> None:
        data = self.body()
        if data is None:
            return
        if urlsplit(self.path).path != "/fault":
            self.not_found()
            return
        try:
            order = json.loads(data)
            text = order["fault"]
            if order.get("camera") is not None:
                text = f"{text.partition('@')[0]}@{order['camera']}"
            self.answer_json({"cameras": self.site.set_fault(parse_fault(text))})
        except FaultError as error:
            self.answer_json({"error": str(error)}, 400)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.answer_json({"error": 'send JSON: {"fault": "drop-after=5", "camera": 0}; camera is optional'}, 400)


class CameraHandler(Handler):
    """ONVIF services and the snapshot of one camera."""

    @property
    def camera(self):
        return self.server.camera

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/snapshot.jpg":
            verdict = self._http_verdict()
            if verdict == "ok":
                self.answer(200, self.site.snapshot(self.camera), "image/jpeg", [("Cache-Control", "no-store")])
            else:
                self._challenge(b"", "text/plain", verdict)
        elif not self.common_page(path):
            self.not_found()

    def do_POST(self) -> None:
        data = self.body()
        if data is None:
            return
        self.camera.requests += 1
        if not urlsplit(self.path).path.startswith("/onvif/"):
            self.not_found()
            return
        try:
            request = parse(data)
            verdict = "ok" if request.operation in PUBLIC else self._soap_verdict(request)
            if verdict != "ok":
                reason = "the user name or password is wrong, or the account is locked"
                fault = Fault(401, "Sender", ["NotAuthorized"], reason)
                if verdict == "wrong" and request.token is not None:
                    self._soap(400, fault.to_xml())
                else:
                    self._challenge(fault.to_xml(), "application/soap+xml; charset=utf-8", verdict)
                return
            self._soap(200, self.camera.onvif.answer(request, self.connection.getsockname()[0]))
        except Fault as fault:
            self._soap(fault.status, fault.to_xml())

    def _soap(self, status: int, body: bytes) -> None:
        self.answer(status, body, "application/soap+xml; charset=utf-8")

    def _soap_verdict(self, request) -> str:
        """One try a request: the HTTP header decides when there is one, else the UsernameToken."""
        if self.headers.get("Authorization") or request.token is None:
            return self._http_verdict()
        t = request.token
        right = self.camera.guard.check_username_token(t.user, t.password, t.kind, t.nonce, t.created)
        return "ok" if right else "wrong"

    def _http_verdict(self) -> str:
        header = self.headers.get("Authorization", "")
        if not header.lower().startswith("digest "):
            return "missing"
        return self.camera.guard.check_http_digest(header, self.command, self.path)

    def _challenge(self, body: bytes, kind: str, verdict: str) -> None:
        challenges = self.camera.guard.challenges(stale=verdict == "stale")
        self.answer(401, body, kind, [("WWW-Authenticate", value) for value in challenges])
