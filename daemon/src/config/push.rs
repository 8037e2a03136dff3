//! `[camera.push]`: the server that a camera's stream is sent to.

use serde::{Deserialize, Serialize};

use crate::base::secret::Secret;

/// Which stream is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushStream {
    #[default]
    Main,
    Sub,
}

/// `[camera.push]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PushConfig {
    /// RTSP address without credentials; empty: nothing is sent.
    pub url: String,
    pub stream: PushStream,
    pub username: String,
    /// Sealed (`enc:...`) by the daemon in everything that it writes.
    pub password: Secret,
}
