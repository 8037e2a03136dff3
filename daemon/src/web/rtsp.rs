//! RTSP out: its listener, and the box's users and cameras as its gate.
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;

use super::WebError;
use super::api::session;
use super::app::App;
use crate::base::ids::CameraId;
use crate::base::secret::Secret;
use crate::base::tasks::{OnExit, Tasks};
use crate::live::rtsp::{Gate, Server, serve};
use crate::store::AuditEntry;

/// Binds and serves where the configuration says so.
pub async fn start(app: &Arc<App>, tasks: &Tasks) -> Result<(), WebError> {
    let Some(address) = app.config().live.rtsp_listen else { return Ok(()) };
    let failed = |source| WebError::Rtsp { address, source };
    let listener = Arc::new(TcpListener::bind(address).await.map_err(failed)?);
    tracing::info!(address = %listener.local_addr().map_err(failed)?, "RTSP");
    let server = Arc::new(Server { hub: app.context.live.clone(), gate: Arc::new(Users(app.clone())) });
    tasks.spawn("rtsp", OnExit::Restart, move |stop| {
        let (server, listener) = (server.clone(), listener.clone());
        async move {
            serve(server, &listener, stop).await;
            Ok(())
        }
    });
    Ok(())
}

struct Users(Arc<App>);

impl Gate for Users {
    fn admit(&self, user: String, password: String, peer: IpAddr) -> BoxFuture<'_, bool> {
        async move {
            let name = session::login_name(&user);
            let found = session::check_password(&self.0, &name, Secret::new(password)).await;
            let (known, outcome) = match found {
                Ok(Some(_)) => (true, "done"),
                Ok(None) => (false, "refused"),
                // Locked after wrong attempts, or the store does not answer: nobody is let in.
                Err(_) => return false,
            };
            let entry = AuditEntry {
                actor: name,
                action: "rtsp.login".to_owned(),
                subject: "session".to_owned(),
                detail: serde_json::json!({ "outcome": outcome }),
                remote: peer.to_string(),
            };
            // What cannot be written down is not done (T3).
            let written = self.0.store().append_audit(entry).await.is_ok();
            known && written
        }
        .boxed()
    }

    fn knows(&self, camera: &CameraId) -> bool {
        self.0.config().camera(camera).is_some()
    }
}
