//! A camera as the API shows it: its configuration without passwords, and how it is.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::zones::ZoneBody;
use crate::camera::{CameraStatus, StreamInfo};
use crate::config::units::HumanDuration;
use crate::config::{
    CameraClock, CameraConfig, LprStream, PushConfig, PushStream, RecordMode, RecordStreams, StreamRecord, Transport,
};
use crate::live::rtsp::PushStatus;
use crate::web::app::App;

#[derive(Serialize, ToSchema)]
pub struct CameraList {
    pub cameras: Vec<CameraView>,
}

#[derive(Serialize, ToSchema)]
pub struct CameraView {
    pub id: String,
    /// The id where the configuration has no name.
    pub name: String,
    pub enabled: bool,
    pub onvif_url: Option<String>,
    pub main_url: String,
    pub sub_url: Option<String>,
    pub username: String,
    /// Passwords themselves are never shown.
    pub has_password: bool,
    #[schema(value_type = String)]
    pub transport: Transport,
    #[schema(value_type = String)]
    pub record: RecordStreams,
    pub audio: bool,
    #[schema(value_type = String)]
    pub lpr: LprStream,
    #[schema(value_type = String)]
    pub clock: CameraClock,
    /// Plates narrower than this share of the picture's width do not count; 0 counts all.
    pub min_plate_width: f64,
    /// Bytes that the recordings of this camera may take; 0: no limit of its own.
    pub max_bytes: u64,
    /// When the streams that `record` names are recorded.
    pub record_main: RecordHow,
    pub record_sub: RecordHow,
    pub push: PushView,
    pub zones: Vec<ZoneBody>,
    /// Absent while the change that added the camera is being applied.
    pub status: Option<CameraHealth>,
}

/// When a recorded stream is recorded.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordHow {
    /// `continuous`, `motion`, `detection` or `schedule`.
    #[schema(value_type = String)]
    pub mode: RecordMode,
    /// Seconds kept from before what happened, at most 60.
    #[serde(default = "default_pre_roll")]
    pub pre_roll_s: u64,
    /// Seconds kept after it, at most 600.
    #[serde(default = "default_post_roll")]
    pub post_roll_s: u64,
    /// Weekly times such as `mon-fri 07:00-19:00`, by the box's local clock; empty: always.
    #[serde(default)]
    pub schedule: Vec<String>,
}

fn default_pre_roll() -> u64 {
    StreamRecord::default().pre_roll.as_secs()
}

fn default_post_roll() -> u64 {
    StreamRecord::default().post_roll.as_secs()
}

impl From<&StreamRecord> for RecordHow {
    fn from(how: &StreamRecord) -> Self {
        Self {
            mode: how.mode,
            pre_roll_s: how.pre_roll.as_secs(),
            post_roll_s: how.post_roll.as_secs(),
            schedule: how.schedule.clone(),
        }
    }
}

impl From<RecordHow> for StreamRecord {
    fn from(how: RecordHow) -> Self {
        Self {
            mode: how.mode,
            pre_roll: HumanDuration::secs(how.pre_roll_s),
            post_roll: HumanDuration::secs(how.post_roll_s),
            schedule: how.schedule.iter().map(|entry| entry.trim().to_owned()).collect(),
        }
    }
}

/// Where a stream of the camera is sent by RTSP, and what comes of it.
#[derive(Serialize, ToSchema)]
pub struct PushView {
    /// Empty: nowhere.
    pub url: String,
    /// `main` or `sub`.
    #[schema(value_type = String)]
    pub stream: PushStream,
    pub username: String,
    /// Passwords themselves are never shown.
    pub has_password: bool,
    /// Absent while nothing is to be sent.
    pub status: Option<PushHealth>,
}

#[derive(Serialize, ToSchema)]
pub struct PushHealth {
    /// `connecting`, `sending`, `waiting` (for the camera) or `failed`.
    pub state: String,
    /// Why nothing is sent; empty while something is.
    pub reason: String,
    /// Since when the state holds, microseconds UTC.
    pub since: i64,
}

impl PushView {
    fn of(push: &PushConfig, status: Option<PushStatus>) -> Self {
        let health = |status: PushStatus| PushHealth {
            state: status.state.as_str().to_owned(),
            reason: status.reason,
            since: status.since.0,
        };
        Self {
            url: push.url.clone(),
            stream: push.stream,
            username: push.username.clone(),
            has_password: !push.password.is_empty(),
            status: status.map(health),
        }
    }
}

/// What a camera does now and why.
#[derive(Serialize, ToSchema)]
pub struct CameraHealth {
    /// `unreachable`, `unauthorised`, `connecting`, `streaming`, `stalled` or `disabled`.
    pub state: String,
    /// What is wrong and what to do, for people; empty while all is well.
    pub reason: String,
    /// Stable name of the reason.
    pub code: String,
    /// Since when the state holds, microseconds UTC.
    pub since: i64,
    pub main: Option<StreamHealth>,
    pub sub: Option<StreamHealth>,
    /// The decoder in use and why, when plates are read.
    pub decoder: Option<String>,
    /// Camera clock minus box clock.
    pub clock_offset_ms: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub struct StreamHealth {
    /// `h264`, `h265` or `mjpeg`.
    pub codec: String,
    pub width: u32,
    pub height: u32,
    pub fps: f64,
    pub bitrate_bps: u64,
    pub has_audio: bool,
    /// Which RTSP client reads the stream, and why where it is not the usual one.
    pub client: String,
}

impl From<&CameraStatus> for CameraHealth {
    fn from(status: &CameraStatus) -> Self {
        let stream = |info: &StreamInfo| StreamHealth {
            codec: info.codec.as_str().to_owned(),
            width: info.width,
            height: info.height,
            fps: info.fps,
            bitrate_bps: info.bitrate_bps,
            has_audio: info.has_audio,
            client: info.client.clone(),
        };
        Self {
            state: status.state.as_str().to_owned(),
            reason: status.reason.clone(),
            code: status.code.clone(),
            since: status.since.0,
            main: status.main.as_ref().map(stream),
            sub: status.sub.as_ref().map(stream),
            decoder: status.decoder.clone(),
            clock_offset_ms: status.clock_offset_ms,
        }
    }
}

impl CameraView {
    pub(super) fn of(app: &App, camera: &CameraConfig, status: Option<&CameraStatus>) -> Self {
        Self {
            id: camera.id.to_string(),
            name: camera.shown_name().to_owned(),
            enabled: camera.enabled,
            onvif_url: camera.onvif_url.clone(),
            main_url: camera.main_url.clone(),
            sub_url: camera.sub_url.clone(),
            username: camera.username.clone(),
            has_password: !camera.password.is_empty(),
            transport: camera.transport,
            record: camera.record,
            audio: camera.audio,
            lpr: camera.lpr,
            clock: camera.clock,
            min_plate_width: camera.min_plate_width,
            max_bytes: camera.max_bytes.0,
            record_main: RecordHow::from(&camera.record_main),
            record_sub: RecordHow::from(&camera.record_sub),
            push: PushView::of(&camera.push, app.context.pusher.status(&camera.id)),
            zones: camera.zones.iter().map(ZoneBody::from).collect(),
            status: status.map(CameraHealth::from),
        }
    }
}
