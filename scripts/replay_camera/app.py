"""Starts the replay camera and takes its orders."""

import json
import os
import sys
import time
from dataclasses import replace

from .clip import load
from .options import parse
from .server import Server
from .stream import Stream

HOST = "127.0.0.1"


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    start, group_s = time.monotonic(), 2.0
    streams = []
    for number in range(options.phases):
        # A stream changes its packets as it sends them, so each has its own; key frames fall at different moments.
        clip = load(replace(options.clip, seed=number % options.clips))
        following = load(options.switch) if options.switch else None
        streams.append(Stream(clip, start + number * group_s / options.phases, options, following))
    server = Server(HOST, options, streams, load(options.clip))
    ready = {"event": "ready", "pid": os.getpid(), "port": server.port, "url": f"rtsp://{HOST}:{server.port}/camera/0"}
    if options.tls:
        from .tls import serve_tls

        ready["tls_url"] = f"rtsps://{HOST}:{serve_tls(HOST, server.port, *options.tls)}/camera/0"
    server.watch(sys.stdin.fileno())
    print(json.dumps(ready), flush=True)
    while True:
        server.run()
        order = os.read(sys.stdin.fileno(), 4096)
        if not order:
            return 0
        match order.decode().split():
            case []:
                # The end of a line may come alone.
                pass
            case ["hush", *_]:
                server.hushed = True
            case ["speak", *_]:
                server.hushed = False
            case _:
                print(json.dumps(server.stats()), flush=True)
