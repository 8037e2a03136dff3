//! Live video over WebSocket for Media Source Extensions, and a still of what a camera sees.
use std::sync::Arc;

use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::{Reply, Response};

use super::cameras::missing;
use crate::base::time::UtcMicros;
use crate::web::app::App;
use crate::web::error::{ApiResult, ErrorBody};
use crate::web::live_source;
use crate::web::reply;
use crate::web::request::Req;
use crate::web::snapshot;
use crate::web::socket;

/// WebSocket: a JSON text message `{"type":"init","mime":...}` before each initialization segment, all else is
/// binary: the initialization segment, then fragments beginning at a key frame.
#[utoipa::path(get, path = "/api/streaming/cameras/{id}/live", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("stream" = Option<String>, Query, description = "`main` (when absent) or `sub`")),
    responses((status = 101, description = "Text and binary messages", body = live_source::LiveEvent),
              (status = 404, body = ErrorBody), (status = 426, body = ErrorBody), (status = 429, body = ErrorBody)))]
pub async fn watch(app: Arc<App>, mut req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let stream = req.query_stream()?;
    if app.config().camera(&camera).is_none() {
        return Err(missing(&camera));
    }
    let ws = socket::limited(req.websocket()?);
    let who = req.who()?.clone();
    let issued = UtcMicros::now().0 / 1_000_000;
    let source = live_source::open(&app, camera, stream);
    let response = ws.on_upgrade(move |ws| async move {
        let stop = app.stop.clone();
        socket::pump(ws, source, || !app.tokens.is_revoked(&who, issued), stop).await;
    });
    Ok(response.into_response())
}

/// What the box's clock says, so that a player can tell how late it shows pictures.
#[derive(Serialize, ToSchema)]
pub struct Clock {
    /// Microseconds UTC.
    now: i64,
    /// Absent while the stream does not run.
    newest: Option<Newest>,
}

/// The newest picture of a stream.
#[derive(Serialize, ToSchema)]
pub struct Newest {
    /// Its media time, 1/90000 s: that of fragments; its lower 32 bits are the RTP timestamp.
    ticks: i64,
    /// When it was taken, microseconds UTC.
    at: i64,
}

/// The box's clock and the media time of the newest picture.
#[utoipa::path(get, path = "/api/streaming/cameras/{id}/clock", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("stream" = Option<String>, Query, description = "`main` (when absent) or `sub`")),
    responses((status = 200, body = Clock), (status = 404, body = ErrorBody)))]
pub async fn clock(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let stream = req.query_stream()?;
    if app.config().camera(&camera).is_none() {
        return Err(missing(&camera));
    }
    let newest = app.context.live.newest(&camera, stream).map(|(ticks, at)| Newest { ticks, at: at.0 });
    reply::json(&Clock { now: UtcMicros::now().0, newest })
}

/// The last key frame of a camera as a picture.
#[utoipa::path(get, path = "/api/streaming/cameras/{id}/snapshot.jpg", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("stream" = Option<String>, Query, description = "`main` (when absent) or `sub`")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), (status = 304),
              (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub async fn snapshot(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let stream = req.query_stream()?;
    if app.config().camera(&camera).is_none() {
        return Err(missing(&camera));
    }
    let fragment = snapshot::key_frame(&app, &camera, stream).await?;
    let etag = format!("\"{camera}-{stream}-{}\"", fragment.start.0);
    let known = req.header(header::IF_NONE_MATCH).is_some_and(|tags| reply::matches_etag(tags, &etag));
    let mut response = if known {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        reply::bytes(StatusCode::OK, "image/jpeg", snapshot::take(&app, &camera, stream, fragment).await?)
    };
    reply::set(&mut response, header::ETAG, &etag);
    // The next key frame may be here already: ask, and get it only where it is another one.
    reply::set(&mut response, header::CACHE_CONTROL, "private, no-cache");
    Ok(response)
}
