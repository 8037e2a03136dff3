//! Named, watched tasks. Each long task either restarts with jittered backoff or ends the process; shutdown is
//! ordered (children first) and bounded. A heartbeat per task lets the watchdog see progress, not mere presence.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
pub use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::backoff::Backoff;

/// What a task may fail with.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;
pub type TaskResult = Result<(), TaskError>;

const RESTART: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// A task that ran this long before it failed starts over with the shortest delay.
const STABLE_AFTER: Duration = Duration::from_secs(300);

/// What happens when a task ends although nobody asked it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    Restart,
    /// Nothing useful can be done without it: the process ends, systemd starts it again.
    EndProcess,
}

/// A group of tasks that is cancelled and awaited together. Clones share the group.
#[derive(Clone, Debug)]
pub struct Tasks {
    name: Arc<str>,
    token: CancellationToken,
    tracker: TaskTracker,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    heartbeats: Mutex<BTreeMap<String, Instant>>,
    fatal: watch::Sender<Option<String>>,
}

impl Tasks {
    pub fn new() -> Self {
        Self {
            name: Arc::from(""),
            token: CancellationToken::new(),
            tracker: TaskTracker::new(),
            shared: Arc::new(Shared { heartbeats: Mutex::default(), fatal: watch::Sender::new(None) }),
        }
    }

    /// A group of its own inside this one: it can be shut down alone, and is cancelled with its parent.
    pub fn child(&self, name: &str) -> Self {
        Self {
            name: Arc::from(self.full_name(name)),
            token: self.token.child_token(),
            tracker: TaskTracker::new(),
            shared: self.shared.clone(),
        }
    }

    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    fn full_name(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{}/{name}", self.name) }
    }

    /// Runs `task` until it is cancelled; what happens when it ends by itself is `on_exit`.
    pub fn spawn<F, Fut>(&self, name: &str, on_exit: OnExit, mut task: F)
    where
        F: FnMut(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = TaskResult> + Send + 'static,
    {
        let name = self.full_name(name);
        let token = self.token.clone();
        let shared = self.shared.clone();
        self.tracker.spawn(async move {
            let mut attempt = 0;
            while !token.is_cancelled() {
                let started = Instant::now();
                // A task of its own, so that a panic ends this try and not the watching of it.
                let result = tokio::spawn(task(token.clone())).await;
                if token.is_cancelled() {
                    break;
                }
                let reason = match result {
                    Ok(Ok(())) => "ended unasked".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(panic) => format!("panicked: {panic}"),
                };
                if on_exit == OnExit::EndProcess {
                    shared.end_process(&name, &reason);
                    break;
                }
                if started.elapsed() >= STABLE_AFTER {
                    attempt = 0;
                }
                let delay = RESTART.delay(attempt, rand::random());
                attempt = attempt.saturating_add(1);
                metrics::counter!("gtv_task_restarts_total", "task" => name.clone()).increment(1);
                tracing::warn!(task = name, reason, delay_s = delay.as_secs_f64(), "task restarts");
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = token.cancelled() => {}
                }
            }
        });
    }

    /// As [`Tasks::spawn`] for blocking work (FFmpeg, ONNX Runtime, SQLite), on a thread named after the task.
    pub fn spawn_thread<F>(&self, name: &str, on_exit: OnExit, task: F)
    where
        F: FnMut(CancellationToken) -> TaskResult + Send + 'static,
    {
        let thread_name: String = self.full_name(name);
        let task = Arc::new(Mutex::new(task));
        self.spawn(name, on_exit, move |token| {
            let task = task.clone();
            let thread_name = thread_name.clone();
            async move {
                let (done, ended) = tokio::sync::oneshot::channel();
                std::thread::Builder::new().name(thread_name).spawn(move || {
                    let result = task.lock().unwrap_or_else(PoisonError::into_inner)(token);
                    // The receiver is gone only while the process ends.
                    let _ = done.send(result);
                })?;
                ended.await.unwrap_or_else(|_| Err("thread panicked".into()))
            }
        });
    }

    /// Runs `job` once; shutdown waits for it.
    pub fn spawn_once<Fut>(&self, job: Fut)
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(job);
    }

    /// Tells the watchdog that the task `name` got something done.
    pub fn progress(&self, name: &str) {
        let name = self.full_name(name);
        self.shared.heartbeats.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Instant::now());
    }

    /// How long ago the task with this full name reported progress; `None` if it never did.
    pub fn since_progress(&self, full_name: &str) -> Option<Duration> {
        let heartbeats = self.shared.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.get(full_name).map(Instant::elapsed)
    }

    /// Resolves with the reason when a task whose exit ends the process has ended.
    pub async fn fatal(&self) -> String {
        let mut fatal = self.shared.fatal.subscribe();
        match fatal.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Cancels the group and waits for its tasks; false when some did not end in time.
    pub async fn shutdown(&self, limit: Duration) -> bool {
        self.token.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(limit, self.tracker.wait()).await.is_ok();
        if !ended {
            tracing::warn!(group = %self.name, left = self.tracker.len(), "tasks did not end in time");
        }
        ended
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn end_process(&self, name: &str, reason: &str) {
        tracing::error!(task = name, reason, "a task that the process cannot do without has ended");
        self.fatal.send_replace(Some(format!("{name}: {reason}")));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn restarts_after_error_and_panic() {
        let tasks = Tasks::new();
        let tries = Arc::new(AtomicU32::new(0));
        let seen = tries.clone();
        tasks.spawn("flaky", OnExit::Restart, move |token| {
            let seen = seen.clone();
            async move {
                match seen.fetch_add(1, Ordering::SeqCst) {
                    0 => Err("first".into()),
                    1 => panic!("second"),
                    _ => {
                        token.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        while tries.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(tasks.shutdown(Duration::from_secs(30)).await);
    }

    #[tokio::test]
    async fn a_thread_that_must_live_reports_its_end() {
        let tasks = Tasks::new();
        tasks.child("store").spawn_thread("writer", OnExit::EndProcess, |_| Err("disk gone".into()));
        assert_eq!(tasks.fatal().await, "store/writer: disk gone");
    }

    #[tokio::test]
    async fn children_end_with_their_parent() {
        let tasks = Tasks::new();
        let child = tasks.child("camera");
        child.spawn("pull", OnExit::Restart, |token| async move {
            token.cancelled().await;
            Ok(())
        });
        tasks.cancel();
        assert!(child.shutdown(Duration::from_secs(30)).await);
    }
}
