//! Feeds the rules every few seconds and stores what they raise.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::rules::{CameraHealth, Event, Outages, Storage};
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::store::{AlertRow, Severity, Store};

const INTERVAL: Duration = Duration::from_secs(5);

/// The enabled cameras.
pub type Cameras = Arc<dyn Fn() -> Vec<CameraHealth> + Send + Sync>;
/// What is wrong with the recordings and their disks.
pub type StorageProblem = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Watches the cameras and the recordings until the tasks are cancelled.
pub fn start(store: Store, cameras: Cameras, storage: StorageProblem, tasks: &Tasks) {
    tasks.spawn("alerts", OnExit::Restart, move |stop| {
        let (store, cameras, storage) = (store.clone(), cameras.clone(), storage.clone());
        async move {
            let mut outages = Outages::default();
            let mut disks = Storage::default();
            let mut interval = tokio::time::interval(INTERVAL);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    _ = interval.tick() => {}
                }
                let now = UtcMicros::now();
                let storage_event = disks.observe(storage().as_deref(), now);
                for event in outages.observe(&cameras(), now).into_iter().chain(storage_event) {
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
            ("camera-lost", Severity::Warning, Some(camera), title, json!({ "since": since, "reason": reason }))
        }
        Event::CameraBack { camera, lost_at } => {
            let title = format!("{camera} delivers video again");
            ("camera-back", Severity::Info, Some(camera), title, json!({ "lost_at": lost_at }))
        }
        Event::StorageFailing { since, reason } => {
            let title = "recordings are being lost, or a disk is".to_owned();
            ("storage-failing", Severity::Critical, None, title, json!({ "since": since, "reason": reason }))
        }
        Event::StorageBack { failed_at } => {
            let title = "recordings are stored again".to_owned();
            ("storage-back", Severity::Info, None, title, json!({ "failed_at": failed_at }))
        }
    };
    AlertRow {
        id: Uuid::now_v7(),
        at,
        kind: kind.to_owned(),
        severity,
        camera,
        detection: None,
        title,
        detail,
        acknowledged_at: None,
        acknowledged_by: None,
    }
}
