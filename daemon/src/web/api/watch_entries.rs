//! The vehicles on a watchlist: one by one, and as CSV in and out.
use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;
use uuid::Uuid;
use warp::reply::Response;

use super::watchlists::find;
use crate::alerts::{self, ImportError, Rejected, Summary, clean_reason, write_header, write_row};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;
use crate::store::{Store, WatchEntry};
use crate::web::app::{App, Outcome};
use crate::web::error::{ApiError, ApiResult, ErrorBody};
use crate::web::reply;
use crate::web::request::Req;

/// Entries that an export reads at once.
const EXPORT_PAGE: usize = 5000;

#[derive(Serialize, ToSchema)]
pub struct EntryPage {
    pub items: Vec<EntryView>,
    /// Give it as `after` for the next ones; absent at the end. A page that looks for a part may be short, even empty,
    /// although more follows.
    pub next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct EntryView {
    pub plate: String,
    /// Empty: the list's.
    pub reason: String,
    /// Passages before this time raise nothing; microseconds UTC.
    pub valid_from: Option<i64>,
    /// Passages from this time on raise nothing; microseconds UTC.
    pub valid_until: Option<i64>,
}

impl EntryView {
    fn of(entry: &WatchEntry) -> Self {
        Self {
            plate: entry.plate.as_str().to_owned(),
            reason: entry.reason.clone(),
            valid_from: entry.valid_from.map(|at| at.0),
            valid_until: entry.valid_until.map(|at| at.0),
        }
    }
}

#[derive(Deserialize, ToSchema)]
pub struct EntryBody {
    #[serde(default)]
    pub reason: String,
    /// Microseconds UTC or RFC 3339; absent: since ever.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pub valid_from: Option<serde_json::Value>,
    /// Microseconds UTC or RFC 3339; absent: for ever.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pub valid_until: Option<serde_json::Value>,
}

#[derive(Serialize, ToSchema)]
pub struct ImportResult {
    pub added: u64,
    pub changed: u64,
    /// Only with `replace`.
    pub removed: u64,
    /// The first thousand bad lines; what the list had of their plates stays as it was.
    pub rejected: Vec<RejectedLine>,
    pub rejected_total: u64,
}

#[derive(Serialize, ToSchema)]
pub struct RejectedLine {
    /// The header is line 1.
    pub line: u64,
    /// `plate`, `reason`, `time`, `order` (valid_until is not after valid_from) or `open_quote`.
    pub code: String,
    /// The column that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The same in English.
    pub problem: String,
}

impl RejectedLine {
    fn of(bad: &Rejected) -> Self {
        Self {
            line: bad.line,
            code: bad.problem.code().to_owned(),
            column: bad.problem.column().map(str::to_owned),
            problem: bad.problem.to_string(),
        }
    }
}

impl From<Summary> for ImportResult {
    fn from(summary: Summary) -> Self {
        Self {
            added: summary.added,
            changed: summary.changed,
            removed: summary.removed,
            rejected: summary.rejected.iter().map(RejectedLine::of).collect(),
            rejected_total: summary.rejected_total,
        }
    }
}

/// Entries by plate.
#[utoipa::path(get, path = "/api/ai/watchlists/{id}/entries", tag = "ai",
    params(("id" = String, Path, description = "Watchlist"),
           ("part" = Option<String>, Query, description = "Part of the plate"),
           ("after" = Option<String>, Query, description = "`next` of an earlier page"),
           ("limit" = Option<u32>, Query, description = "1 to 1000, 100 when absent")),
    responses((status = 200, body = EntryPage), (status = 404, body = ErrorBody)))]
pub async fn list(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let limit = req.query_number("limit", 100, 1000)? as usize;
    let list = find(&app, &req).await?;
    let part = req.query("part").map(|text| Plate::normalize(&text).as_str().to_owned());
    let after = req.query("after").map(|text| Plate::normalize(&text));
    if let Some(part) = part.as_ref().filter(|_| after.is_none()) {
        app.audit(&req, "watchlist.search", &format!("plate `{part}` on {}", list.name), Outcome::Done).await?;
    }
    let (entries, next) = app.store().watch_entries(list.id, part, after, limit).await?;
    let next = next.map(|plate| plate.as_str().to_owned());
    reply::json(&EntryPage { items: entries.iter().map(EntryView::of).collect(), next })
}

/// Adds or changes one entry.
#[utoipa::path(put, path = "/api/ai/watchlists/{id}/entries/{plate}", tag = "ai", request_body = EntryBody,
    params(("id" = String, Path, description = "Watchlist"), ("plate" = String, Path, description = "Plate")),
    responses((status = 200, body = EntryView), (status = 201, body = EntryView), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody)))]
pub async fn put(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let list = find(&app, &req).await?;
    let plate = plate_of(&req)?;
    let body: EntryBody = req.json()?;
    let reason = clean_reason(&body.reason).map_err(|problem| ApiError::invalid("reason", problem.to_string()))?;
    let valid_from = time("valid_from", body.valid_from.as_ref())?;
    let valid_until = time("valid_until", body.valid_until.as_ref())?;
    if matches!((valid_from, valid_until), (Some(from), Some(until)) if until <= from) {
        return Err(ApiError::invalid("valid_until", "`valid_until` must be after `valid_from`."));
    }
    let subject = format!("plate `{}` on {}", plate.as_str(), list.name);
    app.audit(&req, "watchlist.entry.put", &subject, Outcome::Done).await?;
    let entry = WatchEntry { plate, reason, valid_from, valid_until };
    let new = app.store().put_watch_entry(list.id, entry.clone()).await?;
    reply::json_status(if new { StatusCode::CREATED } else { StatusCode::OK }, &EntryView::of(&entry))
}

/// Takes one entry off the list.
#[utoipa::path(delete, path = "/api/ai/watchlists/{id}/entries/{plate}", tag = "ai",
    params(("id" = String, Path, description = "Watchlist"), ("plate" = String, Path, description = "Plate")),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub async fn remove(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let list = find(&app, &req).await?;
    let plate = plate_of(&req)?;
    let subject = format!("plate `{}` on {}", plate.as_str(), list.name);
    app.audit(&req, "watchlist.entry.delete", &subject, Outcome::Done).await?;
    app.store().delete_watch_entry(list.id, plate).await?;
    Ok(reply::no_content())
}

/// Takes a CSV file in: columns `plate`, `reason`, `valid_from`, `valid_until`, separated by `,` or `;`.
#[utoipa::path(post, path = "/api/ai/watchlists/{id}/import", tag = "ai",
    params(("id" = String, Path, description = "Watchlist"),
           ("replace" = Option<bool>, Query, description = "The list holds nothing else afterwards")),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 200, body = ImportResult), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody)))]
pub async fn import(app: Arc<App>, mut req: Req) -> ApiResult<Response> {
    let list = find(&app, &req).await?;
    let replace = req.query_flag("replace")?;
    let file = req.upload.take().ok_or_else(|| ApiError::invalid("body", "The file is missing."))?;
    let Ok(permit) = app.importing.clone().try_acquire_owned() else {
        return Err(ApiError::conflict("Another file is being imported.", "Wait until it is done."));
    };
    let how = if replace { "replacing" } else { "adding" };
    app.audit(&req, "watchlist.import", &format!("{} ({}), {how}", list.name, list.id), Outcome::Done).await?;
    // A task of its own: who closes the page does not leave half a list behind.
    let store = app.store().clone();
    let import = tokio::spawn(async move {
        let _permit = permit;
        alerts::import(&store, list.id, file, replace).await
    });
    let result = import.await.map_err(|error| ApiError::internal("importing a watchlist", error))?;
    let summary = result.map_err(|error| match error {
        ImportError::Header(problem) => ApiError::new(
            StatusCode::BAD_REQUEST,
            problem.code(),
            format!("The file cannot be used: {problem}."),
            "Correct the file and send it again.",
        )
        .with_field("body"),
        ImportError::Store(error) => ApiError::from(error),
        other => ApiError::internal("importing a watchlist", other),
    })?;
    reply::json(&ImportResult::from(summary))
}

/// The whole list as CSV, as [`import`] takes it.
#[utoipa::path(get, path = "/api/ai/watchlists/{id}/export.csv", tag = "ai",
    params(("id" = String, Path, description = "Watchlist")),
    responses((status = 200, body = String, content_type = "text/csv"), (status = 404, body = ErrorBody)))]
pub async fn export(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let list = find(&app, &req).await?;
    let subject = format!("{} ({}), {} entries", list.name, list.id, list.entries);
    app.audit(&req, "watchlist.export", &subject, Outcome::Done).await?;
    // Bounded, so that a slow client does not collect the list in memory.
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(write_pages(app.store().clone(), list.id, sender));
    let mut response = reply::stream(ReceiverStream::new(receiver));
    reply::set(&mut response, header::CONTENT_TYPE, "text/csv; charset=utf-8");
    reply::set(&mut response, header::CONTENT_DISPOSITION, "attachment; filename=\"watchlist.csv\"");
    reply::set(&mut response, header::CACHE_CONTROL, "no-store");
    Ok(response)
}

/// Writes the list page by page. An error ends the answer early, so that nobody takes half a list for a whole one.
async fn write_pages(store: Store, list: Uuid, out: mpsc::Sender<std::io::Result<Bytes>>) {
    let mut text = Vec::new();
    write_header(&mut text);
    let mut after = None;
    loop {
        let page = store.watch_entries(list, None, after, EXPORT_PAGE).await;
        let (piece, next) = match page {
            Ok((entries, next)) => {
                for entry in &entries {
                    write_row(&mut text, entry);
                }
                (Ok(std::mem::take(&mut text).into()), next)
            }
            Err(error) => (Err(std::io::Error::other(error)), None),
        };
        // Whoever asked may have gone.
        if out.send(piece).await.is_err() || next.is_none() {
            return;
        }
        after = next;
    }
}

fn plate_of(req: &Req) -> ApiResult<Plate> {
    let text = req.param("plate");
    let plate = Plate::normalize(text);
    if text.contains('%') || !(2..=Plate::MAX_LEN).contains(&plate.as_str().len()) {
        return Err(ApiError::invalid("plate", format!("A plate has 2 to {} letters and digits.", Plate::MAX_LEN)));
    }
    Ok(plate)
}

fn time(field: &str, value: Option<&serde_json::Value>) -> ApiResult<Option<UtcMicros>> {
    let time = match value {
        None | Some(serde_json::Value::Null) => return Ok(None),
        Some(serde_json::Value::Number(number)) => number.as_i64().map(UtcMicros),
        Some(serde_json::Value::String(text)) => UtcMicros::parse_rfc3339(text).ok(),
        Some(_) => None,
    };
    let wrong = || ApiError::invalid(field, format!("`{field}` must be microseconds UTC, RFC 3339 text or null."));
    time.map(Some).ok_or_else(wrong)
}
