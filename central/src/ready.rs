//! Whether this service can take records, and the servers behind it: for `/readyz`, and kept as metrics in between.

use crate::metrics;
use crate::session::Center;
use ::metrics::gauge;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Health checks of load balancers give up after a few seconds.
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
}

/// Asks PostgreSQL and the object store; ready or not, and what is down.
pub async fn probe(center: &Center, preparation: &Preparation) -> (bool, Value) {
    let down = |error: &dyn std::fmt::Display| format!("down: {error}");
    let (database, store) = tokio::join!(
        tokio::time::timeout(PROBE_TIMEOUT, center.db.ping()),
        tokio::time::timeout(PROBE_TIMEOUT, center.objects.ping()),
    );
    let schema = preparation.schema.load(Ordering::Relaxed);
    let buckets = preparation.buckets.load(Ordering::Relaxed);
    let (has_database, has_store) = (matches!(database, Ok(Ok(()))), matches!(store, Ok(Ok(()))));
    let ready = has_database && schema && buckets && !center.stopping.is_cancelled();
    let up = |yes: bool| f64::from(u8::from(yes));
    gauge!(metrics::READY).set(up(ready));
    gauge!(metrics::DATABASE_CONNECTED).set(up(has_database));
    gauge!(metrics::STORE_CONNECTED).set(up(has_store));
    let text = |result: &Result<Result<(), String>, _>| match result {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => down(error),
        Err(_) => down(&format!("no answer within {} s", PROBE_TIMEOUT.as_secs())),
    };
    let report = json!({
        "ready": ready,
        "database": text(&database.map(|r| r.map_err(|e| e.to_string()))),
        "object_store": text(&store.map(|r| r.map_err(|e| e.to_string()))),
        "schema": if schema { "ok" } else { "not migrated yet" },
        "buckets": if buckets { "ok" } else { "not reached yet" },
    });
    (ready, report)
}

/// Keeps the metrics of the servers and of the pool true although nobody asks for `/readyz`.
pub async fn watch(center: &Center, preparation: &Preparation) {
    gauge!(metrics::SESSIONS_MAX).set(center.sessions_max as f64);
    loop {
        probe(center, preparation).await;
        let (used, idle, waiting) = center.db.load();
        gauge!(metrics::DATABASE_POOL, "state" => "used").set(used as f64);
        gauge!(metrics::DATABASE_POOL, "state" => "idle").set(idle as f64);
        gauge!(metrics::DATABASE_WAITING).set(waiting as f64);
        if center.stopping.run_until_cancelled(tokio::time::sleep(PROBE_EVERY)).await.is_none() {
            return;
        }
    }
}
