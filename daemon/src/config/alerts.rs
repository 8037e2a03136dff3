//! `[alerts]` and `[[webhook]]`: when a listed vehicle is worth an alert, and who outside is told of alerts.

use serde::{Deserialize, Serialize};

use super::units::HumanDuration;
use crate::base::secret::Secret;

/// `[alerts]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertsConfig {
    /// Further passages of a listed vehicle at the same camera are counted in its last alert for this long.
    pub cooldown: HumanDuration,
    /// An alternative reading counts from this probability on; 1 leaves only the likeliest reading.
    pub min_alternative: f64,
    /// An hour in which less than this share of what should have been recorded is stored raises an alert; 0: never.
    pub min_coverage: f64,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self { cooldown: HumanDuration::secs(600), min_alternative: 0.1, min_coverage: 0.99 }
    }
}

/// `[[webhook]]`: a receiver that is told of alerts by HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookConfig {
    /// `a-z`, `0-9` and `-`: names it in the status, and its waiting alerts across restarts.
    pub name: String,
    pub url: String,
    /// Signs each message; sealed (`enc:...`) by the daemon in everything that it writes.
    pub secret: Secret,
    /// Kinds of alerts; empty: all.
    pub kinds: Vec<String>,
    /// Lets `url` be `http://`: for a receiver in the same trusted network.
    pub allow_http: bool,
    /// An alert that could not be delivered for this long is given up.
    pub give_up: HumanDuration,
}

impl WebhookConfig {
    /// The kinds of alerts that this program raises.
    pub const KINDS: [&str; 6] =
        ["watchlist-hit", "camera-lost", "camera-back", "coverage-low", "storage-failing", "storage-back"];
    /// Shorter secrets can be guessed.
    pub const SECRET_MIN: usize = 16;
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            secret: Secret::default(),
            kinds: Vec::new(),
            allow_http: false,
            give_up: HumanDuration::secs(86_400),
        }
    }
}
