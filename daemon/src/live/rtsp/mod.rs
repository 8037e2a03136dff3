//! RTSP out: other recorders and a central server read the cameras from the box, as the cameras sent them.
//! `rtsp://box:port/CAMERA/main`, over TCP or UDP, with a stream login of the box.

mod auth;
mod client;
mod connection;
mod describe;
mod push;
mod stream;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use auth::{Attempt, Ha1, Proof, attempt};
#[cfg(any(test, fuzzing))]
pub use connection::fuzz_request;
pub use push::{PushState, PushStatus, Pusher, Target};

use super::hub::Hub;
use crate::base::ids::CameraId;

/// Recorders read each camera over a connection of its own.
const CONNECTIONS_MAX: usize = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who may read what; who is known is kept elsewhere.
pub trait Gate: Send + Sync {
    /// Whether passwords may cross the network as they are.
    fn basic(&self) -> bool;

    /// What this client may do, once it has proved who it is.
    fn admit(&self, attempt: Attempt, peer: IpAddr) -> BoxFuture<'_, Option<Admission>>;

    /// Whether there is such a camera.
    fn knows(&self, camera: &CameraId) -> bool;
}

/// Asked now and then whether the client may stay.
pub type StillAdmitted = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// A client that was let in.
pub struct Admission {
    /// `None`: all of them.
    pub cameras: Option<Vec<CameraId>>,
    pub still: StillAdmitted,
}

impl Admission {
    fn covers(&self, camera: &CameraId) -> bool {
        self.cameras.as_ref().is_none_or(|cameras| cameras.contains(camera))
    }
}

/// One viewer in the figures while it exists.
struct Counted(metrics::Gauge);

impl Counted {
    fn new(protocol: &'static str) -> Self {
        let gauge = metrics::gauge!("gtv_live_viewers", "protocol" => protocol);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// What all connections share.
pub struct Server {
    pub hub: Hub,
    pub gate: Arc<dyn Gate>,
}

/// Serves until `stop`.
pub async fn serve(server: Arc<Server>, listener: &TcpListener, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer): (_, SocketAddr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an RTSP connection; raise the file limit if this stays");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            crate::base::metrics::dropped("live", "rtsp_connections", 1);
            continue;
        };
        let _ = socket.set_nodelay(true);
        let (server, stop) = (server.clone(), stop.child_token());
        tokio::spawn(async move {
            let reason = connection::Connection::new(server, socket, peer).run(stop).await;
            tracing::debug!(%peer, reason, "RTSP connection ended");
            drop(permit);
        });
    }
}
