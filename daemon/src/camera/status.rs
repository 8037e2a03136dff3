//! What a camera is doing and why, as the page shows it.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use crate::base::time::UtcMicros;
use crate::media::{StreamKind, VideoCodec};

/// The state of a camera, from worst to best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraState {
    Unauthorised,
    Unreachable,
    Stalled,
    Connecting,
    Streaming,
    /// Switched off in the configuration, or nothing takes its streams.
    Disabled,
}

impl CameraState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorised => "unauthorised",
            Self::Unreachable => "unreachable",
            Self::Stalled => "stalled",
            Self::Connecting => "connecting",
            Self::Streaming => "streaming",
            Self::Disabled => "disabled",
        }
    }
}

/// One stream as measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamInfo {
    pub codec: VideoCodec,
    pub width: u32,
    pub height: u32,
    /// Frames per second.
    pub fps: f64,
    pub bitrate_bps: u64,
    pub has_audio: bool,
    /// Which RTSP client reads it, and why where it is not the usual one.
    pub client: String,
}

/// Everything about a running camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CameraStatus {
    pub state: CameraState,
    /// What is wrong and what to do; empty while all is well.
    pub reason: String,
    /// Stable name of the reason, for translations.
    pub code: String,
    pub since: UtcMicros,
    pub main: Option<StreamInfo>,
    pub sub: Option<StreamInfo>,
    /// Which decoder feeds the plate reader, and why a faster one does not.
    pub decoder: Option<String>,
    /// What the camera's clock is ahead of the box's, once measured.
    pub clock_offset_ms: Option<i64>,
}

impl CameraStatus {
    /// Of a camera that nothing runs for.
    pub fn disabled() -> Self {
        Self::without_streams(CameraState::Disabled)
    }

    /// Of a camera that was just started and has not said anything yet.
    pub fn connecting() -> Self {
        Self::without_streams(CameraState::Connecting)
    }

    fn without_streams(state: CameraState) -> Self {
        Self {
            state,
            reason: String::new(),
            code: String::new(),
            since: UtcMicros::now(),
            main: None,
            sub: None,
            decoder: None,
            clock_offset_ms: None,
        }
    }
}

/// One stream's part of the status.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamStatus {
    pub state: CameraState,
    pub reason: Arc<str>,
    pub code: &'static str,
    pub info: Option<StreamInfo>,
}

/// Joins the streams of a camera into one status.
pub struct Board {
    status: watch::Sender<CameraStatus>,
    streams: Mutex<[Option<StreamStatus>; 2]>,
}

impl Board {
    pub fn new(status: watch::Sender<CameraStatus>) -> Self {
        Self { status, streams: Mutex::default() }
    }

    /// A stream will report: until it does, the camera is connecting.
    pub fn expect(&self, kind: StreamKind) {
        let connecting = StreamStatus { state: CameraState::Connecting, reason: Arc::from(""), code: "", info: None };
        self.set(kind, connecting);
    }

    pub fn set(&self, kind: StreamKind, stream: StreamStatus) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams[kind as usize] = Some(stream);
        let (state, reason, code) = overall(&streams);
        let info = |kind: StreamKind| streams[kind as usize].as_ref().and_then(|stream| stream.info.clone());
        self.status.send_if_modified(|status| {
            let mut next = status.clone();
            if (next.state, &next.code) != (state, &code) {
                next.since = UtcMicros::now();
            }
            next.state = state;
            next.reason = reason;
            next.code = code;
            next.main = info(StreamKind::Main);
            next.sub = info(StreamKind::Sub);
            let changed = next != *status;
            *status = next;
            changed
        });
    }

    pub fn set_decoder(&self, text: Option<String>) {
        self.status.send_if_modified(|status| {
            let changed = status.decoder != text;
            status.decoder = text;
            changed
        });
    }

    pub fn set_clock_offset(&self, offset_ms: Option<i64>) {
        self.status.send_if_modified(|status| {
            let changed = status.clock_offset_ms != offset_ms;
            status.clock_offset_ms = offset_ms;
            changed
        });
    }
}

/// The worst stream speaks for the camera; with two, the reason says which it is.
fn overall(streams: &[Option<StreamStatus>; 2]) -> (CameraState, String, String) {
    let used = streams.iter().zip(["main", "sub"]).filter_map(|(stream, name)| Some((stream.as_ref()?, name)));
    let count = used.clone().count();
    let Some((worst, name)) = used.min_by_key(|(stream, _)| stream.state) else {
        return (CameraState::Disabled, String::new(), String::new());
    };
    let same = streams.iter().flatten().all(|stream| stream.state == worst.state);
    let reason = if count > 1 && !same && !worst.reason.is_empty() {
        format!("{name} stream: {}", worst.reason)
    } else {
        worst.reason.to_string()
    };
    (worst.state, reason, worst.code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(state: CameraState, reason: &str) -> StreamStatus {
        StreamStatus { state, reason: Arc::from(reason), code: "", info: None }
    }

    #[test]
    fn the_worst_stream_speaks() {
        let (sender, receiver) = watch::channel(CameraStatus::disabled());
        let board = Board::new(sender);
        board.expect(StreamKind::Main);
        assert_eq!(receiver.borrow().state, CameraState::Connecting);
        board.set(StreamKind::Main, stream(CameraState::Streaming, ""));
        assert_eq!(receiver.borrow().state, CameraState::Streaming);
        board.set(StreamKind::Sub, stream(CameraState::Stalled, "sent nothing"));
        assert_eq!(receiver.borrow().state, CameraState::Stalled);
        assert_eq!(receiver.borrow().reason, "sub stream: sent nothing");
        board.set(StreamKind::Main, stream(CameraState::Unreachable, "no answer"));
        assert_eq!(receiver.borrow().reason, "main stream: no answer");
    }
}
