//! The threads on which RTSP connections are read: few for all cameras. While nobody needs frames at once, a thread
//! sleeps between looks and then takes what has come for all its connections together: ten wake-ups a second instead
//! of one for each packet of each camera.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot};

/// Time between two looks. At 4 Mb/s 50 kB come in it, within what the kernel keeps of one connection from the start.
const LOOK: Duration = Duration::from_millis(100);
/// More than the connections of a thread, so that each look is at all of them.
const TASKS_A_LOOK: u32 = 4096;

/// One thread with its runtime.
pub struct Lane {
    handle: Handle,
    thread: Thread,
    look: Notify,
    /// Connections that need each packet as it comes.
    prompt: AtomicUsize,
    streams: AtomicUsize,
}

/// While it lives, the thread does not sleep between looks.
pub struct Prompt(Arc<Lane>);

/// A stream's place on a thread.
pub struct Seat(Arc<Lane>);

static LANES: LazyLock<Vec<Arc<Lane>>> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (0..(cores / 2).clamp(1, 4)).filter_map(|number| Lane::start(number).ok()).collect()
});

impl Lane {
    fn start(number: usize) -> std::io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().event_interval(TASKS_A_LOOK).build()?;
        let handle = runtime.handle().clone();
        let (give, take) = oneshot::channel::<Arc<Self>>();
        let thread = thread::Builder::new().name(format!("ingest-{number}")).spawn(move || {
            if let Ok(lane) = take.blocking_recv() {
                runtime.block_on(lane.run());
            }
        })?;
        let thread = thread.thread().clone();
        let (look, prompt, streams) = (Notify::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        let lane = Arc::new(Self { handle, thread, look, prompt, streams });
        // The thread waits for it.
        let _ = give.send(lane.clone());
        Ok(lane)
    }

    async fn run(&self) {
        loop {
            // The runtime asks the kernel, then the connections take what has come, then it sleeps.
            tokio::task::yield_now().await;
            self.look.notify_waiters();
            tokio::task::yield_now().await;
            if self.prompt.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(LOOK).await;
            } else {
                thread::park_timeout(LOOK);
            }
        }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Resolves at the next look.
    pub async fn look(&self) {
        self.look.notified().await;
    }
}

impl Prompt {
    pub fn new(lane: &Arc<Lane>) -> Self {
        lane.prompt.fetch_add(1, Ordering::Relaxed);
        lane.thread.unpark();
        Self(lane.clone())
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.0.prompt.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seat {
    /// On the thread with the fewest streams; `None` when the system has no thread left.
    pub fn take() -> Option<Self> {
        let lane = LANES.iter().min_by_key(|lane| lane.streams.load(Ordering::Relaxed))?;
        lane.streams.fetch_add(1, Ordering::Relaxed);
        Some(Self(lane.clone()))
    }

    pub fn lane(&self) -> &Arc<Lane> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looks_go_on_asleep_and_awake() {
        let seat = Seat::take().unwrap();
        let lane = seat.lane().clone();
        let looks = seat.lane().handle().spawn(async move {
            for _ in 0..3 {
                lane.look().await;
            }
            let prompt = Prompt::new(&lane);
            for _ in 0..3 {
                lane.look().await;
            }
            drop(prompt);
            lane.look().await;
        });
        tokio::time::timeout(Duration::from_secs(10), looks).await.expect("a thread that looks").unwrap();
    }
}
