//! The box's own state and its configuration without secrets.
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use warp::reply::Response;

use crate::base::time::UtcMicros;
use crate::camera::CameraState;
use crate::lpr::{Choice, LprState, LprStatus, StageMs};
use crate::record::{self, DiskState};
use crate::store::TargetStatus;
use crate::sync::SyncStatus;
use crate::web::app::App;
use crate::web::error::{ApiError, ApiResult};
use crate::web::reply;
use crate::web::request::Req;

#[derive(Serialize, ToSchema)]
pub struct BoxStatus {
    pub name: String,
    pub prefeitura: String,
    pub site: String,
    pub version: String,
    /// Microseconds UTC by the box's clock.
    pub now: i64,
    pub uptime_seconds: u64,
    pub ready: bool,
    /// What the box waits for when it is not ready.
    pub reason: Option<String>,
    pub cameras: CameraCounts,
    pub disk: DiskStatus,
    pub lpr: LprHealth,
    pub sync: SyncHealth,
    pub alerts: AlertsHealth,
}

#[derive(Serialize, ToSchema)]
pub struct CameraCounts {
    pub configured: usize,
    pub streaming: usize,
}

#[derive(Serialize, ToSchema)]
pub struct DiskStatus {
    pub total_bytes: u64,
    pub free_bytes: u64,
    /// Recording frees space below this.
    pub floor_bytes: u64,
    pub recorded_bytes: u64,
    /// Of these, what evidence locks hold.
    pub locked_bytes: u64,
    /// Start of the oldest recording, microseconds UTC.
    pub oldest_recording: Option<i64>,
    /// `recording`, `disk_full`, `slow` or `failing`.
    pub state: String,
    /// What is wrong with the recordings or a disk and what to do; empty while all is well.
    pub reason: String,
    /// By the last day's recordings.
    pub bytes_per_day: u64,
    /// Seconds until recordings go for want of space; null where their age comes first.
    pub full_in_seconds: Option<u64>,
    /// How far the recordings will reach back in the end; null while that is not known.
    pub keeps_seconds: Option<u64>,
    pub disks: Vec<DiskView>,
}

/// One disk that recordings go to.
#[derive(Serialize, ToSchema)]
pub struct DiskView {
    /// Empty for the data folder.
    pub id: String,
    pub path: String,
    /// `ok`, `failing` or `missing`.
    pub state: String,
    pub reason: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
}

impl From<record::DiskStatus> for DiskView {
    fn from(disk: record::DiskStatus) -> Self {
        let state = match disk.state {
            DiskState::Ok => "ok",
            DiskState::Failing => "failing",
            DiskState::Missing => "missing",
        };
        Self {
            id: disk.id,
            path: disk.path.display().to_string(),
            state: state.to_owned(),
            reason: disk.reason,
            total_bytes: disk.total_bytes,
            free_bytes: disk.free_bytes,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct LprHealth {
    /// `off`, `starting`, `running` or `failed`.
    pub state: String,
    /// `tensorrt`, `cuda` or `cpu`; empty until it runs.
    pub provider: String,
    /// Why it does not run, or why this provider and not a faster one.
    pub reason: String,
    /// Model files in use.
    pub models: Vec<String>,
    /// How the 32-bit and the 8-bit file of each model compare on this machine.
    pub precisions: Vec<ModelPrecision>,
    pub stages: Vec<StageTime>,
}

#[derive(Serialize, ToSchema)]
pub struct ModelPrecision {
    /// `detector` or `reader`.
    pub model: String,
    /// In use: `fp32` or `int8`.
    pub precision: String,
    /// Milliseconds of one run, measured at the start; null where the model has no 8-bit file or runs on a graphics
    /// processor.
    pub fp32_ms: Option<f64>,
    pub int8_ms: Option<f64>,
}

#[derive(Serialize, ToSchema)]
pub struct StageTime {
    pub stage: String,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
}

impl From<LprStatus> for LprHealth {
    fn from(status: LprStatus) -> Self {
        let state = match status.state {
            LprState::Off => "off",
            LprState::Starting => "starting",
            LprState::Running => "running",
            LprState::Failed => "failed",
        };
        let name = |path: &std::path::Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let precision = |model: &str, choice: Choice| ModelPrecision {
            model: model.to_owned(),
            precision: choice.precision.name().to_owned(),
            fp32_ms: choice.fp32_ms,
            int8_ms: choice.int8_ms,
        };
        let precisions = status.models.iter().flat_map(|models| {
            [precision("detector", models.detector.choice), precision("reader", models.reader.choice)]
        });
        let files = status.models.iter().flat_map(|models| [&models.detector.file, &models.reader.file]);
        Self {
            state: state.to_owned(),
            provider: status.provider,
            reason: status.reason,
            precisions: precisions.collect(),
            models: files.map(|file| name(file)).collect(),
            stages: status
                .stages
                .into_iter()
                .filter(|stage| stage.count > 0)
                .map(|StageMs { stage, mean_ms, p50_ms, p95_ms, .. }| StageTime {
                    stage: stage.to_owned(),
                    mean_ms,
                    p50_ms,
                    p95_ms,
                })
                .collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct SyncHealth {
    /// False while no centre is configured.
    pub configured: bool,
    pub connected: bool,
    /// What the centre or the object store has against it, and what to do.
    pub problem: Option<String>,
    /// Everything up to this number is committed at the centre.
    pub acknowledged_seq: u64,
    /// Microseconds UTC.
    pub acknowledged_at: Option<i64>,
    /// Sent but not acknowledged yet.
    pub in_flight: u64,
    /// Records that wait, by lane: alerts, detections, clips and the ledger, recordings.
    pub waiting: [u64; 4],
    /// Bytes of pictures and video that wait for their upload, and the most that may wait; null: no limit.
    pub spool_bytes: u64,
    pub spool_max_bytes: Option<u64>,
    /// Bytes of recordings that are to go with their video; their files are kept for themselves, so no limit applies.
    pub recordings_bytes: u64,
    /// Seconds until the oldest video goes for want of room, at the present rate; null while it does not grow.
    pub spool_full_in_seconds: Option<u64>,
    /// Seconds until everything is delivered, at the present rate; null while it does not get less.
    pub delivered_in_seconds: Option<u64>,
}

impl From<&SyncStatus> for SyncHealth {
    fn from(status: &SyncStatus) -> Self {
        Self {
            configured: status.enabled,
            connected: status.connected,
            problem: status.last_error().map(|problem| problem.message.clone()),
            acknowledged_seq: status.acked_seq,
            acknowledged_at: status.last_ack_at.map(|at| at.0),
            in_flight: status.last_seq.saturating_sub(status.acked_seq),
            waiting: status.waiting,
            spool_bytes: status.spool.bytes,
            spool_max_bytes: Some(status.spool.bytes_max).filter(|max| *max > 0 && *max < u64::MAX),
            recordings_bytes: status.spool.recordings_bytes,
            spool_full_in_seconds: status.spool.full_in_s,
            delivered_in_seconds: status.spool.delivered_in_s,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct AlertsHealth {
    /// Vehicles that every passage is compared with.
    pub watched_vehicles: usize,
    /// Memory that they take.
    pub watched_bytes: usize,
    /// Webhooks and the broker: who is told of alerts.
    pub targets: Vec<TargetHealth>,
}

#[derive(Serialize, ToSchema)]
pub struct TargetHealth {
    /// `webhook/NAME` or `mqtt`.
    pub name: String,
    /// Alerts that are not delivered yet.
    pub waiting: u64,
    /// Since when the oldest of them waits, microseconds UTC.
    pub oldest_queued_at: Option<i64>,
    pub delivered: u64,
    /// Alerts that were not delivered in time and are not tried any more.
    pub given_up: u64,
    /// Microseconds UTC.
    pub delivered_at: Option<i64>,
    /// The newest failure since the last success.
    pub error: Option<String>,
    /// Microseconds UTC.
    pub error_at: Option<i64>,
}

impl From<TargetStatus> for TargetHealth {
    fn from(status: TargetStatus) -> Self {
        Self {
            name: status.name,
            waiting: status.waiting,
            oldest_queued_at: status.oldest_queued_at.map(|at| at.0),
            delivered: status.delivered,
            given_up: status.given_up,
            delivered_at: status.delivered_at.map(|at| at.0),
            error: status.error,
            error_at: status.error_at.map(|at| at.0),
        }
    }
}

/// Health of the box at a glance.
#[utoipa::path(get, path = "/api/admin/status", tag = "admin", responses((status = 200, body = BoxStatus)))]
pub async fn status(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let config = app.config();
    let states = app.context.supervisor.statuses();
    let totals = app.store().recording_totals().await?;
    let storage = app.context.recorder.storage().borrow().clone();
    let state = app.context.recorder.status().borrow().state.as_str();
    let ready = app.context.health.latest();
    let (watched, targets) = (app.store().watch_status(), app.store().alert_targets().await?);
    reply::json(&BoxStatus {
        name: config.site.name.clone(),
        prefeitura: config.site.prefeitura.clone(),
        site: config.site.site.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: UtcMicros::now().0,
        uptime_seconds: app.started.elapsed().as_secs(),
        ready: ready.is_ok(),
        reason: ready.err(),
        cameras: CameraCounts {
            configured: config.cameras.len(),
            streaming: states.values().filter(|state| state.state == CameraState::Streaming).count(),
        },
        disk: DiskStatus {
            total_bytes: storage.disks.iter().map(|disk| disk.total_bytes).sum(),
            free_bytes: storage.disks.iter().map(|disk| disk.free_bytes).sum(),
            floor_bytes: config.record.min_free.0,
            recorded_bytes: totals.iter().map(|total| total.bytes).sum(),
            locked_bytes: storage.locked_bytes,
            oldest_recording: totals.iter().filter_map(|total| total.oldest).min().map(|at| at.0),
            state: state.to_owned(),
            reason: app.context.recorder.problem().unwrap_or_default(),
            bytes_per_day: storage.forecast.bytes_per_day,
            full_in_seconds: storage.forecast.full_in_s,
            keeps_seconds: storage.forecast.keeps_s,
            disks: storage.disks.into_iter().map(DiskView::from).collect(),
        },
        lpr: LprHealth::from(app.context.lpr.status()),
        sync: SyncHealth::from(&*app.context.sync.status().borrow()),
        alerts: AlertsHealth {
            watched_vehicles: watched.vehicles,
            watched_bytes: watched.bytes,
            targets: targets.into_iter().map(TargetHealth::from).collect(),
        },
    })
}

/// The configuration in force; secrets are shown as `***`.
#[utoipa::path(get, path = "/api/admin/settings", tag = "admin", responses((status = 200, body = serde_json::Value)))]
pub async fn settings(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let mut value =
        serde_json::to_value(&*app.config()).map_err(|error| ApiError::internal("writing the configuration", error))?;
    mask(&mut value);
    reply::json(&value)
}

const SECRET_KEYS: [&str; 5] = ["password", "secret", "secret_key", "access_key", "token"];

/// Pure. Hides every secret and the user part of every address.
fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, entry) in map.iter_mut() {
                if SECRET_KEYS.contains(&key.as_str()) {
                    let empty = entry.as_str().is_none_or(str::is_empty);
                    *entry = Value::from(if empty { "" } else { "***" });
                } else {
                    mask(entry);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mask),
        Value::String(text) => {
            if let Some((scheme, rest)) = text.split_once("://")
                && let authority = rest.split('/').next().unwrap_or(rest)
                && let Some((_, host)) = authority.rsplit_once('@')
            {
                let tail = rest.get(authority.len()..).unwrap_or_default();
                *text = format!("{scheme}://***@{host}{tail}");
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_secret_survives_masking() {
        let mut value = json!({
            "mqtt": {"url": "mqtts://u:p@h:8883/x", "password": "enc:abc", "username": "u"},
            "camera": [{"password": "", "main_url": "rtsp://10.0.0.2/a@b"}],
            "sync": {"s3": {"secret_key": "s", "access_key": "a"}}
        });
        mask(&mut value);
        assert_eq!(
            value,
            json!({
                "mqtt": {"url": "mqtts://***@h:8883/x", "password": "***", "username": "u"},
                "camera": [{"password": "", "main_url": "rtsp://10.0.0.2/a@b"}],
                "sync": {"s3": {"secret_key": "***", "access_key": "***"}}
            })
        );
    }
}
