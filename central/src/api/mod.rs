//! The read API: what a city's people may ask about their own boxes, cameras, plates, alerts and video.

mod cache;
pub mod openapi;
mod questions;
mod streams;
pub mod token;

use crate::db::DbError;
use crate::session::Center;
use cache::{Cache, Origin};
use questions::Filter;
use serde_json::{Value, json};
use std::sync::Arc;
use token::{Role, Tokens};
use tokio::sync::Semaphore;
use tracing::warn;
use uuid::Uuid;
use warp::http::{HeaderValue, StatusCode};
use warp::{Filter as _, Rejection, Reply};

/// Questions at a time; each may wait for one of a few connections, and hold an answer of some megabytes.
const QUESTIONS_AT_A_TIME: usize = 64;

/// Who asks, after the token was verified.
pub struct Asker {
    pub tenant: Uuid,
    subject: String,
    role: Role,
}

#[derive(Debug)]
pub enum ApiError {
    Off,
    Unauthorized,
    Forbidden,
    TooMany,
    NotFound,
    Invalid { field: &'static str, problem: String },
    Busy,
    TooLong,
    Down(String),
}

impl ApiError {
    fn invalid(field: &'static str, problem: &str) -> Self {
        Self::Invalid { field, problem: problem.to_owned() }
    }

    /// Status, code, message and remedy: the shape of the box's API.
    fn reply(&self) -> warp::reply::WithStatus<warp::reply::Json> {
        let (status, code, message, remedy) = match self {
            Self::Off => (
                StatusCode::SERVICE_UNAVAILABLE,
                "off",
                "the read API is off".to_owned(),
                "start gtv-sync with GTV_SYNC_API_SECRET",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "no valid token".to_owned(),
                "send `Authorization: Bearer <token>` with a token that has not expired",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "this role may not see personal data".to_owned(),
                "ask with the role `investigator`",
            ),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many",
                "this person asked too much within a minute".to_owned(),
                "wait for the next minute, or raise GTV_SYNC_API_PER_MINUTE",
            ),
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "not_found", "there is no such thing".to_owned(), "check the path and the id")
            }
            Self::Invalid { field, problem } => {
                (StatusCode::BAD_REQUEST, "invalid", format!("{field} {problem}"), "correct it and ask again")
            }
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                format!("{QUESTIONS_AT_A_TIME} questions are being answered"),
                "ask again in a few seconds, or run another gtv-sync",
            ),
            Self::TooLong => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_long",
                "the answer took too long".to_owned(),
                "ask for less: a shorter span, or one box",
            ),
            Self::Down(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the question could not be answered now".to_owned(),
                "ask again later; the log of gtv-sync has the reason",
            ),
        };
        let body = json!({ "error": { "code": code, "message": message, "remedy": remedy } });
        warp::reply::with_status(warp::reply::json(&body), status)
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        if error.is_timeout() { Self::TooLong } else { Self::Down(error.to_string()) }
    }
}

type Answer = Result<Value, ApiError>;

/// What of a request matters.
struct Request<'a> {
    path: &'a str,
    query: &'a str,
    authorization: Option<&'a str>,
    /// As the header says: `no-cache` asks for an answer of now.
    cache_control: Option<&'a str>,
}

/// All paths below `/api`.
pub fn routes(
    center: Arc<Center>,
    tokens: Option<Arc<Tokens>>,
) -> impl warp::Filter<Extract = (impl Reply,), Error = Rejection> + Clone + Send + Sync + 'static {
    let document = warp::path!("api" / "openapi.json").map(|| warp::reply::json(&openapi::document()));
    let places = Arc::new(Semaphore::new(QUESTIONS_AT_A_TIME));
    let api = warp::path("api")
        .and(warp::path::tail())
        .and(warp::header::optional::<String>("authorization"))
        .and(warp::header::optional::<String>("cache-control"))
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .then(move |path: warp::path::Tail, authorization: Option<String>, cache: Option<String>, query: String| {
            let (center, tokens, place) = (center.clone(), tokens.clone(), places.clone().try_acquire_owned());
            async move {
                let Ok(place) = place else { return ApiError::Busy.reply().into_response() };
                let shown_path = path.as_str().to_owned();
                // A task of its own: whoever hangs up leaves no connection in the middle of a question.
                let answering = tokio::spawn(async move {
                    let _place = place;
                    let request = Request {
                        path: path.as_str(),
                        query: &query,
                        authorization: authorization.as_deref(),
                        cache_control: cache.as_deref(),
                    };
                    answer(&center, tokens.as_deref(), &request).await
                });
                match answering.await.unwrap_or_else(|error| Err(ApiError::Down(error.to_string()))) {
                    Ok((value, origin)) => shown(&value, origin),
                    Err(error) => {
                        if let ApiError::Down(reason) = &error {
                            warn!(reason, path = shown_path, "a question could not be answered");
                        }
                        error.reply().into_response()
                    }
                }
            }
        });
    warp::get().and(document.or(api))
}

/// With headers that say how old it is. Browsers ask again each time: whoever logs in next must not see it.
fn shown(value: &Value, origin: Origin) -> warp::reply::Response {
    let mut response = warp::reply::json(value).into_response();
    let headers = response.headers_mut();
    let (cache, control) = match origin {
        Origin::Live => (None, "no-store"),
        Origin::Miss => (Some("miss"), "private, no-cache"),
        Origin::Hit(seconds) => {
            headers.insert("age", HeaderValue::from(seconds));
            (Some("hit"), "private, no-cache")
        }
    };
    headers.insert("cache-control", HeaderValue::from_static(control));
    if let Some(cache) = cache {
        headers.insert("x-cache", HeaderValue::from_static(cache));
    }
    response
}

async fn answer(center: &Center, tokens: Option<&Tokens>, request: &Request<'_>) -> Result<(Value, Origin), ApiError> {
    let tokens = tokens.ok_or(ApiError::Off)?;
    let (claims, token_sha256) =
        request.authorization.and_then(|header| tokens.verify(header)).ok_or(ApiError::Unauthorized)?;
    let tenant = center.db.tenant(&claims.prefeitura, &token_sha256).await?.ok_or(ApiError::Unauthorized)?;
    let asker = Asker { tenant, subject: claims.sub, role: claims.role };
    if let Some(live) = &center.live {
        let person = format!("{}:{}", asker.tenant, asker.subject);
        if live.count_question(&person).await > center.api_per_minute {
            return Err(ApiError::TooMany);
        }
    }
    let path = request.path.trim_matches('/');
    let filter = filter_of(path, request.query)?;
    let parts: Vec<&str> = path.split('/').collect();
    let id = |text: &str| Uuid::try_parse(text).map_err(|_| ApiError::NotFound);
    if matches!(parts.first(), Some(&"ai")) || parts.as_slice() == ["streaming", "clips"] {
        personal(center, tokens, &asker, request.path, &filter).await?;
    }
    let fresh = request.cache_control.is_some_and(|header| header.to_ascii_lowercase().contains("no-cache"));
    let cache = Cache { live: center.live.as_ref(), tenant, fresh };
    let live = match parts.as_slice() {
        ["cidades", "boxes"] => {
            let (boxes, origin) = cache.answer(path, &filter, questions::boxes(center, &asker)).await?;
            return Ok((questions::with_online(center, boxes).await, origin));
        }
        ["cidades", "boxes", box_id, "delivery"] => {
            let id = id(box_id)?;
            return cache.answer(path, &filter, questions::delivery(center, &asker, id, &filter)).await;
        }
        ["cidades", "cameras"] => {
            return cache.answer(path, &filter, questions::cameras(center, &asker, &filter)).await;
        }
        ["streaming", "coverage"] => {
            return cache.answer(path, &filter, questions::coverage(center, &asker, &filter)).await;
        }
        ["streaming", "streams"] => streams::streams(center, &asker, &filter).await?,
        ["ai", "detections"] => questions::detections(center, &asker, filter).await?,
        ["ai", "detections", detection] => questions::detection(center, &asker, id(detection)?).await?,
        ["ai", "alerts"] => questions::alerts(center, &asker, filter).await?,
        ["streaming", "clips"] => questions::clips(center, &asker, filter).await?,
        _ => return Err(ApiError::NotFound),
    };
    Ok((live, Origin::Live))
}

/// Personal data needs the role, and leaves a note of who looked.
async fn personal(
    center: &Center,
    tokens: &Tokens,
    asker: &Asker,
    path: &str,
    filter: &Filter,
) -> Result<(), ApiError> {
    if asker.role < Role::Investigator {
        return Err(ApiError::Forbidden);
    }
    let plate = filter.plate().map(|plate| tokens.plate_hmac(&plate)).transpose();
    let plate = plate.map_err(|e| ApiError::Down(e.to_string()))?;
    let path = format!("/api/{path}");
    Ok(center.db.note_access(asker.tenant, &asker.subject, asker.role.as_str(), &path, plate.as_deref()).await?)
}

/// Query parameters of `path`, which begins after `/api/`; one that it does not take is an error, because a condition
/// that is misspelled or means nothing there would answer too much.
fn filter_of(path: &str, query: &str) -> Result<Filter, ApiError> {
    let taken = openapi::parameters_of(&format!("/api/{path}")).ok_or(ApiError::NotFound)?;
    let mut pairs = serde_json::Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !taken.contains(&name.as_ref()) {
            return Err(ApiError::invalid("query", &format!("has {name:?}, which this path does not take")));
        }
        let value = match (name.as_ref(), value.as_ref()) {
            ("limit", number) => number.parse::<i64>().map_or_else(|_| json!(number), |n| json!(n)),
            ("similar", flag) => json!(flag == "true" || flag == "1"),
            (_, text) => json!(text),
        };
        pairs.insert(name.into_owned(), value);
    }
    let filter: Filter = serde_json::from_value(Value::Object(pairs))
        .map_err(|e| ApiError::invalid("query", &format!("is not understood: {e}")))?;
    filter.check_times()?;
    Ok(filter)
}
