//! Watchlists: made, changed, turned off, deleted. Their entries are in `watch_entries`.
use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use warp::reply::Response;

use crate::alerts::clean_reason;
use crate::store::{NAME_MAX, Severity, WatchlistChange, WatchlistRow};
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::{Req, shorten};

#[derive(Serialize, ToSchema)]
pub struct Watchlists {
    pub items: Vec<WatchlistView>,
}

#[derive(Serialize, ToSchema)]
pub struct WatchlistView {
    pub id: String,
    pub name: String,
    /// Of the alerts it raises: `info`, `warning` or `critical`.
    pub severity: String,
    /// For entries that have none of their own.
    pub reason: String,
    /// A list that is off raises nothing.
    pub enabled: bool,
    pub entries: u64,
    /// Microseconds UTC.
    pub created_at: i64,
    pub created_by: String,
}

impl WatchlistView {
    fn of(row: &WatchlistRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            severity: row.severity.as_str().to_owned(),
            reason: row.reason.clone(),
            enabled: row.enabled,
            entries: row.entries,
            created_at: row.created_at.0,
            created_by: row.created_by.clone(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
pub struct WatchlistBody {
    /// 1 to 64 characters, of no other list.
    pub name: String,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

impl WatchlistBody {
    fn change(self) -> ApiResult<WatchlistChange> {
        let name = self.name.trim().to_owned();
        if !(1..=NAME_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(ApiError::invalid("name", format!("`name` needs 1 to {NAME_MAX} characters.")));
        }
        let severity: Severity = self
            .severity
            .parse()
            .map_err(|_| ApiError::invalid("severity", "`severity` must be `info`, `warning` or `critical`."))?;
        let reason = clean_reason(&self.reason).map_err(|problem| ApiError::invalid("reason", problem.to_string()))?;
        Ok(WatchlistChange { name, severity, reason, enabled: self.enabled })
    }
}

/// All lists, by name.
#[utoipa::path(get, path = "/api/ai/watchlists", tag = "ai", responses((status = 200, body = Watchlists)))]
pub async fn list(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let rows = app.store().watchlists().await?;
    reply::json(&Watchlists { items: rows.iter().map(WatchlistView::of).collect() })
}

/// Makes a list without entries.
#[utoipa::path(post, path = "/api/ai/watchlists", tag = "ai", request_body = WatchlistBody,
    responses((status = 201, body = WatchlistView), (status = 409, body = ErrorBody)))]
pub async fn create(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let change = req.json::<WatchlistBody>()?.change()?;
    app.audit(&req, "watchlist.create", &change.name, Outcome::Done).await?;
    let row = app.store().create_watchlist(change, &req.who()?.username).await?;
    reply::json_status(StatusCode::CREATED, &WatchlistView::of(&row))
}

/// Changes name, severity, reason, and whether the list is on.
#[utoipa::path(put, path = "/api/ai/watchlists/{id}", tag = "ai", request_body = WatchlistBody,
    params(("id" = String, Path, description = "Watchlist")),
    responses((status = 200, body = WatchlistView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn update(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let row = find(&app, &req).await?;
    let change = req.json::<WatchlistBody>()?.change()?;
    let state = if change.enabled { "on" } else { "off" };
    let subject = format!("{} ({}): {}, {}, {state}", row.name, row.id, change.name, change.severity.as_str());
    app.audit(&req, "watchlist.change", &subject, Outcome::Done).await?;
    let row = app.store().change_watchlist(row.id, change).await?;
    reply::json(&WatchlistView::of(&row))
}

/// Deletes a list with its entries. Alerts that it raised stay.
#[utoipa::path(delete, path = "/api/ai/watchlists/{id}", tag = "ai",
    params(("id" = String, Path, description = "Watchlist")),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub async fn remove(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let row = find(&app, &req).await?;
    let subject = format!("{} ({}), {} entries", row.name, row.id, row.entries);
    app.audit(&req, "watchlist.delete", &subject, Outcome::Done).await?;
    app.store().delete_watchlist(row.id).await?;
    Ok(reply::no_content())
}

/// The list of the path.
pub async fn find(app: &App, req: &Req) -> ApiResult<WatchlistRow> {
    let text = req.param("id");
    let missing = || ApiError::not_found(format!("Watchlist `{}`", shorten(text)));
    let id: Uuid = text.parse().map_err(|_| missing())?;
    app.store().watchlist(id).await?.ok_or_else(missing)
}
