"""One camera: its identity, clock, profiles, servers, faults and figures."""

import time
import uuid
from dataclasses import dataclass
from urllib.parse import quote

from .credentials import Guard
from .faults import Fault, FaultSet
from .onvif import OnvifService
from .rtsp import RtspServer, Stream
from .units import NS, Track

REALM = "GT-Vision demo camera"
_ALGORITHMS = {"md5": ["MD5"], "sha256": ["SHA-256"], "both": ["MD5", "SHA-256"]}


@dataclass(frozen=True)
class Profile:
    """An ONVIF media profile; `stream` is the RTSP path."""

    token: str
    name: str
    stream: str
    codec: str
    width: int
    height: int
    fps: int
    gop: int
    kbps: int
    audio: str

    @property
    def has_audio(self) -> bool:
        return self.audio != "none"


class Camera:
    """Owns what belongs to one camera. The RTSP server is opened by `start_rtsp`, HTTP by the web server."""

    def __init__(self, index: int, options, tracks: dict[str, list[Track]], profiles: list[Profile], epoch_ns: int):
        self.index = index
        self.name = f"demo-{index + 1}"
        self.user, self.password = options.user, options.password
        self.realm = REALM
        self.host = options.interface
        self.profiles = profiles
        self.streams = [Stream(name, tracks[name]) for name in ("main", "sub")]
        self.faults = FaultSet()
        self.connections_dropped = 0
        self.requests = 0
        self.onvif_port = 0
        self._clock_offset_s = options.clock_offset
        #: Monotonic nanoseconds at which this camera's loop was at its start.
        self.epoch_ns = epoch_ns
        self.guard = Guard(self.user, self.password, REALM, _ALGORITHMS[options.http_digest], self.camera_time)
        self.onvif = OnvifService(self)
        self.rtsp: RtspServer | None = None

    # Identity -------------------------------------------------------------------------------------

    @property
    def serial(self) -> str:
        return f"GTVDEMO{self.onvif_port:05d}"

    @property
    def endpoint(self) -> str:
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'gtv-demo://{self.host}:{self.onvif_port}')}"

    @property
    def mac(self) -> str:
        return f"02:67:74:76:{self.onvif_port >> 8:02x}:{self.onvif_port & 255:02x}"

    @property
    def scopes(self) -> list[str]:
        base = "onvif://www.onvif.org"
        names = ("type/video_encoder", "Profile/Streaming", "Profile/T", "hardware/demo", "location/country/brazil")
        return [f"{base}/{name}" for name in names] + [f"{base}/name/{quote(self.name)}"]

    def camera_time(self) -> float:
        """Seconds since 1970 on the camera's own clock."""
        return time.time() + self._clock_offset_s

    # Addresses ------------------------------------------------------------------------------------

    def device_url(self, host: str) -> str:
        return f"http://{host}:{self.onvif_port}/onvif/device_service"

    def snapshot_url(self, host: str) -> str:
        return f"http://{host}:{self.onvif_port}/snapshot.jpg"

    def rtsp_url(self, stream: str, host: str) -> str:
        return f"rtsp://{host}:{self.rtsp.port}/{stream}"

    # Faults ---------------------------------------------------------------------------------------

    @property
    def answers_discovery(self) -> bool:
        return not (self.faults.has("down") or self.faults.has("hang"))

    def apply_fault(self, fault: Fault, web) -> None:
        """Runs in the main loop, where the RTSP server lives."""
        self.faults.apply(fault)
        password = self.password + "-changed" if self.faults.has("wrong-password") else self.password
        if password != self.guard.password:
            self.guard.password = password
            self.rtsp.set_password(password)
            self.rtsp.drop_clients()
        if fault.kind == "none":
            self.guard.unlock()
        elif fault.kind == "drop-after":
            self.rtsp.arm_open_sessions()
        if self.answers_discovery:
            web.restore(self)
            self.rtsp.open()
        else:
            self.rtsp.close()
            web.withdraw(self, hang=self.faults.has("hang"))

    # Figures --------------------------------------------------------------------------------------

    def position_s(self, loop_s: float) -> float:
        """Where in the loop the camera is now."""
        return (time.monotonic_ns() - self.epoch_ns) / NS % loop_s

    def loop_start_unix_s(self) -> float:
        """Wall clock of the loop's start; later loops follow every `loop_s`."""
        return time.time() - (time.monotonic_ns() - self.epoch_ns) / NS

    def describe(self) -> dict:
        return {
            "index": self.index,
            "name": self.name,
            "endpoint": self.endpoint,
            "onvif": self.device_url(self.host),
            "onvif_port": self.onvif_port,
            "rtsp_port": self.rtsp.port,
            "main": self.rtsp_url("main", self.host),
            "sub": self.rtsp_url("sub", self.host),
            "snapshot": self.snapshot_url(self.host),
            "loop_start_unix_s": round(self.loop_start_unix_s(), 3),
        }

    def stats(self) -> dict:
        return {
            "index": self.index,
            "name": self.name,
            "streams": {stream.name: stream.stats() for stream in self.streams},
            "rtsp_clients": self.rtsp.client_count,
            "connections_dropped": self.connections_dropped,
            "onvif_requests": self.requests,
            "accepted_tries": dict(self.guard.accepted_tries),
            "failed_tries": dict(self.guard.failed_tries),
            "lockouts": self.guard.lockouts,
            "locked_for_s": round(self.guard.locked_for_s, 1),
            "faults": self.faults.describe(),
        }
