//! `[web]`: the local page and its sessions.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::HumanDuration;

/// `[web]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebConfig {
    pub listen: SocketAddr,
    /// Serves the page from this folder instead of the one built into the binary (for work on the page).
    pub ui_dir: Option<PathBuf>,
    /// Life of an access token.
    pub access_lifetime: HumanDuration,
    /// Life of a refresh token; each use renews it.
    pub refresh_lifetime: HumanDuration,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            ui_dir: None,
            access_lifetime: HumanDuration::secs(15 * 60),
            refresh_lifetime: HumanDuration::secs(30 * 86_400),
        }
    }
}
