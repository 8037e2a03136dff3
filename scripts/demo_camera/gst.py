"""The one place that loads GStreamer, so that a missing package gives a message instead of a trace."""

import sys

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
except (ImportError, ValueError) as error:
    sys.exit(
        f"demo-camera: GStreamer's RTSP server is not usable from {sys.executable}: {error}; install "
        "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
    )

Gst.init(None)

__all__ = ["GLib", "Gst", "GstRtsp", "GstRtspServer"]
