"""The RTSP side of the replay camera: one thread, epoll, and for each client what it has not taken yet."""

import re
import select
import socket
import time

from . import digest
from .stream import Stream

#: A real camera's buffer: what does not fit is dropped by the camera, and counted.
MAX_PENDING_BYTES = 16 << 20


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.received, self.pending = sock, b"", bytearray()
        self.camera, self.playing, self.started = 0, False, False


class Server:
    def __init__(self, host: str, options, streams: list[Stream], clip) -> None:
        self.options, self.streams, self.clip = options, streams, clip
        self.listener = socket.create_server((host, options.port), backlog=512)
        self.listener.setblocking(False)
        self.host, self.port = self.listener.getsockname()
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        self.clients: dict[int, Client] = {}
        self.hushed = False
        self.frames_sent: dict[int, int] = {}
        self.frames_dropped = 0
        self.connections = 0

    def watch(self, fileno: int) -> None:
        """`run` returns when this can be read."""
        self.epoll.register(fileno, select.EPOLLIN)
        self.order_fileno = fileno

    def run(self) -> None:
        """Sends what is due and answers requests until there is an order to read."""
        while True:
            now = time.monotonic()
            for number, stream in enumerate(self.streams):
                while stream.due <= now:
                    frame, data = stream.next()
                    if not self.hushed:
                        self._send(number, frame, data)
            wait = max(0.0, min(stream.due for stream in self.streams) - time.monotonic())
            for fileno, events in self.epoll.poll(wait):
                if fileno == self.order_fileno:
                    return
                if fileno == self.listener.fileno():
                    self._accept()
                elif client := self.clients.get(fileno):
                    self._serve(client, events)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.clients[sock.fileno()] = Client(sock)
            self.epoll.register(sock, select.EPOLLIN)
            self.connections += 1

    def _close(self, client: Client) -> None:
        self.epoll.unregister(client.sock)
        del self.clients[client.sock.fileno()]
        client.sock.close()

    def _send(self, number: int, frame, data: bytearray) -> None:
        for client in list(self.clients.values()):
            if not client.playing or client.camera % len(self.streams) != number or not (client.started or frame.key):
                continue
            client.started = True
            self.frames_sent[client.camera] = self.frames_sent.get(client.camera, 0) + 1
            if len(client.pending) > MAX_PENDING_BYTES:
                self.frames_dropped += 1
                continue
            self._write(client, data)

    def _write(self, client: Client, data) -> None:
        try:
            sent = 0 if client.pending else client.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(client)
            return
        if sent < len(data):
            client.pending += memoryview(data)[sent:]
            self.epoll.modify(client.sock, select.EPOLLIN | select.EPOLLOUT)

    def _serve(self, client: Client, events: int) -> None:
        try:
            if events & select.EPOLLOUT and client.pending:
                del client.pending[: client.sock.send(client.pending)]
                if not client.pending:
                    self.epoll.modify(client.sock, select.EPOLLIN)
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                received = client.sock.recv(65536)
                if not received:
                    self._close(client)
                    return
                client.received += received
                self._requests(client)
        except BlockingIOError:
            return
        except OSError:
            self._close(client)

    def _requests(self, client: Client) -> None:
        while client.received:
            if client.received[0] == 0x24:
                length = 4 + int.from_bytes(client.received[2:4], "big")
                if len(client.received) < length:
                    return
                client.received = client.received[length:]
                continue
            head, end, rest = client.received.partition(b"\r\n\r\n")
            if not end:
                return
            client.received = rest
            answer = self._answer(client, head.decode("latin-1"))
            if answer:
                self._write(client, answer.encode())

    def _answer(self, client: Client, head: str) -> str:
        line, _, fields = head.partition("\r\n")
        method, url, _ = line.split(" ", 2)
        sequence = re.search(r"(?im)^cseq: *(\d+)", fields)
        cseq = f"CSeq: {sequence.group(1) if sequence else 0}\r\n"
        if client.playing and self.options.deaf and method != "TEARDOWN":
            return ""
        authorization = re.search(r"(?im)^authorization: *(.*)$", fields)
        if self.options.password and not self._is_let_in(authorization, method):
            return f"RTSP/1.0 401 Unauthorized\r\n{cseq}{digest.challenge(self.options.digest)}\r\n\r\n"
        body, extra = "", ""
        match method:
            case "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n"
            case "DESCRIBE" if "/moved/" in url:
                return f"RTSP/1.0 302 Found\r\n{cseq}Location: {url.replace('/moved/', '/camera/')}\r\n\r\n"
            case "DESCRIBE":
                body = self._description()
                extra = f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            case "SETUP":
                if not re.search(r"(?i)transport:.*interleaved", fields):
                    return f"RTSP/1.0 461 Unsupported transport\r\n{cseq}\r\n"
                client.camera = int(re.search(r"/camera/(\d+)", url).group(1))
                extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                extra += f"Session: 5EED{client.sock.fileno()};timeout={self.options.session_timeout}\r\n"
            case "PLAY":
                client.playing = True
                extra = f"Session: 5EED{client.sock.fileno()}\r\n"
            case "TEARDOWN":
                client.playing = False
        return f"RTSP/1.0 200 OK\r\n{cseq}{extra}\r\n{body}"

    def _is_let_in(self, header, method: str) -> bool:
        options = self.options
        return bool(header) and digest.is_right(header.group(1), method, options.user, options.password, options.digest)

    def _description(self) -> str:
        sets = f";sprop-parameter-sets={self.clip.sprop};profile-level-id={self.clip.profile}"
        match self.options.sdp:
            case "no-sets":
                sets = ""
            case "wrong-sets":
                sets = ";sprop-parameter-sets=Z0IAHukBQHsg,aM44gA==;profile-level-id=42001e"
            case "broken":
                return "v=0\r\nthis is no session description\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=replay", "t=0 0", "a=control:*"]
        if self.options.sdp == "odd":
            # As some cameras do: no origin, an audio track of a codec that nobody knows, a rate that is not true.
            lines = ["v=0", "s=", "t=0 0", "m=audio 0 RTP/AVP 101", "a=rtpmap:101 X-NOBODY/8000", "a=control:track9"]
        lines += ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", f"a=fmtp:96 packetization-mode=1{sets}"]
        return "\r\n".join([*lines, "a=control:track1", ""])

    def stats(self) -> dict:
        return {
            "frames_sent": sum(self.frames_sent.values()),
            "frames_dropped": self.frames_dropped,
            "cameras": len(self.frames_sent),
            "connections": self.connections,
            "waiting_bytes": sum(len(client.pending) for client in self.clients.values()),
        }
