//! Answers: JSON, files with ranges, cookies, and the headers every answer carries.
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, Response as HttpResponse, StatusCode, header};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use warp::reply::{Reply, Response};

use super::error::{ApiError, ApiResult};
use super::range::{self, Wanted};
use super::request::Req;

/// The page may load only from the box itself; pictures and video may also come from memory.
const CSP: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
                   connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Read size for files: large enough that a 4 Mb/s stream is a few reads a second.
const CHUNK: usize = 64 * 1024;

pub fn json<T: Serialize>(value: &T) -> ApiResult<Response> {
    json_status(StatusCode::OK, value)
}

pub fn json_status<T: Serialize>(status: StatusCode, value: &T) -> ApiResult<Response> {
    let body = serde_json::to_vec(value).map_err(|error| ApiError::internal("writing JSON", error))?;
    let mut response = bytes(status, "application/json", body.into());
    set(&mut response, header::CACHE_CONTROL, "no-store");
    Ok(response)
}

pub fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub fn bytes(status: StatusCode, content_type: &str, body: Bytes) -> Response {
    let mut response = HttpResponse::new(body.into());
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, content_type);
    response
}

pub fn text(status: StatusCode, body: impl Into<String>) -> Response {
    let mut response = bytes(status, "text/plain; charset=utf-8", body.into().into());
    set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

pub fn stream<S>(body: S) -> Response
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
{
    warp::reply::stream(body).into_response()
}

/// Sets a header; a value that cannot be one (never from constants) is left out.
pub fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

pub fn add_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

pub fn error(error: &ApiError) -> Response {
    let mut response = json_status(error.status, &error.body())
        .unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "The box failed while writing an error."));
    if let Some(seconds) = error.retry_after_seconds {
        set(&mut response, header::RETRY_AFTER, &seconds.to_string());
    }
    response
}

/// Headers of every answer.
pub fn finish(response: &mut Response, request_id: &str) {
    set(response, header::HeaderName::from_static("x-request-id"), request_id);
    set(response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(response, header::X_FRAME_OPTIONS, "DENY");
    set(response, header::REFERRER_POLICY, "no-referrer");
    set(response, header::CONTENT_SECURITY_POLICY, CSP);
    set(response, header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
}

/// What a range request resolves to.
pub enum Resolved {
    /// These bytes, under this head.
    Send(std::ops::Range<u64>, Response),
    /// An answer without body.
    Done(Response),
}

pub fn resolve_range(req: &Req, etag: &str, total: u64) -> Resolved {
    let mut response = Response::default();
    set(&mut response, header::ETAG, etag);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    if req.header(header::IF_NONE_MATCH).is_some_and(|tags| matches_etag(tags, etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Resolved::Done(response);
    }
    // A range of an older version must not be glued to this one.
    let stale = req.header(header::IF_RANGE).is_some_and(|tag| tag != etag);
    let wanted = if stale { Wanted::Whole } else { range::parse(req.header(header::RANGE), total) };
    let part = match wanted {
        Wanted::Whole => 0..total,
        Wanted::Part(part) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let value = format!("bytes {}-{}/{total}", part.start, part.end.saturating_sub(1));
            set(&mut response, header::CONTENT_RANGE, &value);
            part
        }
        Wanted::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{total}"));
            return Resolved::Done(response);
        }
    };
    set(&mut response, header::CONTENT_LENGTH, &(part.end - part.start).to_string());
    Resolved::Send(part, response)
}

pub fn matches_etag(header: &str, etag: &str) -> bool {
    header.split(',').any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.trim_start_matches("W/") == etag.trim_start_matches("W/")
    })
}

/// A file that never changes (content addressed), with ranges.
pub async fn file(req: &Req, path: &std::path::Path, etag: &str, content_type: &str) -> ApiResult<Response> {
    let mut file = tokio::fs::File::open(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ApiError::not_found("The file of this record"),
        _ => ApiError::internal("opening a stored file", error),
    })?;
    let total = file.metadata().await.map_err(|error| ApiError::internal("reading a stored file", error))?.len();
    let etag = format!("\"{etag}\"");
    let (part, mut head) = match resolve_range(req, &etag, total) {
        Resolved::Send(part, head) => (part, head),
        Resolved::Done(response) => return Ok(response),
    };
    set(&mut head, header::CONTENT_TYPE, content_type);
    set(&mut head, header::CACHE_CONTROL, "private, max-age=86400, immutable");
    file.seek(std::io::SeekFrom::Start(part.start))
        .await
        .map_err(|error| ApiError::internal("reading a stored file", error))?;
    let body = ReaderStream::with_capacity(file.take(part.end - part.start), CHUNK);
    Ok(with_body(head, stream(body)))
}

/// The status and headers of one answer with the body of another.
pub fn with_body(head: Response, body: Response) -> Response {
    let (parts, _) = head.into_parts();
    HttpResponse::from_parts(parts, body.into_body())
}
