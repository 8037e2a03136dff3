//! RTSP out: other recorders and a central server read the cameras from the box, as the cameras sent them.
//! `rtsp://box:port/CAMERA/main`, over TCP or UDP, with a user of the box.

mod connection;
mod describe;
mod stream;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use crate::base::ids::CameraId;

/// Recorders read each camera over a connection of its own.
const CONNECTIONS_MAX: usize = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who may read what; the box's users are known elsewhere.
pub trait Gate: Send + Sync {
    /// Whether this user may watch, with the password as given.
    fn admit(&self, user: String, password: String, peer: IpAddr) -> BoxFuture<'_, bool>;

    /// Whether there is such a camera.
    fn knows(&self, camera: &CameraId) -> bool;
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
