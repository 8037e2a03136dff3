//! What can go wrong between a camera and its fragments, said so that an installer knows what to do.

use crate::base::error::Kind;

/// `place` names the camera by host and port only: paths and queries of some makers carry the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    #[error("{place} refused the user name or password: correct them in the settings of this camera")]
    Unauthorised { place: String },
    #[error("{place} cannot be reached: {cause}")]
    Unreachable { place: String, cause: String },
    #[error("{place} has no stream at the given path: copy the RTSP address from the camera's page or use discovery")]
    NoSuchStream { place: String },
    #[error("{place} refused the stream: {cause}")]
    Refused { place: String, cause: String },
    #[error("{place} sent nothing for {seconds} s: check the camera and its network")]
    Stalled { place: String, seconds: u64 },
    #[error(
        "{place} sends data without usable pictures for {seconds} s: look for packet loss, try TCP, restart the camera"
    )]
    Unusable { place: String, seconds: u64 },
    #[error("{place} ended the stream: {cause}")]
    Ended { place: String, cause: String },
    #[error("{place} does not keep to the RTSP protocol: {cause}; update the camera's firmware or restart it")]
    Protocol { place: String, cause: String },
    #[error("{place}: {what} is not supported: {remedy}")]
    Unsupported { place: String, what: String, remedy: &'static str },
    #[error("the RTSP address is not valid: {cause}; it looks like rtsp://192.168.1.10:554/stream1")]
    Address { cause: String },
    #[error("{what} cannot be decoded: {cause}")]
    Decode { what: String, cause: String },
    #[error("{what} cannot be encoded: {cause}")]
    Encode { what: String, cause: String },
    #[error("FFmpeg refused {what}: {cause}")]
    Library { what: &'static str, cause: String },
    #[error("stopped")]
    Cancelled,
}

impl MediaError {
    /// Stable name of the failure, for translations and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorised { .. } => "unauthorised",
            Self::Unreachable { .. } => "unreachable",
            Self::NoSuchStream { .. } => "no_such_stream",
            Self::Refused { .. } => "refused",
            Self::Stalled { .. } => "stalled",
            Self::Unusable { .. } => "unusable",
            Self::Ended { .. } => "ended",
            Self::Protocol { .. } => "protocol",
            Self::Unsupported { .. } => "unsupported",
            Self::Address { .. } => "address",
            Self::Decode { .. } => "decode",
            Self::Encode { .. } => "encode",
            Self::Library { .. } => "library",
            Self::Cancelled => "stopped",
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Unauthorised { .. } => Kind::Unauthorised,
            Self::Unreachable { .. }
            | Self::Stalled { .. }
            | Self::Unusable { .. }
            | Self::Ended { .. }
            | Self::Protocol { .. }
            | Self::Refused { .. } => Kind::Unavailable,
            Self::NoSuchStream { .. } => Kind::NotFound,
            Self::Unsupported { .. } | Self::Address { .. } | Self::Decode { .. } => Kind::Invalid,
            Self::Encode { .. } | Self::Library { .. } | Self::Cancelled => Kind::Internal,
        }
    }
}
