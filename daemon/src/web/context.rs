//! What the page needs from the rest of the box; the bootstrap fills it.
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::base::secret::SecretBox;
use crate::control::{Health, SupervisorHandle};
use crate::live::Hub;
use crate::live::rtsp::Pusher;
use crate::lpr::Engine;
use crate::onvif::LockoutGuard;
use crate::record::Recorder;
use crate::store::Store;
use crate::sync::SyncHandle;

#[derive(Clone)]
pub struct WebContext {
    pub store: Store,
    pub supervisor: SupervisorHandle,
    pub health: Arc<Health>,
    pub live: Hub,
    pub recorder: Recorder,
    pub lpr: Engine,
    pub sync: SyncHandle,
    pub pusher: Pusher,
    /// Seals what the page keeps of stream logins.
    pub secrets: SecretBox,
    /// Shared with whatever else asks devices, so that none is tried twice with a refused password.
    pub lockout: Arc<LockoutGuard>,
    pub metrics: PrometheusHandle,
}
