"""An RTSP camera that burns the wall time into each picture the moment it goes to the encoder: `stamp_camera.py FPS`.

The time in milliseconds stands as 48 black and white cells in three rows over the upper half of the picture, with 8
more for a check sum, so that it survives compression, scaling and a canvas. Prints its address, then runs until its
input ends."""

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from demo_camera.gst import GLib, Gst, GstRtspServer

WIDTH, HEIGHT = 640, 360
COLUMNS, ROWS = 14, 4
CELL_X, CELL_Y = WIDTH // COLUMNS, HEIGHT // 2 // ROWS
TIME_BITS = 48
BLACK, WHITE, GRAY = 16, 235, 128
# Encoding costs no time that belongs to the box: one picture in, one out.
ENCODER = "x264enc tune=zerolatency speed-preset=ultrafast bitrate=1500 key-int-max={gop} byte-stream=true"


def bits(millis: int) -> np.ndarray:
    """The cells of a time, row by row."""
    check = sum((millis >> shift) & 0xFF for shift in range(0, TIME_BITS, 8)) & 0xFF
    value = millis << 8 | check
    return np.array([(value >> shift) & 1 for shift in range(COLUMNS * ROWS - 1, -1, -1)], dtype=bool)


def picture(background: np.ndarray, millis: int) -> bytes:
    """I420 with the time in it."""
    luma = background
    cells = np.where(bits(millis).reshape(ROWS, COLUMNS), WHITE, BLACK).astype(np.uint8)
    luma[: ROWS * CELL_Y, : COLUMNS * CELL_X] = np.kron(cells, np.ones((CELL_Y, CELL_X), np.uint8))
    # Something that moves: an encoder that has nothing to do is no camera.
    luma[HEIGHT // 2 :] = np.roll(luma[HEIGHT // 2 :], 3, axis=1)
    return luma.tobytes() + bytes([GRAY]) * (WIDTH * HEIGHT // 2)


class Camera(GstRtspServer.RTSPMediaFactory):
    """One pipeline, shared by all who connect."""

    def __init__(self, fps: int) -> None:
        super().__init__()
        self.fps = fps
        self.set_shared(True)
        encoder = ENCODER.format(gop=2 * fps)
        caps = f"video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={fps}/1"
        self.set_launch(
            f"( appsrc name=source is-live=true format=time do-timestamp=true caps={caps} max-buffers=1 leaky-type=2 "
            f"! {encoder} ! rtph264pay name=pay0 pt=96 config-interval=1 )"
        )

    def begin(self, media: GstRtspServer.RTSPMedia) -> None:
        source = media.get_element().get_by_name("source")
        threading.Thread(target=self._feed, args=(source,), daemon=True).start()

    def _feed(self, source: Gst.Element) -> None:
        noise = np.random.default_rng(1).integers(60, 180, (HEIGHT // 8, WIDTH // 8), dtype=np.uint8)
        background = np.kron(noise, np.ones((8, 8), np.uint8))
        due = time.monotonic()
        while True:
            due = max(due + 1 / self.fps, time.monotonic() - 1 / self.fps)
            time.sleep(max(0.0, due - time.monotonic()))
            data = picture(background, int(time.time() * 1000))
            if source.emit("push-buffer", Gst.Buffer.new_wrapped(data)) != Gst.FlowReturn.OK:
                return


def main() -> None:
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = Camera(int(sys.argv[1]))
    factory.connect("media-configure", lambda camera, media: camera.begin(media))
    server.get_mount_points().add_factory("/main", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/main", flush=True)
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
