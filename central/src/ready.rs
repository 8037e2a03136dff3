//! Whether this service can take records, and the servers behind it: for `/readyz`, and kept as metrics in between.

use crate::metrics;
use crate::session::Center;
use ::metrics::gauge;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// HAProxy gives up after 5 s (`timeout check`).
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// As often as Prometheus scrapes.
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// What the service has done so far to become ready.
#[derive(Default)]
pub struct Preparation {
    /// The schema is up to date.
    pub schema: AtomicBool,
    /// The read API may ask: its role exists.
    pub readers: AtomicBool,
    /// The buckets were reached once; a later outage does not make the service unready, rows without objects go on.
    pub buckets: AtomicBool,
    /// What `watch` last heard of the object store.
    store: Mutex<Option<String>>,
}

/// Asks PostgreSQL; ready or not, and what is down. The object store is not asked: a load balancer that had to wait for
/// it would take the service for dead.
pub async fn probe(center: &Center, preparation: &Preparation) -> (bool, Value) {
    let database = heard(center.db.ping()).await;
    let schema = preparation.schema.load(Ordering::Relaxed);
    let buckets = preparation.buckets.load(Ordering::Relaxed);
    let ready = database.is_ok() && schema && buckets && !center.stopping.is_cancelled();
    gauge!(metrics::READY).set(up(ready));
    gauge!(metrics::DATABASE_CONNECTED).set(up(database.is_ok()));
    let store = preparation.store.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let report = json!({
        "ready": ready,
        "database": text(database),
        "object_store": store.unwrap_or_else(|| "not asked yet".to_owned()),
        "schema": if schema { "ok" } else { "not migrated yet" },
        "buckets": if buckets { "ok" } else { "not reached yet" },
    });
    (ready, report)
}

/// What a server says, or that it says nothing.
async fn heard<E: std::fmt::Display>(ping: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match tokio::time::timeout(PROBE_TIMEOUT, ping).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
    }
}

fn text(heard: Result<(), String>) -> String {
    heard.map_or_else(|problem| format!("down: {problem}"), |()| "ok".to_owned())
}

fn up(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Keeps the metrics of the servers and of the pool true although nobody asks for `/readyz`.
pub async fn watch(center: &Center, preparation: &Preparation) {
    gauge!(metrics::SESSIONS_MAX).set(center.sessions_max as f64);
    loop {
        let (store, _) = tokio::join!(heard(center.objects.ping()), probe(center, preparation));
        gauge!(metrics::STORE_CONNECTED).set(up(store.is_ok()));
        *preparation.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(text(store));
        let (used, idle, waiting) = center.db.load();
        gauge!(metrics::DATABASE_POOL, "state" => "used").set(used as f64);
        gauge!(metrics::DATABASE_POOL, "state" => "idle").set(idle as f64);
        gauge!(metrics::DATABASE_WAITING).set(waiting as f64);
        if center.stopping.run_until_cancelled(tokio::time::sleep(PROBE_EVERY)).await.is_none() {
            return;
        }
    }
}
