//! Recordings that somebody wants at the centre with their video.
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::Req;

const SPAN_MAX_US: i64 = 32 * 86_400 * 1_000_000;

#[derive(Serialize, ToSchema)]
pub struct UploadRequested {
    /// Recordings queued now; those asked for before are not counted again.
    pub recordings: u64,
    pub bytes: u64,
}

/// Queues the recordings of a camera for the centre, with their video. The one in progress is left out.
#[utoipa::path(post, path = "/api/streaming/cameras/{id}/recordings/upload", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("from" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("to" = String, Query, description = "RFC 3339 or microseconds UTC, at most 32 days later")),
    responses((status = 202, body = UploadRequested), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn request(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let (from, to) = (req.required_time("from")?, req.required_time("to")?);
    if to <= from || to.since(from) > SPAN_MAX_US {
        return Err(ApiError::invalid("to", "`to` must be after `from`, by at most 32 days."));
    }
    if app.config().sync.url.is_empty() {
        return Err(ApiError::conflict("No centre is configured.", "Set `sync.url` first."));
    }
    app.audit(&req, "recordings.upload", &format!("{camera} {from} to {to}"), Outcome::Done).await?;
    let requested = app.store().request_recordings(&camera, from, to).await?;
    let view = UploadRequested { recordings: requested.recordings, bytes: requested.bytes };
    reply::json_status(StatusCode::ACCEPTED, &view)
}
