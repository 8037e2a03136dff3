//! Alerts: the list, and that somebody has seen one. New ones also come over `/api/ai/lpr/stream`.
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use warp::reply::Response;

use crate::base::time::UtcMicros;
use crate::store::{AlertQuery, AlertRow};
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::{Req, decode_cursor, encode_cursor, shorten};

#[derive(Serialize, ToSchema)]
pub struct AlertPage {
    pub items: Vec<AlertView>,
    /// Give it as `before` for older ones; absent at the end.
    pub next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct AlertView {
    pub id: String,
    /// When it was raised, microseconds UTC.
    pub at: i64,
    /// `watchlist-hit`, `camera-lost` or `camera-back`.
    pub kind: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    pub camera: Option<String>,
    pub detection: Option<String>,
    pub title: String,
    /// By kind. A hit: `watchlist`, `list_id`, `reason`, `plate` (as listed), `matched` (as read), `match` (`exact`,
    /// `equivalent` or `alternative`), `confidence`, `seen_at`, `repeats`, and after a repetition `last_seen_at` and
    /// `last_detection`.
    pub detail: serde_json::Value,
    /// Microseconds UTC.
    pub acknowledged_at: Option<i64>,
    pub acknowledged_by: Option<String>,
}

impl AlertView {
    pub fn of(row: &AlertRow) -> Self {
        Self {
            id: row.id.to_string(),
            at: row.at.0,
            kind: row.kind.clone(),
            severity: row.severity.as_str().to_owned(),
            camera: row.camera.as_ref().map(ToString::to_string),
            detection: row.detection.map(|id| id.to_string()),
            title: row.title.clone(),
            detail: row.detail.clone(),
            acknowledged_at: row.acknowledged_at.map(|at| at.0),
            acknowledged_by: row.acknowledged_by.clone(),
        }
    }
}

/// Alerts, newest first.
#[utoipa::path(get, path = "/api/ai/alerts", tag = "ai",
    params(("before" = Option<String>, Query, description = "`next` of an earlier page"),
           ("limit" = Option<u32>, Query, description = "1 to 200, 50 when absent"),
           ("kind" = Option<String>, Query, description = "Only this kind"),
           ("open" = Option<bool>, Query, description = "Only those that nobody has acknowledged")),
    responses((status = 200, body = AlertPage), (status = 400, body = ErrorBody)))]
pub async fn list(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let limit = req.query_number("limit", 50, 200)? as usize;
    let before = req.query("before").map(|cursor| read_cursor(&cursor)).transpose()?;
    let query = AlertQuery { before, open: req.query_flag("open")?, kind: req.query("kind"), limit };
    let rows = app.store().alerts(query).await?;
    let next = rows.last().filter(|_| rows.len() == limit);
    let next = next.map(|row| encode_cursor(&format!("{} {}", row.at.0, row.id)));
    reply::json(&AlertPage { items: rows.iter().map(AlertView::of).collect(), next })
}

/// Notes that somebody has seen to it; the first one counts.
#[utoipa::path(post, path = "/api/ai/alerts/{id}/acknowledge", tag = "ai",
    params(("id" = String, Path, description = "Alert")),
    responses((status = 200, body = AlertView), (status = 404, body = ErrorBody)))]
pub async fn acknowledge(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let text = req.param("id");
    let missing = || ApiError::not_found(format!("Alert `{}`", shorten(text)));
    let id: Uuid = text.parse().map_err(|_| missing())?;
    app.store().alert(id).await?.ok_or_else(missing)?;
    app.audit(&req, "alert.acknowledge", &id.to_string(), Outcome::Done).await?;
    let row = app.store().acknowledge_alert(id, &req.who()?.username, UtcMicros::now()).await?;
    reply::json(&AlertView::of(&row))
}

fn read_cursor(cursor: &str) -> ApiResult<(UtcMicros, Uuid)> {
    let key = decode_cursor(cursor)?;
    let parts = key.split_once(' ').and_then(|(at, id)| Some((UtcMicros(at.parse().ok()?), id.parse().ok()?)));
    parts.ok_or_else(|| ApiError::invalid("before", "`before` is not of this list."))
}
