//! The box's own state and its configuration without secrets.
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use warp::reply::Response;

use crate::base::time::UtcMicros;
use crate::web::app::App;
use crate::web::context::{LprHealth, SyncHealth};
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
    /// Start of the oldest recording, microseconds UTC.
    pub oldest_recording: Option<i64>,
}

/// Health of the box at a glance.
#[utoipa::path(get, path = "/api/admin/status", tag = "admin", responses((status = 200, body = BoxStatus)))]
pub async fn status(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let config = app.config();
    let states = app.control().cameras();
    let totals = app.store().recording_totals().await?;
    let data_dir = config.data_dir.clone();
    let (total_bytes, free_bytes) = tokio::task::spawn_blocking(move || disk_space(&data_dir))
        .await
        .map_err(|error| ApiError::internal("asking for disk space", error))?;
    let ready = app.control().ready();
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
            streaming: states.values().filter(|state| state.state == "streaming").count(),
        },
        disk: DiskStatus {
            total_bytes,
            free_bytes,
            floor_bytes: config.record.min_free.0,
            recorded_bytes: totals.iter().map(|total| total.bytes).sum(),
            oldest_recording: totals.iter().filter_map(|total| total.oldest).min().map(|at| at.0),
        },
        lpr: app.control().lpr(),
        sync: app.control().sync(),
    })
}

/// Total and free bytes of the file system; zeros when it cannot be asked.
fn disk_space(path: &std::path::Path) -> (u64, u64) {
    rustix::fs::statvfs(path).map_or((0, 0), |fs| (fs.f_blocks * fs.f_frsize, fs.f_bavail * fs.f_frsize))
}

/// The configuration in force; secrets are shown as `***`.
#[utoipa::path(get, path = "/api/admin/settings", tag = "admin", responses((status = 200, body = serde_json::Value)))]
pub async fn settings(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let mut value =
        serde_json::to_value(&*app.config()).map_err(|error| ApiError::internal("writing the configuration", error))?;
    mask(&mut value);
    reply::json(&value)
}

const SECRET_KEYS: [&str; 4] = ["password", "secret_key", "access_key", "token"];

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
