"""The RTSP side of one camera: GStreamer's server with `/main` and `/sub`, Digest authentication and faults."""

import threading
import time

from .gst import GLib, Gst, GstRtsp, GstRtspServer
from .player import LEAD_NS, Feed, Player
from .units import Track

_TRANSPORTS = {
    "both": GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP,
    "tcp": GstRtsp.RTSPLowerTrans.TCP,
    "udp": GstRtsp.RTSPLowerTrans.UDP,
}


class RtspError(RuntimeError):
    """The RTSP server could not be started; the text names address and port."""


class Stream:
    """A path of a camera (`main` or `sub`), its tracks and its counters."""

    def __init__(self, name: str, tracks: list[Track]) -> None:
        self.name, self.tracks = name, tracks
        self.frames_sent = 0
        self.audio_units_sent = 0
        self.bytes_sent = 0
        self.units_held_back = 0
        self.units_corrupted = 0
        self.sessions = 0
        self.feeds: list[Feed] = []

    def count(self, track: Track, unit) -> None:
        self.bytes_sent += unit.size
        if track is self.tracks[0]:
            self.frames_sent += 1
        else:
            self.audio_units_sent += 1

    def stats(self) -> dict:
        names = ("frames_sent", "audio_units_sent", "bytes_sent", "units_held_back", "units_corrupted", "sessions")
        return {name: getattr(self, name) for name in names} | {"playing": bool(self.feeds)}


class CountingAuth(GstRtspServer.RTSPAuth):
    """GStreamer's own check, with the camera's count of tries and its lock-out around it."""

    guard = None

    def do_authenticate(self, context) -> bool:
        result, _ = context.request.get_header(GstRtsp.RTSPHeaderField.AUTHORIZATION, 0)
        if result != GstRtsp.RTSPResult.OK:
            return True
        if self.guard.locked_for_s > 0:
            # No token was set: the request is answered as unauthorized.
            self.guard.settle(False, "rtsp")
            return True
        known = GstRtspServer.RTSPAuth.do_authenticate(self, context)
        self.guard.settle(context.token is not None, "rtsp")
        return known


class RtspServer:
    """Serves the streams of one camera on one port."""

    def __init__(self, camera, player: Player, bind: str, port: int, transport: str, basic: bool) -> None:
        self._camera, self._player = camera, player
        self._bind, self._transport = bind, transport
        self._lock = threading.Lock()
        self._clients: set = set()
        self._source_id = 0
        self._server = GstRtspServer.RTSPServer()
        self._server.set_address(bind)
        self._server.connect("client-connected", self._on_client)
        self._auth = CountingAuth()
        self._auth.guard = camera.guard
        methods = GstRtsp.RTSPAuthMethod.DIGEST
        self._auth.set_supported_methods(methods | GstRtsp.RTSPAuthMethod.BASIC if basic else methods)
        self._auth.set_realm(camera.realm)
        self._basic = basic
        self._secret = ""
        self.set_password(camera.password)
        self._server.set_auth(self._auth)
        for stream in camera.streams:
            self._mount(stream)
        self.port = port
        self.open()

    # Opening and closing the port ---------------------------------------------------------------

    def open(self) -> None:
        if self._source_id:
            return
        self._server.set_service(str(self.port))
        self._source_id = self._server.attach(None)
        if not self._source_id:
            raise RtspError(f"RTSP: cannot listen on {self._bind}:{self.port}; choose another --rtsp-port (0 = free)")
        self.port = self._server.get_bound_port()

    def close(self) -> None:
        """Closes the port and every connection; `open` opens the same port again."""
        if self._source_id:
            GLib.source_remove(self._source_id)
            self._source_id = 0
        self.drop_clients()

    def drop_clients(self) -> None:
        self._server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE)

    def expire_sessions(self) -> None:
        """Ends sessions of clients that went away without TEARDOWN."""
        pool = self._server.get_session_pool()
        if pool is not None:
            pool.cleanup()

    def set_password(self, password: str) -> None:
        user = self._camera.user
        if self._secret:
            self._auth.remove_digest(user)
            self._auth.remove_basic(GstRtspServer.RTSPAuth.make_basic(user, self._secret))
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        self._auth.add_digest(user, password, token)
        if self._basic:
            self._auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        self._secret = password

    @property
    def client_count(self) -> int:
        return len(self._clients)

    # Media --------------------------------------------------------------------------------------

    def _mount(self, stream: Stream) -> None:
        launch = []
        for index, track in enumerate(stream.tracks):
            launch.append(
                f"appsrc name=src{index} format=time is-live=true max-bytes=16777216 "
                f"! {track.payloader} name=pay{index} pt={96 + index if track.codec != 'pcmu' else 0}"
            )
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch("( " + " ".join(launch) + " )")
        factory.set_shared(True)
        factory.set_latency(0)
        factory.set_buffer_size(1 << 20)
        factory.set_protocols(_TRANSPORTS[self._transport])
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
        factory.connect("media-configure", self._on_media, stream)
        self._server.get_mount_points().add_factory("/" + stream.name, factory)

    def _on_media(self, _factory, media, stream: Stream) -> None:
        element = media.get_element()
        pipeline = element.get_parent()
        pipeline.use_clock(Gst.SystemClock.obtain())
        # Fixed base time: timestamps follow the camera's clock, not the moment a client came.
        pipeline.set_start_time(Gst.CLOCK_TIME_NONE)
        pipeline.set_base_time(self._camera.epoch_ns - LEAD_NS)
        feeds = []
        for index, track in enumerate(stream.tracks):
            source = element.get_by_name_recurse_up(f"src{index}")
            source.set_property("caps", Gst.Caps.from_string(track.caps))
            feeds.append(Feed(self._camera, stream, track, source))
        now = time.monotonic_ns()
        for feed in feeds:
            feed.prime(now)
        media.connect("new-state", self._on_state, stream, feeds)
        media.connect("unprepared", self._on_unprepared, stream, feeds)

    def _on_state(self, media, state: int, stream: Stream, feeds: list[Feed]) -> None:
        now = time.monotonic_ns()
        if state == Gst.State.PLAYING.real:
            _send_at_once(media)
            with self._lock:
                starting = [feed for feed in feeds if feed.playing_since_ns is None]
                if starting and not stream.feeds:
                    stream.feeds = feeds
            if starting:
                stream.sessions += 1
                self._arm_drop(feeds)
            for feed in starting:
                feed.play(now)
                self._player.add(feed)
        else:
            for feed in feeds:
                feed.playing_since_ns = None

    def _on_unprepared(self, _media, stream: Stream, feeds: list[Feed]) -> None:
        for feed in feeds:
            feed.closed = True
        with self._lock:
            if stream.feeds is feeds:
                stream.feeds = []

    def arm_open_sessions(self) -> None:
        """A drop that is asked for at run time counts from now for the sessions that play already."""
        for stream in self._camera.streams:
            if stream.feeds:
                self._arm_drop(stream.feeds)

    def _arm_drop(self, feeds: list[Feed]) -> None:
        fault = self._camera.faults.get("drop-after")
        if fault:
            GLib.timeout_add(max(1, int(fault.value * 1000)), self._drop_if_open, feeds)

    def _drop_if_open(self, feeds: list[Feed]) -> bool:
        if self._camera.faults.has("drop-after") and not all(feed.closed for feed in feeds):
            self._camera.connections_dropped += 1
            self.drop_clients()
        return GLib.SOURCE_REMOVE

    def _on_client(self, _server, client) -> None:
        self._clients.add(client)
        client.connect("closed", self._clients.discard)


def _send_at_once(media) -> None:
    """The player paces the units; a sink that waits for the clock again would hang on a timestamp fault."""
    sinks = media.get_element().get_parent().iterate_sinks()
    while True:
        result, sink = sinks.next()
        if result == Gst.IteratorResult.RESYNC:
            sinks.resync()
        elif result != Gst.IteratorResult.OK:
            return
        else:
            sink.set_property("sync", False)
