//! What can go wrong in the store, what it means for the data, and what a person can do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::base::error::Kind;

/// What the database or the disk under it complained about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Full,
    Corrupt,
    Busy,
    ReadOnly,
    Io,
    Other,
}

impl Fault {
    fn remedy(self) -> &'static str {
        match self {
            Self::Full => {
                "the disk is full: free space, or lower `record.max_bytes` or raise `record.min_free`; \
                 writing goes on by itself when there is room"
            }
            Self::Corrupt => {
                "the database is damaged: stop the daemon, run `gtv-edge check`, and restore the data folder \
                 from its backup; video files are not affected"
            }
            Self::Busy => "another process holds the database: stop it (`fuser -v` on the file shows it)",
            Self::ReadOnly => "the data folder is read-only: mount it writable and give it to the daemon's user",
            Self::Io => "the disk does not read or write: look at `dmesg` and `smartctl`, and replace it if it fails",
            Self::Other => "this is a defect of the daemon: report it with the log around this line",
        }
    }
}

/// Why a call of the store failed. `Clone`, because one failed commit fails every call that was grouped into it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("store in {}, while trying to {doing}: {detail}; {}", .path.display(), .fault.remedy())]
    Database { fault: Fault, doing: &'static str, path: PathBuf, detail: String },
    #[error("store in {}, while trying to {doing}: {detail}; {}", .path.display(), .fault.remedy())]
    File { fault: Fault, doing: &'static str, path: PathBuf, detail: String },
    #[error(
        "store in {}: its schema is version {found}, this program knows versions up to {known}: \
         start the release that wrote it, or a newer one", .path.display()
    )]
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    #[error("store in {}: the file belongs to another program (application id {found:#x}): choose another `data_dir`",
        .path.display())]
    ForeignFile { path: PathBuf, found: i32 },
    #[error("store in {}: another gtv-edge uses this data folder: stop it, or choose another `data_dir`",
        .path.display())]
    InUse { path: PathBuf },
    #[error("{thing} does not exist (any more)")]
    NotFound { thing: String },
    #[error("{thing}: {detail}")]
    Conflict { thing: String, detail: String },
    #[error("{thing}: {detail}")]
    Invalid { thing: String, detail: String },
    #[error("store: the writer has ended, so nothing more can be kept: the process ends and is started again")]
    WriterEnded,
}

impl StoreError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Database { fault, .. } | Self::File { fault, .. } => match fault {
                Fault::Full => Kind::Full,
                Fault::Busy => Kind::Unavailable,
                Fault::Corrupt | Fault::ReadOnly | Fault::Io | Fault::Other => Kind::Internal,
            },
            Self::NewerSchema { .. } | Self::ForeignFile { .. } | Self::Invalid { .. } => Kind::Invalid,
            Self::InUse { .. } | Self::Conflict { .. } => Kind::Conflict,
            Self::NotFound { .. } => Kind::NotFound,
            Self::WriterEnded => Kind::Unavailable,
        }
    }

    pub(super) fn not_found(thing: impl Into<String>) -> Self {
        Self::NotFound { thing: thing.into() }
    }

    pub(super) fn conflict(thing: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Conflict { thing: thing.into(), detail: detail.into() }
    }

    pub(super) fn invalid(thing: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { thing: thing.into(), detail: detail.into() }
    }

    /// Fills in what was being done and where, which the code that met the error did not know.
    pub(super) fn during(self, doing_now: &'static str, place: &Path) -> Self {
        match self {
            Self::Database { fault, doing: "", detail, .. } => {
                Self::Database { fault, doing: doing_now, path: place.to_owned(), detail }
            }
            other => other,
        }
    }

    pub(super) fn file(doing: &'static str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;

        let fault = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::Full,
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Fault::ReadOnly,
            ErrorKind::NotFound => return Self::not_found(format!("file {}", path.display())),
            _ => Fault::Io,
        };
        Self::File { fault, doing, path: path.to_owned(), detail: error.to_string() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let fault = match &error {
            rusqlite::Error::SqliteFailure(code, _) => match code.code {
                ErrorCode::DiskFull => Fault::Full,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Fault::Corrupt,
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Fault::Busy,
                ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Fault::ReadOnly,
                ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => Fault::Io,
                _ => Fault::Other,
            },
            _ => Fault::Other,
        };
        Self::Database { fault, doing: "", path: PathBuf::new(), detail: error.to_string() }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Database {
            fault: Fault::Corrupt,
            doing: "",
            path: PathBuf::new(),
            detail: format!("JSON in a row: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_full_is_told_apart_and_says_what_to_do() {
        let raw = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
        let error = StoreError::from(raw).during("commit fragments", Path::new("/data"));
        assert_eq!(error.kind(), Kind::Full);
        let text = error.to_string();
        assert!(text.contains("/data") && text.contains("commit fragments") && text.contains("free space"), "{text}");
    }

    #[test]
    fn a_damaged_file_is_not_a_defect_of_the_program() {
        let raw = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None);
        assert!(StoreError::from(raw).to_string().contains("gtv-edge check"));
    }
}
