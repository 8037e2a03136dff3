//! What was recorded, and playing any stretch of it as one file with ranges.
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

use crate::media::StreamKind;
use crate::record::Playback;
use crate::store::Stream;
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::playback;
use crate::web::reply;
use crate::web::request::Req;

/// Days one request may ask for.
const SPAN_DAYS_MAX: i64 = 32;
const DAY_US: i64 = 86_400 * 1_000_000;
/// Fragments closer than this belong to one stretch.
const JOINED_US: i64 = 250_000;
const PLAYBACK_MAX_US: i64 = 2 * 3_600 * 1_000_000;
/// Of a playback of key frames: each is looked up in its file before the first byte is sent.
const KEYS_MAX_US: i64 = 1_800 * 1_000_000;

#[derive(Serialize, ToSchema)]
pub struct Recordings {
    /// Recorded stretches, main stream first, oldest first, joined where they touch.
    pub spans: Vec<SpanView>,
}

#[derive(Serialize, ToSchema)]
pub struct SpanView {
    /// `main` or `sub`.
    pub stream: String,
    /// Microseconds UTC.
    pub start: i64,
    /// Microseconds UTC.
    pub end: i64,
}

/// The recorded stretches of a camera.
#[utoipa::path(get, path = "/api/streaming/cameras/{id}/recordings", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("from" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("to" = String, Query, description = "RFC 3339 or microseconds UTC, at most 32 days later")),
    responses((status = 200, body = Recordings), (status = 400, body = ErrorBody)))]
pub async fn spans(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let (from, to) = (req.required_time("from")?, req.required_time("to")?);
    if to.0 <= from.0 || to.since(from) > SPAN_DAYS_MAX * DAY_US {
        return Err(ApiError::invalid("to", format!("`to` must be after `from`, by at most {SPAN_DAYS_MAX} days.")));
    }
    let rows = app.store().spans(&camera, from, to).await?;
    // A segment that only reaches into the asked time is shown from its edge.
    let spans = rows
        .into_iter()
        .map(|span| SpanView {
            stream: span.stream.as_str().to_owned(),
            start: span.start.0.max(from.0),
            end: span.end.0.min(to.0),
        })
        .filter(|span| span.start < span.end)
        .collect();
    reply::json(&Recordings { spans })
}

/// What a player needs to know before it plays.
#[derive(Serialize, ToSchema)]
pub struct PlaybackView {
    /// With codecs, as `canPlayType` takes it.
    pub mime: String,
    /// Time of the first picture (the key frame at or before `from`), microseconds UTC.
    pub start: i64,
    /// Microseconds UTC.
    pub end: i64,
    /// Where the next playback begins, if this one ends early because the camera's settings changed.
    pub next: Option<i64>,
    pub bytes: u64,
    /// Stretches without a pause: which recorded time each part of the file shows.
    pub stretches: Vec<StretchView>,
}

#[derive(Serialize, ToSchema)]
pub struct StretchView {
    /// Microseconds from the beginning of the file.
    pub media: i64,
    /// Microseconds UTC.
    pub start: i64,
    /// Microseconds.
    pub duration: i64,
    /// Mean time of a frame, microseconds: one step of a player.
    pub frame: i64,
}

/// What `playback.mp4` would send for the same query.
#[utoipa::path(get, path = "/api/streaming/cameras/{id}/playback", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("from" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("to" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("stream" = Option<String>, Query, description = "`main` or `sub`; what is recorded when absent"),
           ("keys" = Option<bool>, Query, description = "Only the key frames, without sound")),
    responses((status = 200, body = PlaybackView), (status = 404, body = ErrorBody)))]
pub async fn describe(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let playback = open(&app, &req).await?;
    let mut stretches: Vec<(StretchView, i64)> = Vec::new();
    for entry in playback.entries() {
        let frames = i64::from(entry.frames);
        match stretches.last_mut() {
            // Fragments of one stretch touch, give or take what dating by the clock leaves.
            Some((last, count)) if (entry.start.0 - last.start - last.duration).abs() < JOINED_US => {
                last.duration = entry.start.0 + entry.duration_us - last.start;
                *count += frames;
            }
            _ => {
                let (media, start, duration) = (entry.media_us, entry.start.0, entry.duration_us);
                stretches.push((StretchView { media, start, duration, frame: 0 }, frames));
            }
        }
    }
    let stretches = stretches
        .into_iter()
        .map(|(stretch, frames)| StretchView { frame: stretch.duration / frames.max(1), ..stretch })
        .collect();
    reply::json(&PlaybackView {
        mime: playback.mime.clone(),
        start: playback.start.0,
        end: playback.end.0,
        next: playback.next.map(|next| next.0),
        bytes: playback.length,
        stretches,
    })
}

/// One MP4 of everything recorded from `from` to `to` (at most two hours), exactly as the camera sent it.
#[utoipa::path(get, path = "/api/streaming/cameras/{id}/playback.mp4", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("from" = String, Query,
            description = "RFC 3339 or microseconds UTC; playback begins at the key frame before it"),
           ("to" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("stream" = Option<String>, Query, description = "`main` or `sub`; what is recorded when absent"),
           ("keys" = Option<bool>, Query,
            description = "Only the key frames, without sound, at most 30 minutes: for fast playing")),
    responses((status = 200, body = Vec<u8>, content_type = "video/mp4"),
              (status = 206, body = Vec<u8>, content_type = "video/mp4"),
              (status = 404, body = ErrorBody)))]
pub async fn playback(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let film = open(&app, &req).await?;
    let first = req.header(http::header::RANGE).is_none_or(|range| range.trim().starts_with("bytes=0-"));
    if first {
        let target = format!("{} {} to {}", req.camera_id()?, film.start.to_rfc3339(), film.end.to_rfc3339());
        app.audit(&req, "recording.view", &target, Outcome::Done).await?;
    }
    Ok(playback::answer(&req, film))
}

/// The playback that the query asks for.
async fn open(app: &App, req: &Req) -> ApiResult<Arc<Playback>> {
    let camera = req.camera_id()?;
    let (from, to) = (req.required_time("from")?, req.required_time("to")?);
    let keys = req.query_flag("keys")?;
    let longest = if keys { KEYS_MAX_US } else { PLAYBACK_MAX_US };
    if to.0 <= from.0 || to.since(from) > longest {
        let hours = longest as f64 / 3.6e9;
        return Err(ApiError::invalid("to", format!("`to` must be after `from`, by at most {hours} hours.")));
    }
    let wanted = match req.query("stream") {
        Some(_) => vec![stored(req.query_stream()?)],
        None => vec![Stream::Main, Stream::Sub],
    };
    for stream in wanted {
        let found = if keys {
            app.fast.open(app.store(), &camera, stream, from, to).await?
        } else {
            Playback::open(app.store(), &camera, stream, from, to).await?.map(Arc::new)
        };
        if let Some(found) = found {
            return Ok(found);
        }
    }
    let mut error = ApiError::not_found(format!("A recording of camera `{camera}` at that time"));
    error.remedy = "Choose a time inside a recorded stretch.".into();
    Err(error)
}

pub(super) fn stored(stream: StreamKind) -> Stream {
    match stream {
        StreamKind::Main => Stream::Main,
        StreamKind::Sub => Stream::Sub,
    }
}
