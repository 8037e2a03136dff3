//! ONVIF: finds cameras by WS-Discovery and asks them for their profiles and stream addresses. The only oxvif user.

mod device;
mod discover;
mod lockout;

pub use device::{Credentials, DeviceProfile, DeviceReport, device_clock_offset_ms, probe_device};
pub use discover::{FoundDevice, discover};
pub use lockout::LockoutGuard;

use crate::base::error::Kind;

/// Why a device could not be found or asked.
#[derive(Debug, thiserror::Error)]
pub enum OnvifError {
    #[error("discovery on {interface}: {source}; check that the interface is up and has this address")]
    Discovery { interface: String, source: std::io::Error },
    #[error("{url} is not an ONVIF address: write http://host[:port]/onvif/device_service")]
    Address { url: String },
    #[error("{host} does not answer: {message}; check power, cable and address")]
    Unreachable { host: String, message: String },
    #[error("{host} refuses user and password; correct them (each try counts towards the camera's own lock-out)")]
    Unauthorised { host: String },
    #[error(
        "{host} refused this user and password {ago_s} s ago and is not asked again with the same ones for {wait_s} s, \
         so that it does not lock the user out; correct them or wait"
    )]
    HeldBack { host: String, ago_s: u64, wait_s: u64 },
    #[error("{host} answered something unexpected: {message}; update its firmware or add it by its RTSP address")]
    Protocol { host: String, message: String },
}

impl OnvifError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Discovery { .. } | Self::Unreachable { .. } | Self::Protocol { .. } => Kind::Unavailable,
            Self::Address { .. } => Kind::Invalid,
            Self::Unauthorised { .. } => Kind::Forbidden,
            Self::HeldBack { .. } => Kind::TooMany,
        }
    }
}
