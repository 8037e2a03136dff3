//! Plates that were read: search, detail, pictures, clip, and a socket that tells of new ones.
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa::ToSchema;
use warp::reply::{Reply, Response};

use super::alerts::AlertView;
use crate::base::ids::{CameraId, DetectionId};
use crate::store::{DetectionQuery, DetectionRow, Matching, ObjectRef, Similar, StoreEvent};
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::{Req, decode_cursor, encode_cursor, shorten};
use crate::web::socket::{self, Out};

#[derive(Serialize, ToSchema)]
pub struct DetectionPage {
    pub detections: Vec<DetectionView>,
    /// Give it as `cursor` for older ones; absent at the end.
    pub next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct DetectionView {
    pub id: String,
    pub camera: String,
    pub plate: String,
    /// Plate layout, for example `br-mercosul`.
    pub layout: String,
    /// What the plate's colors say: `private`, `commercial`, `official`, `special`, `diplomatic`, `collector` or
    /// `other`; null where the reader does not tell or is not sure.
    pub category: Option<String>,
    /// 0 to 1.
    pub confidence: f64,
    pub alternatives: Vec<Alternative>,
    /// Microseconds UTC.
    pub first_seen: i64,
    /// Microseconds UTC.
    pub last_seen: i64,
    /// When the evidence picture was taken, microseconds UTC.
    pub best_at: i64,
    /// Corners of the plate in pixels of the frame: top left, top right, bottom right, bottom left.
    #[schema(value_type = Vec<Vec<f32>>)]
    pub quad: [[f32; 2]; 4],
    pub frame_width: u32,
    pub frame_height: u32,
    pub direction: Option<String>,
    /// Frames that the text was fused from.
    pub reads: u32,
    /// The text was read in a single frame only.
    pub single: bool,
    pub has_crop: bool,
    pub has_frame: bool,
    /// `ready`, `pending` or `unavailable`.
    pub clip: String,
    /// Of a similar search: the probability that the passage was of the plate that was asked for, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

#[derive(Serialize, ToSchema)]
pub struct Alternative {
    pub text: String,
    pub p: f64,
}

impl DetectionView {
    fn of(row: &DetectionRow) -> Self {
        let clip = match (&row.clip, &row.clip_unavailable) {
            (Some(_), _) => "ready",
            (None, Some(_)) => "unavailable",
            (None, None) => "pending",
        };
        Self {
            id: row.id.to_string(),
            camera: row.camera.to_string(),
            plate: row.plate.as_str().to_owned(),
            layout: row.layout.clone(),
            category: row.category.clone(),
            confidence: row.confidence,
            alternatives: row.alternatives.iter().map(|(text, p)| Alternative { text: text.clone(), p: *p }).collect(),
            first_seen: row.first_seen.0,
            last_seen: row.last_seen.0,
            best_at: row.best_at.0,
            quad: row.quad,
            frame_width: row.frame_width,
            frame_height: row.frame_height,
            direction: row.direction.clone(),
            reads: row.reads,
            single: row.single,
            has_crop: row.crop.is_some(),
            has_frame: row.frame.is_some(),
            clip: clip.to_owned(),
            score: None,
        }
    }
}

/// What the socket sends, as JSON text.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DetectionEvent {
    /// A detection was stored.
    Detection { detection: DetectionView },
    /// The clip of a detection can be played, or never will be; read it again.
    Clip { id: String },
    /// An alert was raised, counted another passage, or was acknowledged; the newest state of it.
    Alert { alert: AlertView },
    /// The client was too slow for this many events; load the list again.
    Missed { count: u64 },
}

/// How long a page is filled for where the search finds little among many candidates.
const FILL_MAX: Duration = Duration::from_millis(250);

/// Detections, newest first; of a similar search the likeliest first, in one page.
#[utoipa::path(get, path = "/api/ai/lpr/detections", tag = "ai",
    params(("plate" = Option<String>, Query, description = "What to look for in plates and alternative readings; \
                both Brazilian spellings of a vehicle count"),
           ("match" = Option<String>, Query, description = "`part`, `wildcard` (the whole plate, `?` and `*`) or \
                `similar` (by the reader's probabilities); absent: `wildcard` where the text has one, else `part`"),
           ("q" = Option<String>, Query, description = "The same as `plate`"),
           ("camera" = Option<String>, Query, description = "Camera id"),
           ("from" = Option<String>, Query, description = "RFC 3339 or microseconds UTC"),
           ("to" = Option<String>, Query, description = "RFC 3339 or microseconds UTC"),
           ("cursor" = Option<String>, Query, description = "`next` of an earlier page"),
           ("limit" = Option<u32>, Query, description = "1 to 200, 50 when absent")),
    responses((status = 200, body = DetectionPage), (status = 400, body = ErrorBody)))]
pub async fn list(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let limit = req.query_number("limit", 50, 200)?;
    let text = req.query("plate").or_else(|| req.query("q"));
    let text = text.map(|text| normalized(&text)).filter(|text| !text.is_empty());
    let (matching, similar) = how(&req, text.as_deref())?;
    let camera = match req.query("camera") {
        Some(id) => {
            let id: CameraId = id.parse().map_err(|_| ApiError::invalid("camera", "`camera` is not a camera id."))?;
            Some(id)
        }
        None => None,
    };
    let before: Option<DetectionId> = match req.query("cursor") {
        Some(cursor) => {
            let key = decode_cursor(&cursor)?;
            Some(key.parse().map_err(|_| ApiError::invalid("cursor", "`cursor` is not of this list."))?)
        }
        None => None,
    };
    let (from, to) = (req.query_time("from")?, req.query_time("to")?);
    // The page asks for the newest plates again and again; a search is what somebody wanted to know.
    let narrowed = text.is_some() || from.is_some() || to.is_some();
    if narrowed && before.is_none() {
        let camera = camera.as_ref().map_or("all cameras", CameraId::as_str);
        let sort = if similar { "similar to plate" } else { "plate" };
        let target = format!("{sort} `{}` at {camera}", text.as_deref().unwrap_or("*"));
        app.audit(&req, "plates.search", &target, Outcome::Done).await?;
    }
    let limit = limit as usize;
    let mut query = DetectionQuery { text, matching, camera, from, to, before, limit };
    if similar {
        let found = app.store().similar_detections(query).await?;
        let view = |similar: &Similar| DetectionView { score: Some(similar.score), ..DetectionView::of(&similar.row) };
        return reply::json(&DetectionPage { detections: found.iter().map(view).collect(), next: None });
    }
    let started = Instant::now();
    let mut detections = Vec::new();
    let next = loop {
        query.limit = limit - detections.len();
        let page = app.store().detection_page(query.clone()).await?;
        detections.extend(page.rows.iter().map(DetectionView::of));
        if page.next.is_none() || detections.len() >= limit || started.elapsed() > FILL_MAX {
            break page.next;
        }
        query.before = page.next;
    };
    reply::json(&DetectionPage { detections, next: next.map(|id| encode_cursor(&id.to_string())) })
}

/// What `match` says, or else the text itself.
fn how(req: &Req, text: Option<&str>) -> ApiResult<(Matching, bool)> {
    let has_wildcard = text.is_some_and(|text| text.contains(['*', '?']));
    match (req.query("match").as_deref(), has_wildcard) {
        (None, true) | (Some("wildcard"), _) => Ok((Matching::Wildcard, false)),
        (None | Some("part"), _) => Ok((Matching::Part, false)),
        (Some("similar"), false) => Ok((Matching::Part, true)),
        (Some("similar"), true) => {
            Err(ApiError::invalid("plate", "A similar search takes no `*` and `?`; use `match=wildcard` for them."))
        }
        (Some(_), _) => Err(ApiError::invalid("match", "`match` must be `part`, `wildcard` or `similar`.")),
    }
}

/// Upper-case letters, digits and wildcards, as plates are stored.
fn normalized(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '?'));
    kept.take(16).map(|c| c.to_ascii_uppercase()).collect()
}

/// One detection with everything that is known about it.
#[utoipa::path(get, path = "/api/ai/lpr/detections/{id}", tag = "ai",
    params(("id" = String, Path, description = "Detection")),
    responses((status = 200, body = DetectionView), (status = 404, body = ErrorBody)))]
pub async fn one(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let row = find(&app, &req).await?;
    app.audit(&req, "evidence.view", &row.id.to_string(), Outcome::Done).await?;
    reply::json(&DetectionView::of(&row))
}

/// The plate cut out of the best frame.
#[utoipa::path(get, path = "/api/ai/lpr/detections/{id}/crop.jpg", tag = "ai",
    params(("id" = String, Path, description = "Detection")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), (status = 404, body = ErrorBody)))]
pub async fn crop(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let row = find(&app, &req).await?;
    object(&app, &req, row.crop.as_ref(), "The plate picture").await
}

/// The best frame.
#[utoipa::path(get, path = "/api/ai/lpr/detections/{id}/frame.jpg", tag = "ai",
    params(("id" = String, Path, description = "Detection")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), (status = 404, body = ErrorBody)))]
pub async fn frame(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let row = find(&app, &req).await?;
    app.audit(&req, "evidence.frame", &row.id.to_string(), Outcome::Done).await?;
    object(&app, &req, row.frame.as_ref(), "The frame").await
}

/// The recorded video around the passage.
#[utoipa::path(get, path = "/api/ai/lpr/detections/{id}/clip.mp4", tag = "ai",
    params(("id" = String, Path, description = "Detection")),
    responses((status = 200, body = Vec<u8>, content_type = "video/mp4"),
              (status = 206, body = Vec<u8>, content_type = "video/mp4"),
              (status = 404, body = ErrorBody)))]
pub async fn clip(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let row = find(&app, &req).await?;
    if let (None, Some(reason)) = (&row.clip, &row.clip_unavailable) {
        let mut error = ApiError::not_found("The clip of this passage");
        error.remedy = format!("It was not recorded: {reason}");
        return Err(error);
    }
    // A player asks for many ranges of one clip; the first one is the view.
    let first = req.header(http::header::RANGE).is_none_or(|range| range.trim().starts_with("bytes=0-"));
    if first {
        app.audit(&req, "evidence.clip", &row.id.to_string(), Outcome::Done).await?;
    }
    object(&app, &req, row.clip.as_ref(), "The clip").await
}

async fn object(app: &App, req: &Req, object: Option<&ObjectRef>, what: &str) -> ApiResult<Response> {
    let missing = || ApiError::not_found(format!("{what} of this detection"));
    let object = object.ok_or_else(missing)?;
    let path = app.store().object_path(&object.sha256).ok_or_else(missing)?;
    reply::file(req, &path, &object.sha256, &object.content_type).await
}

async fn find(app: &App, req: &Req) -> ApiResult<DetectionRow> {
    let text = req.param("id");
    let missing = || ApiError::not_found(format!("Detection `{}`", shorten(text)));
    let id: DetectionId = text.parse().map_err(|_| missing())?;
    app.store().detection(id).await?.ok_or_else(missing)
}

/// WebSocket: each detection and each alert the moment it is stored.
#[utoipa::path(get, path = "/api/ai/lpr/stream", tag = "ai",
    responses((status = 101, description = "JSON text messages", body = DetectionEvent),
              (status = 426, body = ErrorBody)))]
pub async fn stream(app: Arc<App>, mut req: Req) -> ApiResult<Response> {
    let ws = socket::limited(req.websocket()?);
    let who = req.who()?.clone();
    let events = app.store().events();
    let source = stream::unfold(events, |mut events| async move {
        loop {
            let event = match events.recv().await {
                Ok(StoreEvent::Detection(row)) => DetectionEvent::Detection { detection: DetectionView::of(&row) },
                Ok(StoreEvent::ClipAttached { detection, .. }) => DetectionEvent::Clip { id: detection.to_string() },
                Ok(StoreEvent::Alert(row)) => DetectionEvent::Alert { alert: AlertView::of(&row) },
                Ok(_) => continue,
                Err(RecvError::Lagged(count)) => DetectionEvent::Missed { count },
                Err(RecvError::Closed) => return None,
            };
            return Some((Out::json(&event), events));
        }
    });
    let issued = crate::base::time::UtcMicros::now().0 / 1_000_000;
    let response = ws.on_upgrade(move |ws| async move {
        let stop = app.stop.clone();
        socket::pump(ws, source, || !app.tokens.is_revoked(&who, issued), stop).await;
    });
    Ok(response.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_text_is_what_a_plate_can_hold() {
        assert_eq!(normalized(" abc-1d "), "ABC1D");
        assert_eq!(normalized("%_'\"ç"), "");
        assert_eq!(normalized("a?c*"), "A?C*");
        assert_eq!(normalized(&"a".repeat(400)).len(), 16);
    }
}
