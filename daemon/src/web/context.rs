//! What the page needs from the rest of the box: the store, the live hub, and one narrow view of what runs.
use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Problem;
use crate::base::error::Kind;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::config::Config;
use crate::media::{Fragment, StreamKind};
use crate::onvif::LockoutGuard;
use crate::store::Store;

/// Everything the page is built on; the bootstrap fills it.
#[derive(Clone)]
pub struct WebContext {
    pub store: Store,
    pub live: Arc<dyn LiveVideo>,
    pub control: Arc<dyn Control>,
    /// Shared with the cameras, so that no device is tried twice with a refused password.
    pub lockout: Arc<LockoutGuard>,
    /// Renders `/metrics` in Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Where live fragments come from.
pub trait LiveVideo: Send + Sync {
    /// From the last key frame on. `Err` when nothing is sent now, or when too many people watch already.
    fn watch(&self, camera: &CameraId, stream: StreamKind) -> Result<Viewer, NotWatching>;

    /// The newest fragment that begins with a key frame.
    fn last_key(&self, camera: &CameraId, stream: StreamKind) -> Option<Arc<Fragment>>;
}

/// One viewer's share of a stream.
pub struct Viewer {
    /// Since the last key frame.
    pub recent: Vec<Arc<Fragment>>,
    pub next: BoxStream<'static, Received>,
}

pub enum Received {
    Fragment(Arc<Fragment>),
    /// The viewer was too slow for this many fragments.
    Missed(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWatching {
    /// The stream does not run now.
    Silent,
    TooMany(String),
}

/// The running box as the page sees and changes it.
pub trait Control: Send + Sync {
    fn config(&self) -> Arc<Config>;

    /// State of every configured camera.
    fn cameras(&self) -> BTreeMap<CameraId, CameraState>;

    /// Validates the whole configuration, then applies it or leaves everything as it was.
    fn apply(&self, actor: String, desired: Config) -> BoxFuture<'static, Result<(), ChangeRefused>>;

    fn lpr(&self) -> LprHealth;

    fn sync(&self) -> SyncHealth;

    /// `Err` says what the box still waits for, or what has stopped making progress.
    fn ready(&self) -> Result<(), String>;
}

/// A change that was not applied.
#[derive(Debug, Clone)]
pub struct ChangeRefused {
    pub kind: Kind,
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CameraState {
    /// `unreachable`, `unauthorised`, `connecting`, `streaming`, `stalled` or `disabled`.
    pub state: String,
    /// Why, and what to do, for people.
    pub reason: String,
    /// Microseconds UTC since when the state holds.
    #[schema(value_type = i64)]
    pub since: UtcMicros,
    pub main: Option<StreamHealth>,
    pub sub: Option<StreamHealth>,
    /// The decoder in use and why, when plates are read.
    pub decoder: Option<String>,
    /// Camera clock minus box clock.
    pub clock_offset_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StreamHealth {
    /// `h264`, `h265` or `mjpeg`.
    pub codec: String,
    pub width: u32,
    pub height: u32,
    pub fps: f64,
    pub bitrate_bps: u64,
}

#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct LprHealth {
    pub enabled: bool,
    /// The ONNX Runtime provider in use, or empty when plates are not read.
    pub provider: String,
    /// Why this provider, or why none.
    pub reason: String,
    pub models: Vec<String>,
    pub stages: Vec<StageTime>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StageTime {
    pub stage: String,
    pub p50_ms: f64,
    pub p95_ms: f64,
}

#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct SyncHealth {
    /// False while no centre is configured.
    pub configured: bool,
    pub connected: bool,
    pub last_error: Option<String>,
    pub acknowledged_seq: u64,
    /// Records that wait, by lane: alerts, detections, clips.
    pub pending: [u64; 3],
}
