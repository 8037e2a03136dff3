//! Why delivery does not go on, and what a person can do about it.

use gtv_protocol::RefusalCode;

use crate::base::error::Kind;
use crate::store::StoreError;

/// What stopped a session with the centre, or an upload.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(
        "the centre at {url} cannot be reached: {detail}; check the network, `sync.url` and that gtv-sync runs; \
             everything is kept and sent later"
    )]
    Unreachable { url: String, detail: String },
    #[error(
        "the certificate of the centre at {url} is not accepted: {detail}; set `sync.ca_file` to the authority \
             that signed it, and check the clock of this box"
    )]
    Certificate { url: String, detail: String },
    #[error("`sync.ca_file` {path} cannot be used: {detail}; give it a PEM file with at least one certificate")]
    CaFile { path: String, detail: String },
    #[error("the centre refuses this box ({}): {message}; {}", .code.as_str(), refusal_remedy(*.code))]
    Refused {
        code: RefusalCode,
        message: String,
        retry_after_s: Option<u32>,
        /// With `EpochBehind`: the epoch the centre knows.
        newest_epoch: Option<i64>,
    },
    #[error("the centre at {url} broke the protocol: {detail}; run the same release on both sides")]
    Protocol { url: String, detail: String },
    #[error("the centre at {url} went silent: {detail}; the session starts again by itself")]
    Silent { url: String, detail: String },
    #[error(
        "object store {endpoint}: bucket `{bucket}` does not exist; create it, or correct `sync.s3.bucket_prefix`; \
             objects are kept until then"
    )]
    NoBucket { endpoint: String, bucket: String },
    #[error("object store {endpoint} refuses to store in bucket `{bucket}`: {detail}; {}; objects are kept until then",
        if *.vended { "let the centre vend credentials that may write there" }
        else { "correct `sync.s3.access_key` and `sync.s3.secret_key`, or give that key the right to write" })]
    ObjectsRefused { endpoint: String, bucket: String, detail: String, vended: bool },
    #[error(
        "object store {endpoint} does not take objects: {detail}; check that it runs, its disk and the network; \
             objects are kept and uploaded later"
    )]
    ObjectsUnavailable { endpoint: String, detail: String },
    #[error("access to the object store is incomplete: {detail}; correct `[sync.s3]` or the centre's settings")]
    ObjectsAccess { detail: String },
    #[error("object {sha256} cannot be uploaded: {reason}")]
    ObjectLost { sha256: String, reason: String },
    #[error(
        "the file of object {sha256} cannot be read: {detail}; look after the disk (`dmesg`, its mount, permissions); \
             it is tried again by itself"
    )]
    Unreadable { sha256: String, detail: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SyncError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::ObjectsUnavailable { .. }
            | Self::Unreadable { .. } => Kind::Unavailable,
            Self::Certificate { .. } | Self::CaFile { .. } | Self::ObjectsAccess { .. } => Kind::Invalid,
            Self::Refused { code, .. } if code.retry() => Kind::Unavailable,
            Self::Refused { .. } | Self::ObjectsRefused { .. } => Kind::Forbidden,
            Self::NoBucket { .. } | Self::ObjectLost { .. } => Kind::NotFound,
            Self::Protocol { .. } => Kind::Internal,
            Self::Store(error) => error.kind(),
        }
    }
}

fn refusal_remedy(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::Version => "update the older of the two sides",
        RefusalCode::NotEnrolled => "enrol the box at the centre, or set `sync.enrol_code` to a fresh code",
        RefusalCode::Disabled => "somebody disabled this box at the centre: enable it there",
        RefusalCode::BadSignature => {
            "the centre knows another key for this box: restore keys/box.key from its backup, or enrol it anew"
        }
        RefusalCode::EpochBehind => "a new epoch begins by itself",
        RefusalCode::BadMessage => "run the same release on both sides",
        RefusalCode::Unavailable | RefusalCode::ShuttingDown | RefusalCode::Unknown => {
            "it is tried again by itself; look at the log of gtv-sync if it stays"
        }
    }
}
