//! What can go wrong with recordings.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::error::Kind;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("cannot {doing} {}: {source}; {}", .path.display(), remedy(.source))]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{path} is damaged at byte {offset}: run `gtv-edge check --deep`")]
    Damaged { path: String, offset: u64 },
    #[error("the init segment {id} of a recording is missing from the store: run `gtv-edge check`")]
    NoInit { id: String },
    #[error("the recorder has stopped")]
    Stopped,
}

impl RecordError {
    pub fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }

    /// For metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "full",
                io::ErrorKind::ReadOnlyFilesystem => "read_only",
                io::ErrorKind::NotFound => "missing",
                io::ErrorKind::PermissionDenied => "permission",
                _ => "io",
            },
            Self::Store(error) if error.kind() == Kind::Full => "full",
            Self::Store(_) => "database",
            Self::Damaged { .. } | Self::NoInit { .. } | Self::Stopped => "other",
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
                io::ErrorKind::NotFound => Kind::NotFound,
                _ => Kind::Internal,
            },
            Self::Store(error) => error.kind(),
            Self::Damaged { .. } | Self::NoInit { .. } => Kind::Internal,
            Self::Stopped => Kind::Unavailable,
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on the disk, or lower `record.max_bytes` or raise `record.min_free`; recording goes on by itself"
        }
        io::ErrorKind::PermissionDenied => "give the data folder to the user that the daemon runs as",
        io::ErrorKind::ReadOnlyFilesystem => "the disk was mounted read-only, often after errors: see `dmesg`",
        io::ErrorKind::NotFound => "the file was removed behind the daemon's back",
        _ => "see `dmesg` for errors of the disk",
    }
}
