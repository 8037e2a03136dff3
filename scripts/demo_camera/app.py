"""Starts everything in order, prints the addresses, runs until told to stop."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from .options import parse, port_for
from .scene import SceneError, SceneFiles, SceneParams, prepare, usual_length


def log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} demo-camera: {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    width, height = options.size
    seconds, fps = usual_length(options.scene)
    seconds, fps = options.scene_seconds or seconds, options.fps or fps
    params = SceneParams(options.scene, options.seed, width, height, fps, seconds, options.bframes, options.bitrate)
    # Until the main loop takes over, SIGTERM ends the rendering like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        files = prepare(params, options.codec, options.audio, log)
    except (SceneError, OSError) as error:
        log(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    if options.render_only:
        print(json.dumps({"event": "rendered", "main": str(files.main), "cached": files.cached}))
        return 0
    # GStreamer only after rendering: its threads would not survive the fork of the render processes.
    from .rtsp import RtspError
    from .units import MediaError
    from .web import WebError

    try:
        return Site(options, params, files).run()
    except (RtspError, WebError, MediaError, OSError) as error:
        log(str(error))
        return 1


class Site:
    """All cameras of this process."""

    def __init__(self, options, params: SceneParams, files: SceneFiles) -> None:
        from .gst import GLib
        from .player import Player
        from .rtsp import RtspServer
        from .units import load_audio, load_video
        from .web import WebServer

        self.log, self.log_requests = log, options.log_requests
        self._options, self._params, self._scene_truth = options, params, files.truth
        self._glib, self._loop = GLib, GLib.MainLoop()
        self._snapshots = [path.read_bytes() for path in files.snapshots]
        tracks = {
            "main": [load_video(files.main, options.codec, params.fps)],
            "sub": [load_video(files.sub, "h264", params.fps)],
        }
        if files.audio is not None:
            sound = load_audio(files.audio, options.audio)
            for stream in tracks.values():
                stream.append(sound)
        self._player = Player()
        self._web = WebServer(options.bind, self)
        self._discovery = None
        now = time.monotonic_ns()
        self.cameras = [self._camera(index, tracks, now) for index in range(options.count)]
        for camera in self.cameras:
            port = port_for(options.rtsp_port, camera.index)
            camera.rtsp = RtspServer(camera, self._player, options.bind, port, options.transport, options.basic)
            camera.onvif_port = self._web.listen(port_for(options.onvif_port, camera.index), camera)
        self._control_port = self._web.listen(options.control_port)

    def _camera(self, index: int, tracks: dict, now_ns: int):
        from .camera import Camera, Profile

        p, o = self._params, self._options
        profiles = [
            Profile("main", "Main stream", "main", o.codec, p.width, p.height, p.fps, p.gop, p.bitrate_kbps, o.audio),
            Profile("sub", "Sub stream", "sub", "h264", 640, 360, p.fps, p.gop, max(200, p.bitrate_kbps // 8), o.audio),
        ]
        offset_ns = int(index * o.stagger % p.seconds * 1_000_000_000)
        return Camera(index, o, tracks, profiles, now_ns - offset_ns)

    def run(self) -> int:
        options = self._options
        for number in (signal.SIGINT, signal.SIGTERM):
            self._glib.unix_signal_add(self._glib.PRIORITY_HIGH, number, self._quit)
        self._player.start()
        self._web.start()
        if not options.no_discovery:
            self._start_discovery()
        for fault in options.fault:
            self._apply(fault)
        if options.seconds:
            self._glib.timeout_add(int(options.seconds * 1000), self._quit)
        self._glib.timeout_add_seconds(2, self._expire_sessions)
        if options.truth:
            self._write_truth(Path(options.truth))
        print(json.dumps(self._announcement()), flush=True)
        log(f"{len(self.cameras)} camera(s), first {self.cameras[0].rtsp_url('main', options.interface)}")
        self._loop.run()
        self._shut_down()
        return 0

    def _start_discovery(self) -> None:
        from .discovery import Discovery

        try:
            self._discovery = Discovery(self.cameras, self._options.interface, log)
            self._discovery.start()
        except OSError as error:
            # Streaming works without it: typed addresses still find the cameras.
            log(f"WS-Discovery is off: UDP port 3702 on {self._options.interface}: {error}")

    def _quit(self) -> bool:
        self._loop.quit()
        return self._glib.SOURCE_REMOVE

    def _shut_down(self) -> None:
        # Whatever hangs, the process is gone within the two seconds that a supervisor allows.
        threading.Timer(1.8, os._exit, [0]).start()
        if self._discovery is not None:
            self._discovery.stop()
        for camera in self.cameras:
            camera.rtsp.close()
        self._player.stop()
        self._web.stop()
        log("stopped")
        sys.stdout.flush()
        os._exit(0)

    def _expire_sessions(self) -> bool:
        for camera in self.cameras:
            camera.rtsp.expire_sessions()
        return self._glib.SOURCE_CONTINUE

    # What the HTTP pages show ----------------------------------------------------------------------

    def _announcement(self) -> dict:
        options = self._options
        return {
            "event": "ready",
            "pid": os.getpid(),
            "control": f"http://{options.interface}:{self._control_port}",
            "user": options.user,
            "password": options.password,
            "truth": str(Path(options.truth).resolve()) if options.truth else None,
            "codec": options.codec,
            "audio": options.audio,
            "fps": self._params.fps,
            "loop_s": float(self._params.seconds),
            "discovery": self._discovery is not None,
            "cameras": [camera.describe() for camera in self.cameras],
        }

    def truth(self) -> dict:
        return self._scene_truth | {"cameras": [camera.describe() for camera in self.cameras]}

    def _write_truth(self, path: Path) -> None:
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(self.truth(), indent=1), encoding="utf-8")
        part.replace(path)

    def stats(self) -> dict:
        return {
            "unix_s": round(time.time(), 3),
            "discovery_probes": self._discovery.probes if self._discovery else 0,
            "cameras": [camera.stats() for camera in self.cameras],
        }

    def snapshot(self, camera) -> bytes:
        loop_s = float(self._params.seconds)
        index = int(camera.position_s(loop_s) * len(self._snapshots) / loop_s)
        return self._snapshots[min(index, len(self._snapshots) - 1)]

    def set_fault(self, fault) -> list[dict]:
        """Called from an HTTP thread; the main loop applies it before this returns."""
        if fault.camera is not None and not 0 <= fault.camera < len(self.cameras):
            from .faults import FaultError

            raise FaultError(f"there is no camera {fault.camera}, the last is {len(self.cameras) - 1}")
        done = threading.Event()

        def apply() -> bool:
            try:
                self._apply(fault)
            finally:
                done.set()
            return self._glib.SOURCE_REMOVE

        self._glib.idle_add(apply)
        done.wait(5)
        return [{"index": camera.index, "faults": camera.faults.describe()} for camera in self.cameras]

    def _apply(self, fault) -> None:
        for camera in self.cameras:
            if fault.camera in (None, camera.index):
                camera.apply_fault(fault, self._web)
                log(f"{camera.name}: faults now {', '.join(camera.faults.describe()) or 'none'}")
