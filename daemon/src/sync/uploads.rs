//! Uploads what records wait for, a few objects at a time in the order of the lanes, and remembers what arrived. It
//! works whether or not the centre is reachable, as long as there is access to the object store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::error::SyncError;
use super::objects::{Access, Objects};
use super::plan;
use super::status::Reporter;
use crate::base::backoff::Backoff;
use crate::base::ids::BoxId;
use crate::base::tasks::{CancellationToken, TaskResult};
use crate::store::{ObjectRef, Store};

const SLOTS: usize = 4;
const IDLE: Duration = Duration::from_secs(5);
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

pub(super) struct Uploads {
    pub store: Store,
    pub box_id: BoxId,
    pub access: watch::Receiver<Option<Access>>,
    pub ca: Option<Arc<Vec<u8>>>,
    pub report: Reporter,
}

type Done = (ObjectRef, Result<(), SyncError>);

impl Uploads {
    pub(super) async fn run(mut self, token: CancellationToken) -> TaskResult {
        loop {
            let access = tokio::select! {
                access = self.access.wait_for(Option::is_some) => access?.clone(),
                () = token.cancelled() => return Ok(()),
            };
            let Some(access) = access else { continue };
            self.access.mark_unchanged();
            match Objects::new(self.box_id, access, self.ca.as_ref().map(|ca| ca.as_slice())) {
                Ok(objects) => self.with(Arc::new(objects), &token).await?,
                Err(error) => {
                    self.report.objects(Some(&error));
                    tokio::select! {
                        changed = self.access.changed() => changed?,
                        () = token.cancelled() => return Ok(()),
                    }
                }
            }
            if token.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Uploads until the access changes.
    async fn with(&mut self, objects: Arc<Objects>, token: &CancellationToken) -> TaskResult {
        let mut events = self.store.events();
        let mut running: Vec<ObjectRef> = Vec::new();
        let mut uploads: JoinSet<Done> = JoinSet::new();
        let mut failures = 0;
        let mut not_before: Option<tokio::time::Instant> = None;
        loop {
            if not_before.is_none_or(|time| time <= tokio::time::Instant::now()) {
                self.fill(&objects, &mut running, &mut uploads, failures).await?;
            }
            let wake = not_before.filter(|time| *time > tokio::time::Instant::now());
            let timer = tokio::time::sleep_until(wake.unwrap_or_else(|| tokio::time::Instant::now() + IDLE));
            tokio::select! {
                done = uploads.join_next(), if !uploads.is_empty() => {
                    let (object, result) = done.transpose()?.ok_or("an upload vanished")?;
                    running.retain(|other| *other != object);
                    if self.settle(&object, result).await? {
                        failures = 0;
                        not_before = None;
                    } else {
                        let delay = RETRY.delay(failures, rand::random());
                        failures = failures.saturating_add(1);
                        not_before = Some(tokio::time::Instant::now() + delay);
                    }
                }
                event = events.recv(), if wake.is_none() && uploads.len() < SLOTS => {
                    if matches!(event, Err(broadcast::error::RecvError::Closed)) {
                        return Ok(());
                    }
                }
                changed = self.access.changed() => {
                    changed?;
                    // What is on its way may finish with the old credentials or is uploaded again.
                    return Ok(());
                }
                () = timer => {}
                () = token.cancelled() => return Ok(()),
            }
        }
    }

    /// Starts uploads while there are free slots. After a failure one object at a time tests the way.
    async fn fill(
        &self,
        objects: &Arc<Objects>,
        running: &mut Vec<ObjectRef>,
        uploads: &mut JoinSet<Done>,
        failures: u32,
    ) -> Result<(), SyncError> {
        let slots = if failures == 0 { SLOTS } else { 1 };
        if running.len() >= slots {
            return Ok(());
        }
        // More than the slots, so that crops behind clips are seen; clips alone never take all of them.
        let waiting = self.store.objects_to_upload(SLOTS * 16).await?;
        let single = (failures > 0).then(|| waiting.first().filter(|_| running.is_empty())).flatten();
        let mut next = if failures > 0 { single } else { plan::next_upload(&waiting, running, slots) };
        while let Some(object) = next {
            running.push(object.clone());
            let (objects, object) = (objects.clone(), object.clone());
            let path = self.store.object_path(&object.sha256);
            uploads.spawn(async move {
                let result = match &path {
                    Some(path) => put(&objects, &object, path).await,
                    None => Err(lost(&object, "its name is no SHA-256")),
                };
                (object, result)
            });
            next = if failures > 0 { None } else { plan::next_upload(&waiting, running, slots) };
        }
        Ok(())
    }

    /// Remembers what became of an upload; false when the object store is at fault.
    async fn settle(&self, object: &ObjectRef, result: Result<(), SyncError>) -> Result<bool, SyncError> {
        match result {
            Ok(()) => {
                self.store.mark_uploaded(&object.sha256).await?;
                self.report.objects(None);
                Ok(true)
            }
            Err(SyncError::ObjectLost { sha256, reason }) => {
                tracing::error!(object = sha256, reason, "an object can never be uploaded; its record will say so");
                metrics::counter!("gtv_dropped_total", "stage" => "upload", "reason" => "lost").increment(1);
                self.store.mark_object_lost(&sha256, &reason).await?;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(%error, "upload failed");
                metrics::counter!("gtv_sync_upload_errors_total").increment(1);
                self.report.objects(Some(&error));
                Ok(false)
            }
        }
    }
}

async fn put(objects: &Objects, object: &ObjectRef, path: &Path) -> Result<(), SyncError> {
    let started = std::time::Instant::now();
    objects.put(object, path).await?;
    metrics::histogram!("gtv_sync_upload_seconds").record(started.elapsed().as_secs_f64());
    metrics::counter!("gtv_sync_uploaded_bytes_total", "bucket" => object.bucket.as_str()).increment(object.bytes);
    Ok(())
}

fn lost(object: &ObjectRef, reason: &str) -> SyncError {
    SyncError::ObjectLost { sha256: object.sha256.clone(), reason: reason.to_owned() }
}
