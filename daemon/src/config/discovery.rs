//! `[discovery]`: where ONVIF cameras are looked for.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::units::HumanDuration;

/// `[discovery]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscoveryConfig {
    /// Address of the interface that WS-Discovery probes leave by; absent: every interface.
    pub interface: Option<Ipv4Addr>,
    /// How long answers are waited for.
    pub timeout: HumanDuration,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self { interface: None, timeout: HumanDuration::secs(3) }
    }
}
