"""Command line of the demo camera."""

import argparse

from .faults import FaultError, parse_fault

DEFAULT_PASSWORD = "rua-demo-2026"
SCENES = ("day", "night", "rain", "dense", "empty")
#: Below this the lanes of the fuller scenes have no room for their vehicles.
SHORTEST_FULL_S = 30


def ports(text: str) -> list[int]:
    """`8554` (base of consecutive ports), `0` (free ports) or `8554,9000,9001` (one for each camera)."""
    values = [int(part) for part in text.split(",")]
    if any(not 0 <= value <= 65535 for value in values):
        raise argparse.ArgumentTypeError(f"{text}: a port is 0..65535")
    return values


def frame_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()) or int(width) % 2 or int(height) % 2:
        raise argparse.ArgumentTypeError(f"{text}: give an even WIDTHxHEIGHT such as 1920x1080")
    if int(width) * 9 != int(height) * 16 or not 320 <= int(width) <= 2032:
        raise argparse.ArgumentTypeError(f"{text}: the scene is drawn in 16:9, 320 to 2032 pixels wide")
    return int(width), int(height)


def fault(text: str):
    try:
        return parse_fault(text)
    except FaultError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def port_for(values: list[int], index: int) -> int:
    """Port of camera `index` out of what `ports` returned."""
    if len(values) > 1:
        return values[index]
    return 0 if values[0] == 0 else values[0] + index


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="demo-camera",
        description="Cameras that play a rendered street scene over RTSP and answer ONVIF. "
        "The first line on stdout is one JSON object with every address; the log goes to stderr.",
    )
    p.add_argument("--count", type=int, default=1, metavar="N", help="number of cameras (default 1)")
    p.add_argument("--bind", default="127.0.0.1", metavar="IP", help="address to listen on (default 127.0.0.1)")
    p.add_argument("--interface", metavar="IP", help="address announced and used for WS-Discovery (default: --bind)")
    p.add_argument("--rtsp-port", type=ports, default=[8554], metavar="P", help="first port, P,P,... or 0 = free")
    p.add_argument("--onvif-port", type=ports, default=[8680], metavar="P", help="first port, P,P,... or 0 = free")
    p.add_argument("--control-port", type=int, default=8670, metavar="P", help="/truth /stats /fault; 0 = free")
    p.add_argument("--no-discovery", action="store_true", help="do not answer WS-Discovery probes")
    p.add_argument("--user", default="admin")
    p.add_argument("--password", default=DEFAULT_PASSWORD)
    p.add_argument("--basic", action="store_true", help="accept RTSP Basic authentication too")
    p.add_argument("--http-digest", choices=["md5", "sha256", "both"], default="both", help="digests offered by HTTP")
    p.add_argument("--clock-offset", type=float, default=0.0, metavar="S", help="the cameras' clock is wrong by S")
    p.add_argument("--transport", choices=["both", "tcp", "udp"], default="both", help="RTP transports offered")
    p.add_argument("--codec", choices=["h264", "h265", "mjpeg"], default="h264", help="codec of the main stream")
    p.add_argument("--audio", choices=["aac", "pcmu", "none"], default="none")
    p.add_argument("--bframes", type=int, default=0, metavar="N", help="B-frames between references (default 0)")
    p.add_argument("--bitrate", type=int, default=4000, metavar="KBPS", help="main stream, kbit/s (default 4000)")
    p.add_argument("--size", type=frame_size, default=(1920, 1080), metavar="WxH")
    p.add_argument("--fps", type=int, metavar="N", help="frames a second (default 15 for day, 10 for the others)")
    p.add_argument("--scene", choices=SCENES, default="day", help="what the street is like (default day)")
    p.add_argument(
        "--scene-seconds",
        type=int,
        metavar="N",
        help="length of the loop (default 64, dense 72, night and rain 96, empty 120)",
    )
    p.add_argument("--seed", type=int, default=7, help="another seed is another street day (default 7)")
    p.add_argument("--stagger", type=float, default=0.0, metavar="S", help="camera i starts i*S seconds into the loop")
    p.add_argument("--truth", metavar="FILE", help="write the true passages and loop starts as JSON")
    p.add_argument("--fault", type=fault, action="append", default=[], metavar="F", help=FAULT_HELP)
    p.add_argument("--seconds", type=float, metavar="N", help="end by itself after N seconds")
    p.add_argument("--render-only", action="store_true", help="render and encode into the cache, then end")
    p.add_argument("--log-requests", action="store_true", help="log every ONVIF and HTTP request")
    return p


FAULT_HELP = (
    "drop-after=S closes the connections S seconds after PLAY, again and again; stall-after=S stops sending; "
    "timestamps=jump|back[:S] moves RTP time by +3 h or -1 h after S seconds; garbage[=FRACTION] corrupts "
    "payloads; wrong-password; down (ports closed); hang (ports open, no answer). KIND@I: camera I only. Repeatable."
)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    p = parser()
    options = p.parse_args(argv)
    if not 1 <= options.count <= 512:
        p.error("--count: 1 to 512")
    if options.fps is not None and not 1 <= options.fps <= 60:
        p.error("--fps: 1 to 60")
    shortest = SHORTEST_FULL_S if options.scene in ("night", "rain", "dense") else 2
    if options.scene_seconds is not None and not shortest <= options.scene_seconds <= 600:
        p.error(f"--scene-seconds: {shortest} to 600 for the scene {options.scene}")
    for name in ("rtsp_port", "onvif_port"):
        values = getattr(options, name)
        if len(values) not in (1, options.count):
            p.error(f"--{name.replace('_', '-')}: give one port or {options.count}")
        if max(port_for(values, i) for i in range(options.count)) > 65535:
            p.error(f"--{name.replace('_', '-')}: ports beyond 65535")
    for spec in options.fault:
        if spec.camera is not None and not 0 <= spec.camera < options.count:
            p.error(f"--fault: there is no camera {spec.camera}, the first is 0")
    options.interface = options.interface or (options.bind if options.bind != "0.0.0.0" else "127.0.0.1")
    return options
