//! Whether the box makes progress: what the watchdog of systemd, `/readyz` and `gtv-edge ready` ask. A process that is
//! up but does not record is not healthy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::SupervisorHandle;
use crate::base::tasks::{OnExit, Tasks};
use crate::camera::CameraState;
use crate::config::RecordStreams;
use crate::store::Store;

const INTERVAL: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// Longer than any group of pictures that a camera may be set to, plus one slow disk.
const RECORD_STALL: Duration = Duration::from_secs(60);

/// How much was recorded and when that last grew.
#[derive(Debug)]
struct Recorded {
    bytes: u64,
    grew: Instant,
}

/// Asks the parts that the box cannot do without.
pub struct Health {
    store: Store,
    supervisor: SupervisorHandle,
    /// Bytes recorded since the start; what the recorder itself counts.
    recorded_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    recorded: Mutex<Recorded>,
    latest: Mutex<Latest>,
}

/// The result of the last check and when it ended.
#[derive(Debug)]
struct Latest {
    result: Result<(), String>,
    at: Instant,
}

impl Health {
    pub fn new(
        store: Store,
        supervisor: SupervisorHandle,
        recorded_bytes: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let recorded = Mutex::new(Recorded { bytes: 0, grew: Instant::now() });
        let latest = Mutex::new(Latest { result: Err("the box is starting".to_owned()), at: Instant::now() });
        Self { store, supervisor, recorded_bytes: Box::new(recorded_bytes), recorded, latest }
    }

    /// Checks every few seconds until the tasks are cancelled.
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {
        let health = self.clone();
        tasks.spawn("health", OnExit::Restart, move |stop| {
            let health = health.clone();
            async move {
                let mut interval = tokio::time::interval(INTERVAL);
                interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        _ = interval.tick() => {}
                    }
                    let result = health.check().await;
                    if let Err(reason) = &result {
                        tracing::error!(reason, "no progress");
                    }
                    *health.lock_latest() = Latest { result, at: Instant::now() };
                }
            }
        });
    }

    /// What the last check said; a check that does not come back is itself a lack of progress.
    pub fn latest(&self) -> Result<(), String> {
        let latest = self.lock_latest();
        let age = latest.at.elapsed();
        if latest.result.is_ok() && age > INTERVAL + 3 * ANSWER {
            return Err(format!("health: no check came back for {} s", age.as_secs()));
        }
        latest.result.clone()
    }

    fn lock_latest(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Err` names the part that makes no progress.
    async fn check(&self) -> Result<(), String> {
        match tokio::time::timeout(ANSWER, self.store.ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("database: {error}")),
            Err(_) => return Err(format!("database: no commit within {} s", ANSWER.as_secs())),
        }
        if !tokio::time::timeout(ANSWER, self.supervisor.ping()).await.unwrap_or(false) {
            return Err("supervisor: no answer".to_owned());
        }
        self.check_recording()
    }

    fn check_recording(&self) -> Result<(), String> {
        let config = self.supervisor.config();
        let statuses = self.supervisor.statuses();
        let recording = config.cameras.iter().any(|camera| {
            let streams = statuses.get(&camera.id).is_some_and(|status| status.state == CameraState::Streaming);
            streams && camera.record != RecordStreams::Off
        });
        let bytes = (self.recorded_bytes)();
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if !recording || bytes != recorded.bytes {
            *recorded = Recorded { bytes, grew: Instant::now() };
        }
        let still = recorded.grew.elapsed();
        if still < RECORD_STALL {
            return Ok(());
        }
        Err(format!("recorder: cameras stream but nothing was written for {} s", still.as_secs()))
    }
}
