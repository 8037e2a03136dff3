"""Command line of the replay camera."""

import argparse

from .clip import Spec


def spec(text: str) -> Spec:
    """`WIDTHxHEIGHT:FPS:SECONDS:KBPS`."""
    try:
        size, fps, seconds, kbps = text.split(":")
        width, height = size.split("x")
        return Spec(int(width), int(height), int(fps), int(seconds), int(kbps))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: write WIDTHxHEIGHT:FPS:SECONDS:KBPS") from error


def parse(argv: list[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(
        prog="replay-camera",
        description="Replays a rendered clip over RTSP (TCP) as any number of cameras: rtsp://HOST:PORT/camera/N. The "
        "first line on stdout is one JSON object with the addresses. Lines on stdin are orders: `stats` is answered by "
        "a line of JSON, `hush` stops sending without closing, `speak` goes on. Ends when stdin ends.",
    )
    p.add_argument("--port", type=int, default=0, help="0 = any free one (default)")
    p.add_argument("--clip", type=spec, default=Spec(), metavar="WxH:FPS:S:KBPS", help="default 1920x1080:25:8:4000")
    p.add_argument("--clips", type=int, default=1, metavar="N", help="clips that differ in their noise (default 1)")
    p.add_argument("--phases", type=int, default=1, metavar="N", help="moments at which cameras send (default 1)")
    p.add_argument("--user", default="admin")
    p.add_argument("--password", help="ask for it by Digest; without it everybody is let in")
    p.add_argument("--digest", choices=["MD5", "SHA-256"], default="MD5", help="algorithm of the challenge")
    p.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="offer rtsps on a port of its own")
    p.add_argument("--redirect", action="store_true", help="/moved/N answers DESCRIBE with 302 to /camera/N")
    p.add_argument("--session-timeout", type=int, default=60, metavar="S", help="told in the Session header")
    p.add_argument("--deaf", action="store_true", help="answer nothing after PLAY: keep-alives are ignored")
    p.add_argument("--sdp", choices=["good", "no-sets", "wrong-sets", "odd", "broken"], default="good")
    p.add_argument("--switch", type=spec, metavar="CLIP", help="change to another clip in the middle of the stream")
    p.add_argument("--switch-after", type=float, default=3.0, metavar="S")
    p.add_argument("--times", choices=["good", "hours-off", "wrap", "back", "twice"], default="good", help="RTP times")
    p.add_argument("--reports", choices=["good", "absurd", "none"], default="good", help="RTCP sender reports")
    return p.parse_args(argv)
