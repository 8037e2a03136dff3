//! Which boxes and cameras are alive now, in Redis: keys that expire by themselves, and a message whenever something
//! changes. Nothing depends on it: what Redis misses while it is away comes again with the next sign of life.

mod redis;
mod status;

pub use status::activities;

use self::redis::Redis;
use crate::authority;
use crate::metrics;
use crate::settings::LiveArgs;
use ::metrics::{counter, gauge};
use gtv_protocol::Hello;
use serde_json::Value;
use status::{Activity, BoxStatus};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};
use uuid::Uuid;

/// How often a box's key is written again while it is connected.
pub const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// Updates that may wait for Redis; what does not fit is told again by the next one.
const UPDATES_MAX: usize = 4096;
/// Rest after a failure, so that an absent server costs nothing.
const RETRY_AFTER: Duration = Duration::from_secs(2);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Somebody waits for the answer, which goes without Redis too.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

enum Update {
    Online(Arc<BoxStatus>),
    Offline(Arc<BoxStatus>),
    Streams(Arc<BoxStatus>, Vec<Activity>),
    Flush(oneshot::Sender<()>),
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Live {
    redis: Redis,
    updates: mpsc::Sender<Update>,
    /// Why the last update failed.
    problem: Arc<Mutex<Option<String>>>,
}

/// A box that is connected here; tells Redis that it went when it is dropped.
pub struct Presence {
    live: Live,
    status: Arc<BoxStatus>,
    told: std::time::Instant,
}

impl Live {
    /// `None` if nobody configured a Redis. Starts the task that writes; nothing is connected yet.
    pub fn start(args: &LiveArgs) -> anyhow::Result<Option<Self>> {
        let Some(url) = &args.redis_url else { return Ok(None) };
        let ca = authority::read("--redis-ca-file", args.redis_ca_file.as_deref(), url, "rediss")?;
        let redis = Redis::new(url, ca).map_err(|problem| {
            anyhow::anyhow!("--redis-url: {problem}; write it like rediss://user:password@host:6379/0")
        })?;
        let (updates, queue) = mpsc::channel(UPDATES_MAX);
        let live = Self { redis, updates, problem: Arc::default() };
        tokio::spawn(write(live.redis.clone(), live.problem.clone(), queue));
        Ok(Some(live))
    }

    /// For `/healthz`.
    pub fn health(&self) -> String {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.as_ref().map_or_else(|| "on".to_owned(), |problem| format!("down: {problem}"))
    }

    pub fn begin(&self, hello: &Hello, prefeitura: &str, session: Uuid) -> Presence {
        let status = Arc::new(BoxStatus::new(hello, prefeitura, session));
        let presence = Presence { live: self.clone(), status, told: std::time::Instant::now() };
        presence.live.tell(Update::Online(presence.status.clone()));
        presence
    }

    /// Of these boxes, those that are connected to any service; `None` while Redis cannot be asked.
    pub async fn online(&self, boxes: &[Uuid]) -> Option<BTreeSet<Uuid>> {
        let online = asked(self.redis.online(boxes)).await;
        online.inspect_err(|problem| warn!(problem, "Redis cannot be asked who is online")).ok()
    }

    /// What is known of these cameras of these boxes now, in this order; `None` while Redis cannot be asked.
    pub async fn streams(&self, cameras: &[(Uuid, &str)]) -> Option<Vec<Option<Value>>> {
        let values = asked(self.redis.streams(cameras)).await;
        let values =
            values.inspect_err(|problem| warn!(problem, "Redis cannot be asked which cameras are alive")).ok()?;
        Some(values.into_iter().map(|text| serde_json::from_str(&text?).ok()).collect())
    }

    /// An answer that was kept under this key and for how many seconds it still holds; an error means that Redis cannot
    /// be asked soon enough.
    pub async fn recall(&self, key: &str) -> Result<Option<(String, u64)>, String> {
        asked(self.redis.recall(key)).await
    }

    pub async fn keep(&self, key: &str, value: &str, seconds: u64) {
        if let Err(problem) = asked(self.redis.keep(key, value, seconds)).await {
            debug!(problem, "Redis does not keep an answer");
        }
    }

    /// Counts a question of `subject` in this minute, over all services; 0 while Redis cannot be asked.
    pub async fn count_question(&self, subject: &str) -> u64 {
        asked(self.redis.count_question(subject)).await.unwrap_or_else(|problem| {
            warn!(problem, "Redis cannot count questions");
            0
        })
    }

    /// Writes what still waits, at the end of the process.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.tell(Update::Flush(done));
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, written).await;
    }

    fn tell(&self, update: Update) {
        if self.updates.try_send(update).is_err() {
            counter!(metrics::LIVE_DROPPED).increment(1);
        }
    }
}

/// What Redis says, if it says so soon enough.
async fn asked<T>(question: impl Future<Output = ::redis::RedisResult<T>>) -> Result<T, String> {
    match tokio::time::timeout(ASK_TIMEOUT, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} ms", ASK_TIMEOUT.as_millis())),
    }
}

impl Presence {
    /// The box gave a sign of life.
    pub fn alive(&mut self) {
        if self.told.elapsed() >= REFRESH_EVERY {
            self.told = std::time::Instant::now();
            self.live.tell(Update::Online(self.status.clone()));
        }
    }

    /// What a committed batch says about its cameras now.
    pub fn streams(&self, activities: Vec<Activity>) {
        if !activities.is_empty() {
            self.live.tell(Update::Streams(self.status.clone(), activities));
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.live.tell(Update::Offline(self.status.clone()));
    }
}

async fn write(redis: Redis, problem: Arc<Mutex<Option<String>>>, mut queue: mpsc::Receiver<Update>) {
    while let Some(update) = queue.recv().await {
        let result = match update {
            Update::Online(status) => redis.set_box(&status).await,
            Update::Offline(status) => redis.remove_box(&status).await,
            Update::Streams(status, activities) => redis.set_streams(&status, &activities).await,
            Update::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        let failed = result.err().map(|error| authority::explain(error.to_string(), "--redis-ca-file"));
        gauge!(metrics::LIVE_CONNECTED).set(if failed.is_none() { 1.0 } else { 0.0 });
        let before = std::mem::replace(&mut *problem.lock().unwrap_or_else(PoisonError::into_inner), failed.clone());
        match (before, failed) {
            (None, Some(error)) => warn!(error, "Redis does not take the live status; it is told again later"),
            (Some(_), None) => info!("Redis takes the live status again"),
            _ => {}
        }
        if problem.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            counter!(metrics::LIVE_DROPPED).increment(1);
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}
