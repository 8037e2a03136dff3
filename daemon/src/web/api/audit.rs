//! The audit log, newest first.
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

use crate::store::AuditQuery;
use crate::web::app::App;
use crate::web::error::{ApiError, ApiResult};
use crate::web::reply;
use crate::web::request::{Req, decode_cursor, encode_cursor};

#[derive(Serialize, ToSchema)]
pub struct AuditPage {
    pub entries: Vec<AuditView>,
    /// Give it as `cursor` for older entries; absent at the end.
    pub next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct AuditView {
    pub seq: i64,
    /// Microseconds UTC.
    pub at: i64,
    /// User name; empty for somebody who was not logged in.
    pub actor: String,
    pub action: String,
    pub subject: String,
    /// `outcome` is `done` or `refused`; other members depend on the action.
    pub detail: serde_json::Value,
    /// Address the request came from.
    pub remote: String,
    /// SHA-256 over this entry and the hash of the one before it.
    pub hash: String,
}

/// What was done on the box and by whom.
#[utoipa::path(get, path = "/api/admin/audit", tag = "admin",
    params(("cursor" = Option<String>, Query, description = "`next` of an earlier page"),
           ("limit" = Option<u32>, Query, description = "1 to 500, 100 when absent")),
    responses((status = 200, body = AuditPage)))]
pub async fn list(app: Arc<App>, req: Req) -> ApiResult<Response> {
    let limit = req.query_number("limit", 100, 500)?;
    let before = match req.query("cursor") {
        Some(cursor) => {
            let key = decode_cursor(&cursor)?;
            Some(key.parse().map_err(|_| ApiError::invalid("cursor", "`cursor` is not of this list."))?)
        }
        None => None,
    };
    let rows = app.store().audit(AuditQuery { before, limit: limit as usize, ..AuditQuery::default() }).await?;
    let full = rows.len() == limit as usize;
    let next = rows.last().filter(|_| full).map(|row| encode_cursor(&row.seq.to_string()));
    let entries = rows
        .into_iter()
        .map(|row| AuditView {
            seq: row.seq,
            at: row.at.0,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            detail: row.detail,
            remote: row.remote,
            hash: row.hash,
        })
        .collect();
    reply::json(&AuditPage { entries, next })
}
