//! Evidence locks: spans of a camera that are kept until somebody lifts the lock.
use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use warp::reply::Response;

use super::coverage::{camera_of, time_of};
use crate::base::time::UtcMicros;
use crate::store::LockRow;
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::Req;

const REASON_MAX: usize = 500;
/// A lock without end would fill the disk in silence.
const SPAN_MAX_US: i64 = 366 * 24 * 3_600 * 1_000_000;

#[derive(Serialize, ToSchema)]
pub struct LockList {
    /// Newest span first.
    pub locks: Vec<LockView>,
}

#[derive(Serialize, ToSchema)]
pub struct LockView {
    pub id: String,
    pub camera: String,
    /// Microseconds UTC.
    pub from: i64,
    /// Microseconds UTC.
    pub to: i64,
    pub reason: String,
    /// Microseconds UTC.
    pub created_at: i64,
    pub created_by: String,
}

impl From<LockRow> for LockView {
    fn from(lock: LockRow) -> Self {
        Self {
            id: lock.id.to_string(),
            camera: lock.camera.to_string(),
            from: lock.start.0,
            to: lock.end.0,
            reason: lock.reason,
            created_at: lock.created_at.0,
            created_by: lock.created_by,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockBody {
    pub camera: String,
    /// Microseconds UTC or RFC 3339.
    #[schema(value_type = i64)]
    pub from: serde_json::Value,
    /// Microseconds UTC or RFC 3339; may lie in the future.
    #[schema(value_type = i64)]
    pub to: serde_json::Value,
    /// Why, 1 to 500 characters.
    pub reason: String,
}

/// The spans that are kept.
#[utoipa::path(get, path = "/api/streaming/locks", tag = "streaming",
    params(("camera" = Option<String>, Query, description = "Only of this camera")),
    responses((status = 200, body = LockList)))]
pub async fn list(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.query("camera").map(|text| camera_of(&text)).transpose()?;
    let locks = app.store().locks(camera).await?;
    reply::json(&LockList { locks: locks.into_iter().map(LockView::from).collect() })
}

/// Keeps a span of a camera, both streams, until the lock is lifted.
#[utoipa::path(post, path = "/api/streaming/locks", tag = "streaming", request_body = LockBody,
    responses((status = 201, body = LockView), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn create(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let body: LockBody = req.json()?;
    let (start, end) = (time_of("from", &body.from)?, time_of("to", &body.to)?);
    if end <= start || end.since(start) > SPAN_MAX_US {
        return Err(ApiError::invalid("to", "`to` must be after `from`, by at most a year."));
    }
    let reason = body.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        return Err(ApiError::invalid("reason", "Say why, in 1 to 500 characters."));
    }
    let lock = LockRow {
        id: Uuid::now_v7(),
        camera: camera_of(&body.camera)?,
        start,
        end,
        reason: reason.to_owned(),
        created_at: UtcMicros::now(),
        created_by: req.who()?.username.clone(),
    };
    app.audit(&req, "evidence.lock", &subject(&lock), Outcome::Done).await?;
    app.store().create_lock(lock.clone()).await?;
    reply::json_status(StatusCode::CREATED, &LockView::from(lock))
}

/// Lifts a lock: retention may delete the span again.
#[utoipa::path(delete, path = "/api/streaming/locks/{id}", tag = "streaming",
    params(("id" = String, Path, description = "Lock")),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub async fn remove(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let missing = || ApiError::not_found("This evidence lock");
    let id: Uuid = req.param("id").parse().map_err(|_| missing())?;
    let locks = app.store().locks(None).await?;
    let lock = locks.into_iter().find(|lock| lock.id == id).ok_or_else(missing)?;
    app.audit(&req, "evidence.unlock", &subject(&lock), Outcome::Done).await?;
    app.store().delete_lock(id).await?.ok_or_else(missing)?;
    Ok(reply::no_content())
}

fn subject(lock: &LockRow) -> String {
    format!("{} {} to {}: {}", lock.camera, lock.start, lock.end, lock.reason)
}
