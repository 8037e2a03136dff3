//! Feeds the rules every few seconds and stores what they raise.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::rules::{CameraHealth, Event, Outages};
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::store::{AlertRow, Severity, Store};

const INTERVAL: Duration = Duration::from_secs(5);

/// Watches the enabled cameras, as `cameras` reports them, until the tasks are cancelled.
pub fn start(store: Store, cameras: Arc<dyn Fn() -> Vec<CameraHealth> + Send + Sync>, tasks: &Tasks) {
    tasks.spawn("alerts", OnExit::Restart, move |stop| {
        let (store, cameras) = (store.clone(), cameras.clone());
        async move {
            let mut outages = Outages::default();
            let mut interval = tokio::time::interval(INTERVAL);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    _ = interval.tick() => {}
                }
                let now = UtcMicros::now();
                for event in outages.observe(&cameras(), now) {
                    store.insert_alert(row(event, now), None).await?;
                }
            }
        }
    });
}

fn row(event: Event, at: UtcMicros) -> AlertRow {
    let (kind, severity, camera, title, detail) = match event {
        Event::CameraLost { camera, since, reason } => {
            let title = format!("{camera} delivers no video");
            ("camera-lost", Severity::Warning, camera, title, json!({ "since": since, "reason": reason }))
        }
        Event::CameraBack { camera, lost_at } => {
            let title = format!("{camera} delivers video again");
            ("camera-back", Severity::Info, camera, title, json!({ "lost_at": lost_at }))
        }
    };
    AlertRow {
        id: Uuid::now_v7(),
        at,
        kind: kind.to_owned(),
        severity,
        camera: Some(camera),
        detection: None,
        title,
        detail,
        acknowledged_at: None,
        acknowledged_by: None,
    }
}
