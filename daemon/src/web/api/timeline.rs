//! What the timeline shows: of several cameras at once, joined to what a screen can tell apart; and small pictures.
use std::sync::Arc;

use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

use super::recordings::stored;
use crate::base::ids::CameraId;
use crate::store::{Mark, TimelineRow};
use crate::web::app::App;
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::Req;
use crate::web::thumbnail;

const CAMERAS_MAX: usize = 16;
const BUCKETS: u32 = 1000;
const BUCKETS_MAX: u32 = 4000;
/// Three months: the page loads the window that is shown and as much on both sides of it.
const SPAN_MAX_US: i64 = 93 * 86_400 * 1_000_000;
/// How far from the asked time a picture may be, seconds.
const WITHIN: u32 = 10;
const WITHIN_MAX: u32 = 7 * 86_400;

#[derive(Serialize, ToSchema)]
pub struct Timeline {
    /// Microseconds UTC.
    pub from: i64,
    /// Microseconds UTC.
    pub to: i64,
    /// Microseconds: what is closer together is one entry.
    pub bucket: i64,
    /// In the order asked for.
    pub cameras: Vec<CameraTimeline>,
}

#[derive(Serialize, ToSchema)]
pub struct CameraTimeline {
    pub camera: String,
    /// `main`, or `sub` where only that is recorded.
    pub stream: String,
    /// Recorded stretches as start and end, microseconds UTC; pauses shorter than a bucket are gaps only.
    pub spans: Vec<[i64; 2]>,
    pub gaps: Vec<MissingView>,
    /// Passages of vehicles.
    pub detections: Vec<MarkView>,
    pub alerts: Vec<MarkView>,
}

/// A gap of the coverage ledger, or several in one bucket.
#[derive(Serialize, ToSchema)]
pub struct MissingView {
    /// Microseconds UTC.
    pub start: i64,
    /// Microseconds UTC.
    pub end: i64,
    /// Microseconds that are missing; less than from start to end where there are several gaps.
    pub missing: i64,
    pub count: u32,
    /// Why; of several gaps that of the longest.
    pub reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct MarkView {
    /// Microseconds UTC: the first passage of the bucket, the newest alert of it.
    pub at: i64,
    pub count: u32,
    /// Id of the passage at `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection: Option<String>,
    /// `info`, `warning` or `critical`; of alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
}

impl MarkView {
    fn of(mark: Mark) -> Self {
        Self {
            at: mark.at.0,
            count: mark.count,
            detection: mark.detection.map(|id| id.to_string()),
            severity: mark.severity.map(|severity| severity.as_str().to_owned()),
        }
    }
}

/// Recorded time, gaps, passages and alerts of up to 16 cameras.
#[utoipa::path(get, path = "/api/streaming/timeline", tag = "streaming",
    params(("cameras" = String, Query, description = "Camera ids, separated by commas"),
           ("from" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("to" = String, Query, description = "RFC 3339 or microseconds UTC, at most 93 days later"),
           ("buckets" = Option<u32>, Query, description = "Into how many pieces the time is divided: 1 to 4000, \
                1000 when absent")),
    responses((status = 200, body = Timeline), (status = 400, body = ErrorBody)))]
pub async fn timeline(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let cameras = cameras(&req)?;
    let (from, to) = (req.required_time("from")?, req.required_time("to")?);
    if to.0 <= from.0 || to.since(from) > SPAN_MAX_US {
        return Err(ApiError::invalid("to", "`to` must be after `from`, by at most 93 days."));
    }
    let bucket = (to.since(from) / i64::from(req.query_number("buckets", BUCKETS, BUCKETS_MAX)?)).max(1);
    let mut rows = Vec::with_capacity(cameras.len());
    for camera in cameras {
        let row = app.store().timeline(&camera, from, to, bucket).await?;
        rows.push(view(&camera, row));
    }
    reply::json(&Timeline { from: from.0, to: to.0, bucket, cameras: rows })
}

fn view(camera: &CameraId, row: TimelineRow) -> CameraTimeline {
    let gap = |gap: crate::store::TimelineGap| MissingView {
        start: gap.start.0,
        end: gap.end.0,
        missing: gap.missing_us,
        count: gap.count,
        reason: gap.reason,
    };
    CameraTimeline {
        camera: camera.to_string(),
        stream: row.stream.to_string(),
        spans: row.spans.into_iter().map(|(start, end)| [start.0, end.0]).collect(),
        gaps: row.gaps.into_iter().map(gap).collect(),
        detections: row.detections.into_iter().map(MarkView::of).collect(),
        alerts: row.alerts.into_iter().map(MarkView::of).collect(),
    }
}

#[derive(Serialize, ToSchema)]
pub struct Beside {
    /// Absent where no passage follows.
    pub passage: Option<PassageAt>,
}

#[derive(Serialize, ToSchema)]
pub struct PassageAt {
    pub id: String,
    pub camera: String,
    /// Microseconds UTC.
    pub at: i64,
}

/// The passage after or before a time.
#[utoipa::path(get, path = "/api/streaming/timeline/passage", tag = "streaming",
    params(("cameras" = String, Query, description = "Camera ids, separated by commas"),
           ("at" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("direction" = String, Query, description = "`next` or `previous`")),
    responses((status = 200, body = Beside), (status = 400, body = ErrorBody)))]
pub async fn passage(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let cameras = cameras(&req)?;
    let at = req.required_time("at")?;
    let forward = match req.query("direction").as_deref() {
        Some("next") => true,
        Some("previous") => false,
        _ => return Err(ApiError::invalid("direction", "`direction` must be `next` or `previous`.")),
    };
    let found = app.store().passage_beside(&cameras, at, forward).await?;
    let passage = found.map(|(camera, id, at)| PassageAt { id: id.to_string(), camera: camera.to_string(), at: at.0 });
    reply::json(&Beside { passage })
}

/// The key frame nearest to a recorded time as a small picture; the header `X-GTV-Time` says when it was taken.
#[utoipa::path(get, path = "/api/streaming/cameras/{id}/thumbnail.jpg", tag = "streaming",
    params(("id" = String, Path, description = "Camera"),
           ("at" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("within" = Option<u32>, Query, description = "Seconds that the picture may be away: 1 to 604800, 10 when \
                absent"),
           ("stream" = Option<String>, Query, description = "`main` (when absent) or `sub`")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), (status = 304),
              (status = 404, body = ErrorBody)))]
pub async fn thumbnail(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = req.camera_id()?;
    let at = req.required_time("at")?;
    let within_us = i64::from(req.query_number("within", WITHIN, WITHIN_MAX)?) * 1_000_000;
    let stream = stored(req.query_stream()?);
    let row = thumbnail::find(&app, &camera, stream, at, within_us).await?;
    let etag = format!("\"{camera}-{stream}-{}\"", row.start.0);
    let known = req.header(header::IF_NONE_MATCH).is_some_and(|tags| reply::matches_etag(tags, &etag));
    let mut response = if known {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let picture = thumbnail::take(&app, &camera, stream, &row).await?;
        let mut response = reply::bytes(StatusCode::OK, "image/jpeg", picture.jpeg);
        reply::set(&mut response, header::HeaderName::from_static("x-gtv-time"), &picture.at.0.to_string());
        response
    };
    reply::set(&mut response, header::ETAG, &etag);
    // A picture after which more may still be recorded can turn out not to be the nearest.
    let settled = crate::base::time::UtcMicros::now().since(at) > within_us.max(60_000_000);
    let keep = if settled { "private, max-age=3600" } else { "private, no-cache" };
    reply::set(&mut response, header::CACHE_CONTROL, keep);
    Ok(response)
}

fn cameras(req: &Req) -> ApiResult<Vec<CameraId>> {
    let wrong = || ApiError::invalid("cameras", format!("`cameras` must be 1 to {CAMERAS_MAX} ids, joined by commas."));
    let text = req.query("cameras").ok_or_else(wrong)?;
    let ids: Vec<CameraId> = text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if ids.len() > CAMERAS_MAX { Err(wrong()) } else { Ok(ids) }
}
