"""TLS in front of the RTSP server: what a client sends is passed on in the clear, and back."""

import socket
import ssl
import threading


def serve_tls(host: str, port: int, certificate: str, key: str) -> int:
    """The port that speaks TLS for `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server((host, 0))
    threading.Thread(target=_accept, args=(listener, context, (host, port)), daemon=True).start()
    return listener.getsockname()[1]


def _accept(listener: socket.socket, context: ssl.SSLContext, server: tuple[str, int]) -> None:
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=_join, args=(raw, context, server), daemon=True).start()


def _join(raw: socket.socket, context: ssl.SSLContext, server: tuple[str, int]) -> None:
    try:
        with context.wrap_socket(raw, server_side=True) as outer, socket.create_connection(server) as inner:
            threading.Thread(target=_pass, args=(inner, outer), daemon=True).start()
            _pass(outer, inner)
    except OSError:
        # Also a handshake that fails: the client hears of it from its own side.
        raw.close()


def _pass(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
