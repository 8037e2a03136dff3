//! The coverage ledger: how much of each hour should have been recorded and was, and why the rest is missing.
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::config::StreamRecord;
use crate::store::{CoverageRow, GapRow, HOUR_US, Stream};
use crate::web::app::App;
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::Req;

/// Days one request may ask for.
const SPAN_DAYS_MAX: i64 = 32;
/// What is on its way to the disk is not missing.
const OPEN_FROM_US: i64 = 5_000_000;

#[derive(Serialize, ToSchema)]
pub struct Coverage {
    /// Oldest first; an hour in which nothing was expected or stored is left out.
    pub hours: Vec<HourView>,
}

#[derive(Serialize, ToSchema)]
pub struct HourView {
    /// Microseconds UTC.
    pub start: i64,
    /// Seconds that should have been recorded by the camera's mode, so far.
    pub expected_s: f64,
    /// Seconds that were stored, also those that were deleted since.
    pub stored_s: f64,
    /// Seconds that were deleted since.
    pub evicted_s: f64,
    pub gaps: Vec<GapView>,
}

#[derive(Serialize, ToSchema)]
pub struct GapView {
    /// Microseconds UTC.
    pub start: i64,
    /// Microseconds UTC; for a gap that is not over, where the ledger stands.
    pub end: i64,
    pub reason: String,
}

/// What should have been recorded of one stream, hour by hour, and what is missing.
#[utoipa::path(get, path = "/api/streaming/coverage", tag = "streaming",
    params(("camera" = String, Query, description = "Camera"),
           ("stream" = Option<String>, Query, description = "`main` or `sub`; main when absent"),
           ("from" = String, Query, description = "RFC 3339 or microseconds UTC"),
           ("to" = String, Query, description = "RFC 3339 or microseconds UTC, at most 32 days later")),
    responses((status = 200, body = Coverage), (status = 400, body = ErrorBody)))]
pub async fn list(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let camera = camera_of(&req.query("camera").unwrap_or_default())?;
    let stream: Stream = req.query_stream()?.as_str().parse()?;
    let (from, to) = (req.required_time("from")?, req.required_time("to")?);
    if to <= from || to.since(from) > SPAN_DAYS_MAX * 24 * HOUR_US {
        return Err(ApiError::invalid("to", format!("`to` must be after `from`, by at most {SPAN_DAYS_MAX} days.")));
    }
    let rows = app.store().coverage(&camera, stream, from, to).await?;
    let mut gaps = app.store().gaps(&camera, stream, from.add_micros(-HOUR_US), to.add_micros(HOUR_US)).await?;
    gaps.extend(open_gap(&app, &camera, stream).await?);
    reply::json(&Coverage { hours: rows.iter().map(|row| hour(row, &gaps)).collect() })
}

fn hour(row: &CoverageRow, gaps: &[GapRow]) -> HourView {
    let end = row.hour.add_micros(HOUR_US);
    let inside = gaps.iter().filter(|gap| gap.start < end && gap.end > row.hour);
    HourView {
        start: row.hour.0,
        expected_s: row.expected_us as f64 / 1e6,
        stored_s: row.stored_us as f64 / 1e6,
        evicted_s: row.evicted_us as f64 / 1e6,
        gaps: inside
            .map(|gap| GapView {
                start: gap.start.max(row.hour).0,
                end: gap.end.min(end).0,
                reason: gap.reason.clone(),
            })
            .collect(),
    }
}

/// A gap gets its row when it is over or its hour is; until then it shows from what is stored and expected.
async fn open_gap(app: &App, camera: &CameraId, stream: Stream) -> ApiResult<Option<GapRow>> {
    let ledger = app.store().ledger_streams().await?;
    let Some(entry) = ledger.into_iter().find(|entry| &entry.camera == camera && entry.stream == stream) else {
        return Ok(None);
    };
    let Some(config) = app.config().camera(camera).cloned() else { return Ok(None) };
    // Only where time alone says that something is missing.
    if !config.records(stream == Stream::Sub).is_some_and(StreamRecord::is_continuous) {
        return Ok(None);
    }
    let totals = app.store().recording_totals().await?;
    let newest = totals.iter().find(|total| &total.camera == camera && total.stream == stream).and_then(|t| t.newest);
    let start = newest.map_or(entry.since, |newest| newest.max(entry.since));
    if entry.until.since(start) < OPEN_FROM_US {
        return Ok(None);
    }
    let reason = app.camera_status(camera).map(|status| status.reason).unwrap_or_default();
    let reason = if reason.is_empty() { "the camera delivers nothing".to_owned() } else { reason };
    Ok(Some(GapRow { camera: camera.clone(), stream, start, end: entry.until, reason }))
}

/// The camera that a query or a body names.
pub fn camera_of(text: &str) -> ApiResult<CameraId> {
    text.parse().map_err(|_| ApiError::invalid("camera", "`camera` must be the id of a camera."))
}

/// A time in a body: RFC 3339 or microseconds UTC.
pub fn time_of(field: &'static str, value: &serde_json::Value) -> ApiResult<UtcMicros> {
    let parsed = match value {
        serde_json::Value::Number(number) => number.as_i64().map(UtcMicros),
        serde_json::Value::String(text) => UtcMicros::parse_rfc3339(text).ok(),
        _ => None,
    };
    parsed.ok_or_else(|| {
        ApiError::invalid(field, format!("`{field}` must be an RFC 3339 time or microseconds since 1970."))
    })
}
