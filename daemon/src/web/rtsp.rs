//! RTSP out: its listener, and who may read: stream logins. Users of the page have no part in it, as only a hash is kept
//! of their passwords that Digest cannot be checked with.
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;

use super::WebError;
use super::api::session;
use super::app::App;
use super::error::ApiResult;
use super::routes::Class;
use crate::base::ids::CameraId;
use crate::base::tasks::{OnExit, Tasks};
use crate::live::rtsp::{Admission, Attempt, Gate, Ha1, Proof, Server, serve};
use crate::store::{AuditEntry, StreamLoginRow};

/// Binds and serves where the configuration says so.
pub async fn start(app: &Arc<App>, tasks: &Tasks) -> Result<(), WebError> {
    let Some(address) = app.config().live.rtsp_listen else { return Ok(()) };
    let failed = |source| WebError::Rtsp { address, source };
    let listener = Arc::new(TcpListener::bind(address).await.map_err(failed)?);
    tracing::info!(address = %listener.local_addr().map_err(failed)?, "RTSP");
    let server = Arc::new(Server { hub: app.context.live.clone(), gate: Arc::new(Doorkeeper(app.clone())) });
    tasks.spawn("rtsp", OnExit::Restart, move |stop| {
        let (server, listener) = (server.clone(), listener.clone());
        async move {
            serve(server, &listener, stop).await;
            Ok(())
        }
    });
    Ok(())
}

struct Doorkeeper(Arc<App>);

impl Gate for Doorkeeper {
    fn basic(&self) -> bool {
        self.0.config().live.rtsp_basic
    }

    fn admit(&self, attempt: Attempt, peer: IpAddr) -> BoxFuture<'_, Option<Admission>> {
        async move {
            // Locked after wrong attempts, or the store does not answer: nobody is let in.
            let admission = self.check(&attempt, peer).await.ok()?;
            let entry = AuditEntry {
                actor: session::login_name(&attempt.user),
                action: "rtsp.login".to_owned(),
                subject: "session".to_owned(),
                detail: serde_json::json!({ "outcome": if admission.is_some() { "done" } else { "refused" } }),
                remote: peer.to_string(),
            };
            // What cannot be written down is not done (T3).
            self.0.store().append_audit(entry).await.ok()?;
            admission
        }
        .boxed()
    }

    fn knows(&self, camera: &CameraId) -> bool {
        self.0.config().camera(camera).is_some()
    }
}

impl Doorkeeper {
    async fn check(&self, attempt: &Attempt, peer: IpAddr) -> ApiResult<Option<Admission>> {
        self.0.take_rate(Class::Login, peer)?;
        let name = session::login_name(&attempt.user);
        match self.0.store().stream_login(&name).await? {
            Some(_) if matches!(attempt.proof, Proof::Password(_)) && !self.basic() => Ok(None),
            Some(login) => self.check_stream_login(login, attempt, peer),
            None => Ok(None),
        }
    }

    /// Locked for an address and not for all: a stranger must not keep a central server from its cameras.
    fn check_stream_login(
        &self,
        login: StreamLoginRow,
        attempt: &Attempt,
        peer: IpAddr,
    ) -> ApiResult<Option<Admission>> {
        let key = format!("rtsp {} {peer}", login.name);
        session::check_lock(&self.0, &key)?;
        let proof = self.0.context.secrets.open(&login.proof).ok().and_then(|proof| Ha1::from_text(proof.expose()));
        let Some(proof) = proof else {
            tracing::error!(
                login = login.name,
                "what is kept of a stream login cannot be opened: remove it and add it anew"
            );
            return Ok(None);
        };
        let proved = attempt.user == login.name && proof.proves(attempt);
        session::count_attempt(&self.0, &key, proved);
        let (app, name, id) = (self.0.clone(), login.name, login.id);
        let still = move || {
            let (app, name) = (app.clone(), name.clone());
            async move {
                // A store that does not answer at the moment cuts nobody off.
                let found = app.store().stream_login(&name).await;
                found.map_or(true, |found| found.is_some_and(|found| found.id == id))
            }
            .boxed()
        };
        Ok(proved.then(|| Admission { cameras: login.cameras, still: Box::new(still) }))
    }
}
