//! The way of every request: route, rate limit, forgery guard, login and role, body, handler, headers, figures.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, Method, StatusCode, header};
use tracing::Instrument;
use warp::reply::Response;
use warp::ws::Ws;

use super::app::{App, Outcome, changes};
use super::error::{ApiError, ApiResult};
use super::reply;
use super::request::Req;
use super::routes::{Access, Found, Route, Work};
use super::tokens::Identity;

/// The header that a page of another site cannot send without being asked by us first (CORS).
pub const GUARD_HEADER: &str = "x-gtv-request";
pub const ACCESS_COOKIE: &str = "gtv_access";

const BODY_MAX: usize = 256 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A request as warp takes it apart.
pub struct Incoming {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub peer: Option<SocketAddr>,
    pub ws: Option<Ws>,
}

pub async fn dispatch<S, B>(app: Arc<App>, parts: Incoming, body: S) -> Response
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let started = Instant::now();
    let req = Req {
        id: uuid::Uuid::now_v7().simple().to_string(),
        method: parts.method,
        path: parts.path,
        query: parts.query,
        headers: parts.headers,
        peer: parts.peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical()),
        params: Vec::new(),
        who: None,
        body: Bytes::new(),
        upload: None,
        ws: parts.ws,
    };
    let (id, method) = (req.id.clone(), req.method.clone());
    let span = tracing::debug_span!("request", id = %id, method = %method, path = %req.path);
    let (pattern, result) = handle(app, req, body).instrument(span).await;
    let mut response = result.unwrap_or_else(|error| reply::error(&error));
    reply::finish(&mut response, &id);
    let status = response.status().as_u16().to_string();
    metrics::histogram!("gtv_http_request_duration_seconds",
        "method" => method.as_str().to_owned(), "route" => pattern, "status" => status)
    .record(started.elapsed().as_secs_f64());
    response
}

/// The route's pattern (a label with few values, unlike the path) and the answer.
async fn handle<S, B>(app: Arc<App>, mut req: Req, body: S) -> (&'static str, ApiResult<Response>)
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let (index, params) = match super::routes::find(&app.routes, &req.method, &req.path) {
        Found::Route(index, params) => (index, params),
        Found::OtherMethod(allowed) => return ("", Ok(method_not_allowed(&allowed))),
        Found::Nothing if req.path.starts_with("/api/") || changes(&req.method) => {
            return ("", Err(ApiError::not_found(format!("Path `{}`", super::request::shorten(&req.path)))));
        }
        Found::Nothing => {
            if let Err(error) = app.take_rate(super::routes::Class::Normal, req.peer) {
                return ("ui", Err(error));
            }
            return ("ui", app.ui.serve(&req).await);
        }
    };
    req.params = params;
    let Some(route) = app.routes.get(index) else {
        return ("", Err(ApiError::internal("finding a route", "index")));
    };
    let pattern = route.pattern;
    let admitted = admit(&app, route, &mut req, body).await;
    if let Err(error) = admitted {
        return (pattern, Err(error));
    }
    let answer = (route.handler)(app.clone(), req);
    let limit = route.work.handler_timeout();
    let result = tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
        Err(ApiError::unavailable(
            format!("The box did not answer within {} s.", limit.as_secs()),
            "Try again; see the system page if it stays.",
        ))
    });
    (pattern, result)
}

/// Everything that may refuse a request before its handler sees it.
async fn admit<S, B>(app: &App, route: &Route, req: &mut Req, body: S) -> ApiResult<()>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    app.take_rate(route.class, req.peer)?;
    guard_against_forgery(req)?;
    req.who = identify(app, req);
    match route.access {
        Access::Public => {}
        Access::Loopback if req.peer.is_loopback() || req.who.is_some() => {}
        Access::Loopback => return Err(ApiError::unauthorised()),
        Access::Role(needed) => {
            let role = req.who()?.role;
            if role < needed {
                app.audit(req, "request.refused", &format!("{} {}", req.method, route.pattern), Outcome::Refused)
                    .await?;
                return Err(ApiError::forbidden(format!("This needs the role {needed}; you have {role}.")));
            }
        }
    }
    if route.work == Work::Upload {
        req.upload = Some(super::upload::spool(app.store().dir(), body).await?);
    } else if changes(&req.method) {
        req.body = tokio::time::timeout(BODY_TIMEOUT, read_body(body)).await.map_err(|_| {
            ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "The body of the request did not arrive in time.",
                "Send it again over a better connection.",
            )
        })??;
    }
    Ok(())
}

/// Cookies travel with requests that other sites cause. A change therefore needs either a bearer token or a header
/// that only our own page can set, and a WebSocket (where no header can be set) must come from our own origin.
fn guard_against_forgery(req: &Req) -> ApiResult<()> {
    if req.bearer().is_some() {
        return Ok(());
    }
    if changes(&req.method) && !req.headers.contains_key(GUARD_HEADER) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forgery_guard",
            "A change that is not sent with a bearer token needs the header X-GTV-Request.",
            "Send `X-GTV-Request: 1` with it.",
        ));
    }
    if req.ws.is_some()
        && let Some(origin) = req.header(header::ORIGIN)
    {
        let from = url::Url::parse(origin).ok();
        let from = from.as_ref().map(|url| &url[url::Position::BeforeHost..url::Position::AfterPort]);
        if from.is_none() || from != req.header(header::HOST) {
            return Err(ApiError::forbidden("This WebSocket was opened by a page of another site."));
        }
    }
    Ok(())
}

fn identify(app: &App, req: &Req) -> Option<Identity> {
    let token = req.bearer().or_else(|| req.cookie(ACCESS_COOKIE))?;
    app.tokens.verify(token)
}

async fn read_body<S, B>(body: S) -> ApiResult<Bytes>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| ApiError::invalid("body", "The body of the request broke off."))?;
        if read.len() + chunk.remaining() > BODY_MAX {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("The body of the request is larger than {BODY_MAX} bytes."),
                "Send less at once.",
            ));
        }
        while chunk.has_remaining() {
            let piece = chunk.chunk();
            let taken = piece.len();
            read.extend_from_slice(piece);
            chunk.advance(taken);
        }
    }
    Ok(read.freeze())
}

fn method_not_allowed(allowed: &[Method]) -> Response {
    let list: Vec<_> = allowed.iter().map(Method::as_str).collect();
    let error = ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This path does not take that method.",
        format!("Use one of: {}.", list.join(", ")),
    );
    let mut response = reply::error(&error);
    reply::set(&mut response, header::ALLOW, &list.join(", "));
    response
}
