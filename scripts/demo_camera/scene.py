"""Renders the street scene once, encodes it and keeps the files in the cache folder."""

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from .audio import write_street_noise

GOP_S = 2
SNAPSHOT_EVERY_S = 1
KEPT_SCENES = 12


class SceneError(RuntimeError):
    """The scene could not be rendered or encoded; the text says which step failed."""


@dataclass(frozen=True)
class SceneParams:
    """Everything that changes a pixel or a bit of the encoded files."""

    kind: str
    seed: int
    width: int
    height: int
    fps: int
    seconds: int
    bframes: int
    bitrate_kbps: int

    @property
    def frames(self) -> int:
        return self.fps * self.seconds

    @property
    def gop(self) -> int:
        return self.fps * GOP_S


@dataclass(frozen=True)
class SceneFiles:
    """The encoded scene: one file a stream, the truth, and a JPEG for every second."""

    main: Path
    sub: Path
    audio: Path | None
    truth: dict
    snapshots: list[Path]
    cached: bool


def usual_length(kind: str) -> tuple[int, int]:
    """Seconds of the loop and frames a second, unless others are asked for."""
    from render.kinds import KINDS

    return KINDS[kind].seconds, KINDS[kind].fps


def cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gtv" / "demo"


def scene_key(params: SceneParams) -> str:
    """Hash of the parameters, the encoder's command line and the sources that draw."""
    import render.street  # noqa: F401 - what it loads is what draws the scene

    drawing = [module.__file__ for name, module in sys.modules.items() if name.startswith("render.")]
    recipe = [asdict(params), _encoder_command(params, Path("x"), 0), SNAPSHOT_EVERY_S]
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for source in map(Path, sorted(filter(None, drawing))):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def prepare(params: SceneParams, codec: str, audio: str, log) -> SceneFiles:
    """Returns the files of the scene, rendering and encoding what the cache lacks."""
    folder = cache_root() / scene_key(params)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:
        # Two starts at once must not render twice: the second waits and finds the files.
        fcntl.flock(lock, fcntl.LOCK_EX)
        cached = (folder / "truth.json").exists()
        if not cached:
            _build(params, folder, log)
        folder.touch()
        _forget_old_scenes(folder.parent)
        main = _main_in(folder, params, codec, log)
        sound = _audio_in(folder, params, audio)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    return SceneFiles(main, folder / "sub.mp4", sound, truth, sorted(folder.glob("snapshot-*.jpg")), cached)


def _forget_old_scenes(root: Path) -> None:
    """Keeps the scenes used last; each change of the renderer or of an option makes a new folder of about 40 MB."""
    folders = sorted((f for f in root.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime, reverse=True)
    for folder in folders[KEPT_SCENES:]:
        if time.time() - folder.stat().st_mtime > 3600:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".lock").unlink(missing_ok=True)


def _build(params: SceneParams, folder: Path, log) -> None:
    import cv2
    from render.street import StreetScene

    # Threads of OpenCV would not survive the fork of the workers.
    cv2.setNumThreads(1)
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    started = time.monotonic()
    scene = StreetScene(params.seed, (params.width, params.height), params.fps, params.seconds, params.kind)
    log(f"rendering the {params.kind} scene, once; later starts take it from the cache")
    scene.prepare()
    chunks = _chunks(params)
    context = multiprocessing.get_context("fork")
    progress = context.Value("i", 0)
    workers = [
        context.Process(target=_render_chunk, args=(scene, params, part, number, first, last, progress), daemon=True)
        for number, (first, last) in enumerate(chunks)
    ]
    for worker in workers:
        worker.start()
    try:
        _watch(workers, progress, params.frames, started, log)
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            worker.join()
    if any(worker.exitcode for worker in workers):
        raise SceneError("rendering the scene failed; the lines above say why")
    for stream in ("main", "sub"):
        _concatenate(part, stream, len(chunks))
    (part / "truth.json").write_text(json.dumps(scene.truth()), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    log(f"scene rendered in {time.monotonic() - started:.0f} s: {folder}")


def _watch(workers, progress, frames: int, started: float, log) -> None:
    shown = started
    while any(worker.is_alive() for worker in workers):
        for worker in workers:
            worker.join(0.2)
        if any(worker.exitcode for worker in workers if worker.exitcode is not None):
            return
        now = time.monotonic()
        if now - shown >= 3 and progress.value:
            shown = now
            left = (now - started) * (frames - progress.value) / progress.value
            log(f"rendering the scene: {100 * progress.value // frames} %, about {left:.0f} s left")


def _chunks(params: SceneParams) -> list[tuple[int, int]]:
    """Frame ranges for the worker processes, cut where a GOP begins so that the files can be joined."""
    gops = -(-params.frames // params.gop)
    # More chunks than cores only when the scene is long: each chunk starts an encoder of its own.
    count = max(1, min(os.cpu_count() or 1, gops))
    cuts = [min(params.frames, gops * i // count * params.gop) for i in range(count + 1)]
    return list(pairwise(cuts))


def _render_chunk(scene, params: SceneParams, part: Path, number: int, first: int, last: int, progress) -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)
    parent = os.getppid()
    with open(part / f"encode-{number}.log", "wb") as errors:
        encoder = subprocess.Popen(_encoder_command(params, part, number), stdin=subprocess.PIPE, stderr=errors)
        try:
            for index in range(first, last):
                if os.getppid() != parent:
                    # The camera was killed: nobody will use the rest.
                    encoder.kill()
                    os._exit(1)
                image = scene.frame(index)
                if index % (params.fps * SNAPSHOT_EVERY_S) == 0:
                    cv2.imwrite(str(part / f"snapshot-{index:05d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 88])
                encoder.stdin.write(image.tobytes())
                with progress.get_lock():
                    progress.value += 1
            encoder.stdin.close()
        except BrokenPipeError:
            pass
        if encoder.wait():
            text = (part / f"encode-{number}.log").read_text(errors="replace").strip()
            sys.exit(f"ffmpeg could not encode the scene: {text[-800:]}")


def _encoder_command(params: SceneParams, part: Path, number: int) -> list[str]:
    sub_kbps = max(200, params.bitrate_kbps // 8)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "bgr24"]
    command += ["-s", f"{params.width}x{params.height}", "-r", str(params.fps), "-i", "pipe:0"]
    command += ["-filter_complex", "split[a][b];[a]format=yuv420p[m];[b]scale=640:360:flags=area,format=yuv420p[s]"]
    for label, name, kbps in (("m", "main", params.bitrate_kbps), ("s", "sub", sub_kbps)):
        command += ["-map", f"[{label}]", "-c:v", "libx264", "-preset", "veryfast", "-threads", "1"]
        command += ["-profile:v", "main", "-bf", str(params.bframes), "-g", str(params.gop), "-sc_threshold", "0"]
        command += ["-keyint_min", str(params.gop), "-b:v", f"{kbps}k", "-maxrate", f"{kbps}k"]
        command += ["-bufsize", f"{2 * kbps}k", "-flags", "+cgop", str(part / f"{name}-{number}.mp4")]
    return command


def _concatenate(part: Path, stream: str, count: int) -> None:
    listing = part / f"{stream}.txt"
    listing.write_text("".join(f"file '{stream}-{number}.mp4'\n" for number in range(count)), encoding="ascii")
    _ffmpeg("-f", "concat", "-safe", "0", "-i", listing, "-c", "copy", part / f"{stream}.mp4")
    for leftover in [listing, *(part / f"{stream}-{number}.mp4" for number in range(count))]:
        leftover.unlink()


def _main_in(folder: Path, params: SceneParams, codec: str, log) -> Path:
    """The main stream in another codec is made from the H.264 file when it is first asked for."""
    if codec == "h264":
        return folder / "main.mp4"
    target = folder / f"main-{codec}.mp4"
    if target.exists():
        return target
    log(f"encoding the scene as {codec}")
    if codec == "h265":
        x265 = f"keyint={params.gop}:min-keyint={params.gop}:scenecut=0:bframes={params.bframes}:open-gop=0"
        options = ["-c:v", "libx265", "-preset", "ultrafast", "-b:v", f"{params.bitrate_kbps // 2}k"]
        options += ["-x265-params", x265 + ":log-level=error", "-tag:v", "hvc1"]
    else:
        options = ["-c:v", "mjpeg", "-q:v", "7", "-pix_fmt", "yuvj420p", "-huffman", "default"]
    _ffmpeg("-i", folder / "main.mp4", *options, folder / f"part-{codec}.mp4")
    (folder / f"part-{codec}.mp4").rename(target)
    return target


def _audio_in(folder: Path, params: SceneParams, audio: str) -> Path | None:
    if audio == "none":
        return None
    target = folder / {"aac": "audio.m4a", "pcmu": "audio.wav"}[audio]
    if not target.exists():
        noise = folder / "noise.wav"
        write_street_noise(noise, params.seconds, params.seed)
        part = target.with_name("part-" + target.name)
        if audio == "aac":
            _ffmpeg("-i", noise, "-c:a", "aac", "-b:a", "48k", part)
        else:
            _ffmpeg("-i", noise, "-ar", "8000", "-c:a", "pcm_mulaw", part)
        noise.unlink()
        part.rename(target)
    return target


def _ffmpeg(*arguments) -> None:
    command = ["ffmpeg", "-nostdin", "-y", "-v", "error", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SceneError(f"ffmpeg failed: {' '.join(command)}: {done.stderr.strip()[-800:]}")
