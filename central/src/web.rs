//! The HTTP side: the boxes' WebSocket, health checks and metrics.

use crate::api;
use crate::api::token::Tokens;
use crate::events::Events;
use crate::live::Live;
use crate::session::{self, Center};
use gtv_protocol::limits;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::task::TaskTracker;
use warp::http::StatusCode;
use warp::{Filter, Rejection, Reply};

/// Health checks of load balancers give up after a few seconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What `/readyz` reports besides the servers behind the service.
#[derive(Default)]
pub struct Preparation {
    /// The schema is up to date.
    pub schema: AtomicBool,
    /// The read API may ask: its role exists.
    pub readers: AtomicBool,
    /// The buckets were reached once; a later outage does not make the service unready, rows without objects go on.
    pub buckets: AtomicBool,
}

pub fn routes(
    center: Arc<Center>,
    tokens: Option<Arc<Tokens>>,
    preparation: Arc<Preparation>,
    metrics: PrometheusHandle,
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
        warp::path!("readyz").and(with_center).then(move |center: Arc<Center>| readiness(center, preparation.clone()));
    let metrics = warp::path!("metrics").map(move || metrics.render());
    sync.or(warp::get().and(healthz.or(readyz).or(metrics))).or(api).recover(not_found)
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
    let down = |error: &dyn std::fmt::Display| format!("down: {error}");
    let (database, store) = tokio::join!(
        tokio::time::timeout(PROBE_TIMEOUT, center.db.ping()),
        tokio::time::timeout(PROBE_TIMEOUT, center.objects.ping()),
    );
    let schema = preparation.schema.load(Ordering::Relaxed);
    let buckets = preparation.buckets.load(Ordering::Relaxed);
    let ready = matches!(database, Ok(Ok(()))) && schema && buckets && !center.stopping.is_cancelled();
    let text = |result: &Result<Result<(), String>, _>| match result {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => down(error),
        Err(_) => down(&format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
    };
    let body = json!({
        "ready": ready,
        "database": text(&database.map(|r| r.map_err(|e| e.to_string()))),
        "object_store": text(&store.map(|r| r.map_err(|e| e.to_string()))),
        "schema": if schema { "ok" } else { "not migrated yet" },
        "buckets": if buckets { "ok" } else { "not reached yet" },
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    warp::reply::with_status(warp::reply::json(&body), status)
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
