//! RTSP push: sends a camera's stream to another server, which has to be reached by nobody but the box. Each push keeps
//! trying, and says what it does and why it does not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::client::{Failure, Session};
use crate::base::backoff::Backoff;
use crate::base::ids::CameraId;
use crate::base::secret::Secret;
use crate::base::time::UtcMicros;
use crate::live::Hub;
use crate::media::StreamKind;

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// A push that went on for this long was a good one: the next wait is a short one again.
const GOOD: Duration = Duration::from_secs(60);
/// How often a camera that sends nothing is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Where a camera's stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Without user and password.
    pub url: String,
    pub stream: StreamKind,
    pub username: String,
    pub password: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushState {
    Connecting,
    Sending,
    /// The camera sends nothing that could be passed on.
    Waiting,
    Failed,
}

impl PushState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Sending => "sending",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// What a push does now.
#[derive(Clone, Debug)]
pub struct PushStatus {
    pub state: PushState,
    /// Why it does not send; empty while it does.
    pub reason: String,
    pub since: UtcMicros,
}

#[derive(Clone)]
pub(super) struct Board(Arc<Mutex<PushStatus>>);

impl Board {
    fn new() -> Self {
        let status = PushStatus { state: PushState::Connecting, reason: String::new(), since: UtcMicros::now() };
        Self(Arc::new(Mutex::new(status)))
    }

    pub(super) fn set(&self, state: PushState, reason: &str) {
        let mut status = lock(&self.0);
        if status.state != state || status.reason != reason {
            *status = PushStatus { state, reason: reason.to_owned(), since: UtcMicros::now() };
        }
    }
}

struct Running {
    target: Target,
    board: Board,
    stop: CancellationToken,
}

/// All pushes of the box. Clones share them.
#[derive(Clone)]
pub struct Pusher {
    hub: Hub,
    running: Arc<Mutex<HashMap<CameraId, Running>>>,
    stop: CancellationToken,
}

impl Pusher {
    /// All pushes end with `stop`.
    pub fn new(hub: Hub, stop: CancellationToken) -> Self {
        Self { hub, running: Arc::default(), stop }
    }

    /// What is to be pushed from now on. A push that is wanted as before goes on undisturbed.
    pub fn set(&self, mut wanted: HashMap<CameraId, Target>) {
        let mut running = lock(&self.running);
        running.retain(|camera, push| {
            let same = wanted.get(camera) == Some(&push.target);
            if same {
                wanted.remove(camera);
            } else {
                push.stop.cancel();
            }
            same
        });
        for (camera, target) in wanted {
            let (board, stop) = (Board::new(), self.stop.child_token());
            let task = keep(self.hub.clone(), camera.clone(), target.clone(), board.clone());
            let token = stop.clone();
            tokio::spawn(async move { token.run_until_cancelled(task).await });
            running.insert(camera, Running { target, board, stop });
        }
    }

    /// `None`: this camera is not pushed.
    pub fn status(&self, camera: &CameraId) -> Option<PushStatus> {
        lock(&self.running).get(camera).map(|push| lock(&push.board.0).clone())
    }
}

async fn keep(hub: Hub, camera: CameraId, target: Target, board: Board) {
    let mut attempt = 0;
    loop {
        board.set(PushState::Connecting, "");
        let began = Instant::now();
        let failure = Session::run(&hub, &camera, &target, &board).await;
        let reason = failure.to_string();
        if matches!(failure, Failure::Silent) {
            board.set(PushState::Waiting, &reason);
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        if began.elapsed() >= GOOD {
            attempt = 0;
        }
        metrics::counter!("gtv_rtsp_push_failures_total", "camera" => camera.to_string()).increment(1);
        // Once for each row of failures: a server that stays away must not fill the log.
        if attempt == 0 {
            tracing::warn!(%camera, reason, "RTSP push failed");
        }
        board.set(PushState::Failed, &reason);
        tokio::time::sleep(BACKOFF.delay(attempt, rand::random())).await;
        attempt += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
