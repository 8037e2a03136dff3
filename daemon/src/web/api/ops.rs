//! For machines: alive, ready, figures, and the description of this API.
use std::sync::Arc;

use http::{StatusCode, header};
use warp::reply::Response;

use crate::web::app::App;
use crate::web::error::ApiResult;
use crate::web::openapi;
use crate::web::reply;
use crate::web::request::Req;

/// Answers as long as the process can.
#[utoipa::path(get, path = "/healthz", tag = "operations",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn healthz(_app: Arc<App>, _req: Req) -> ApiResult<Response> {
    Ok(reply::text(StatusCode::OK, "ok\n"))
}

/// 200 when everything has started and makes progress, else 503 with the reason.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = String, content_type = "text/plain"),
              (status = 503, body = String, content_type = "text/plain")))]
pub async fn readyz(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    Ok(match app.context.health.latest() {
        Ok(()) => reply::text(StatusCode::OK, "ready\n"),
        Err(reason) => reply::text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    })
}

/// Prometheus figures; from the box itself, or with a login.
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4")))]
pub async fn metrics(app: Arc<App>, _req: Req) -> ApiResult<Response> {
    let mut response = reply::text(StatusCode::OK, app.context.metrics.render());
    reply::set(&mut response, header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    Ok(response)
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operations",
    responses((status = 200, body = serde_json::Value, content_type = "application/json")))]
pub async fn openapi(_app: Arc<App>, _req: Req) -> ApiResult<Response> {
    reply::json(&openapi::document())
}
