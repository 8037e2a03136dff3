//! The page's own state, shared by all handlers.
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::Method;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::context::WebContext;
use super::error::{ApiError, ApiResult};
use super::exports::Exports;
use super::limit::{Lockout, RateLimit};
use super::passwords::Passwords;
use super::playback::FastPlaybacks;
use super::request::Req;
use super::routes::{self, Class, Route};
use super::snapshot::Stills;
use super::thumbnail::Thumbnails;
use super::tokens::Tokens;
use super::ui::Ui;
use crate::base::ids::CameraId;
use crate::camera::CameraStatus;
use crate::config::Config;
use crate::live::hls::Hls;
use crate::live::whep::Whep;
use crate::store::{AuditEntry, Store};

/// Requests a minute and address that deal with passwords and tokens.
const LOGIN_PER_MINUTE: u32 = 100;
/// All others: a page with many thumbnails asks in bursts.
const REQUESTS_PER_MINUTE: u32 = 3000;

pub struct App {
    pub context: WebContext,
    pub routes: Vec<Route>,
    pub tokens: Tokens,
    pub passwords: Passwords,
    pub ui: Ui,
    pub lockout: Mutex<Lockout>,
    pub stop: CancellationToken,
    /// Probing the network or a device is for one person at a time.
    pub discovering: Semaphore,
    /// Guards read-change-apply of the camera list.
    pub changing: tokio::sync::Mutex<()>,
    /// One file at a time becomes a watchlist: each is work for the one writer.
    pub importing: Arc<Semaphore>,
    pub stills: Stills,
    pub thumbnails: Thumbnails,
    pub fast: FastPlaybacks,
    pub exports: Exports,
    pub whep: Whep,
    pub hls: Hls,
    pub started: Instant,
    login_rate: Mutex<RateLimit>,
    rate: Mutex<RateLimit>,
}

impl App {
    pub fn new(context: WebContext, stop: CancellationToken) -> ApiResult<Arc<Self>> {
        let config = context.supervisor.config();
        let web = config.web.clone();
        Ok(Arc::new(Self {
            tokens: Tokens::new(*web.access_lifetime),
            passwords: Passwords::new()?,
            ui: Ui::new(web.ui_dir),
            routes: routes::table(),
            lockout: Mutex::default(),
            hls: Hls::new(context.live.clone(), *config.live.part, stop.clone()),
            whep: Whep::new(context.live.clone(), &config.live, stop.clone()),
            stop,
            discovering: Semaphore::new(1),
            changing: tokio::sync::Mutex::default(),
            importing: Arc::new(Semaphore::new(1)),
            stills: Stills::default(),
            thumbnails: Thumbnails::default(),
            fast: FastPlaybacks::default(),
            exports: Exports::default(),
            started: Instant::now(),
            login_rate: Mutex::new(RateLimit::new(LOGIN_PER_MINUTE)),
            rate: Mutex::new(RateLimit::new(REQUESTS_PER_MINUTE)),
            context,
        }))
    }

    pub fn store(&self) -> &Store {
        &self.context.store
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.context.supervisor.config()
    }

    /// What a configured camera does now.
    pub fn camera_status(&self, id: &CameraId) -> Option<CameraStatus> {
        self.context.supervisor.statuses().get(id).cloned()
    }

    /// Counts a request against its address.
    pub fn take_rate(&self, class: Class, peer: IpAddr) -> ApiResult<()> {
        let limit = match class {
            Class::Login => &self.login_rate,
            Class::Normal => &self.rate,
        };
        let wait = limit.lock().unwrap_or_else(PoisonError::into_inner).take(peer, Instant::now());
        wait.map_err(|wait| {
            metrics::counter!("gtv_http_limited_total").increment(1);
            ApiError::too_many("Too many requests from this address.", wait.as_secs().max(1))
        })
    }

    /// Writes one line of the audit log; what cannot be written down is not done (T3).
    pub async fn audit(&self, req: &Req, action: &str, subject: &str, outcome: Outcome) -> ApiResult<()> {
        let actor = req.who.as_ref().map_or("", |who| &who.username);
        self.audit_as(req, actor, action, subject, outcome).await
    }

    pub async fn audit_as(
        &self,
        req: &Req,
        actor: &str,
        action: &str,
        subject: &str,
        outcome: Outcome,
    ) -> ApiResult<()> {
        let entry = AuditEntry {
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: serde_json::json!({ "outcome": outcome.as_str() }),
            remote: req.peer.to_string(),
        };
        self.store().append_audit(entry).await?;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    Done,
    Refused,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
        }
    }
}

/// Whether the method changes something.
pub fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
