//! The HTTP side: the boxes' WebSocket, health checks and metrics.

use crate::api::token::Tokens;
use crate::api::{self, openapi};
use crate::events::Events;
use crate::fleet;
use crate::live::Live;
use crate::metrics;
use crate::ready::{self, Preparation};
use crate::session::{self, Center};
use ::metrics::histogram;
use gtv_protocol::limits;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::task::TaskTracker;
use warp::http::{Method, StatusCode};
use warp::{Filter, Rejection, Reply};

pub fn routes(
    center: Arc<Center>,
    tokens: Option<Arc<Tokens>>,
    preparation: Arc<Preparation>,
    recorder: PrometheusHandle,
    sessions: TaskTracker,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let with_center = {
        let center = center.clone();
        warp::any().map(move || center.clone())
    };
    let sync = warp::path!("sync" / "v1")
        .and(warp::ws())
        .and(warp::addr::remote())
        .and(warp::header::optional::<String>("x-forwarded-for"))
        .and(with_center.clone())
        .map(move |ws: warp::ws::Ws, address: Option<SocketAddr>, forwarded: Option<String>, center| {
            let peer = forwarded.or_else(|| address.map(|a| a.to_string())).unwrap_or_default();
            let sessions = sessions.clone();
            ws.max_message_size(limits::FRAME_BYTES_MAX)
                .max_frame_size(limits::FRAME_BYTES_MAX)
                .on_upgrade(move |socket| sessions.track_future(session::serve(center, socket, peer)))
        });
    let (has_secret, prepared) = (tokens.is_some(), preparation.clone());
    let healthz = warp::path!("healthz")
        .and(with_center.clone())
        .map(move |center: Arc<Center>| health(&center, has_secret, &prepared));
    let api = api::routes(center, tokens);
    let readyz =
        warp::path!("readyz").and(with_center.clone()).then(move |center| readiness(center, preparation.clone()));
    let scrape = warp::path!("metrics").map(move || recorder.render());
    let boxes = warp::path!("metrics" / "boxes").and(with_center).then(boxes);
    let inside = warp::get().and(healthz.or(readyz).or(scrape).or(boxes));
    sync.or(inside).or(api).recover(not_found).with(warp::log::custom(measure))
}

/// The process runs; and what it does without, because nobody configured it or it is not there.
fn health(center: &Center, has_secret: bool, preparation: &Preparation) -> impl Reply + use<> {
    let read_api = match (
        has_secret,
        preparation.schema.load(Ordering::Relaxed),
        preparation.readers.load(Ordering::Relaxed),
    ) {
        (false, ..) => "off: GTV_SYNC_API_SECRET is not set",
        (true, false, _) => "waits for the schema",
        (true, true, false) => {
            "off: the role gtv_reader is missing; as a superuser: CREATE ROLE gtv_reader NOLOGIN; GRANT gtv_reader TO <the \
             user of gtv-sync>; then restart gtv-sync"
        }
        (true, true, true) => "on",
    };
    let events = center.events.as_ref().map_or(json!("off: GTV_SYNC_AMQP_URL is not set"), Events::health);
    let live = center.live.as_ref().map_or("off: GTV_SYNC_REDIS_URL is not set".to_owned(), Live::health);
    warp::reply::json(&json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "read_api": read_api,
        "events": events,
        "live_status": live,
        "box_access": center.box_access(),
    }))
}

async fn readiness(center: Arc<Center>, preparation: Arc<Preparation>) -> impl Reply {
    let (ready, report) = ready::probe(&center, &preparation).await;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    warp::reply::with_status(warp::reply::json(&report), status)
}

/// What is known of each box, for Prometheus.
async fn boxes(center: Arc<Center>) -> impl Reply {
    match center.db.known_boxes().await {
        Ok(known) => {
            let now = chrono::Utc::now().timestamp_millis() as f64 / 1e3;
            let text = fleet::exposition(&known, &center.connected.boxes(), now);
            warp::reply::with_status(text, StatusCode::OK)
        }
        Err(error) => warp::reply::with_status(format!("{error}\n"), StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Rate, errors and duration by route: what outsiders make up is one method and one route.
fn measure(request: warp::log::Info<'_>) {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let route = match request.path() {
        "/sync/v1" => "/sync/v1",
        "/healthz" => "/healthz",
        "/readyz" => "/readyz",
        "/metrics" => "/metrics",
        "/metrics/boxes" => "/metrics/boxes",
        path => openapi::route_of(path).unwrap_or("other"),
    };
    let status = request.status().as_u16().to_string();
    histogram!(metrics::HTTP_SECONDS, "method" => method, "route" => route, "status" => status)
        .record(request.elapsed().as_secs_f64());
}

/// One plain answer to everything else, without telling a scanner what exists.
async fn not_found(rejection: Rejection) -> Result<impl Reply, Infallible> {
    let known = rejection.is_not_found();
    let (status, text) = if known {
        (StatusCode::NOT_FOUND, "not found\n")
    } else {
        (StatusCode::BAD_REQUEST, "bad request: /sync/v1 is a WebSocket, the rest takes GET\n")
    };
    Ok(warp::reply::with_status(text, status))
}
