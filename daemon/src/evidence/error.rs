//! What can go wrong with evidence.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::error::Kind;
use crate::base::identity::IdentityError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("cannot {doing} {}: {source}", .path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("nothing of camera {camera} ({stream}) is recorded from {from} to {to}")]
    Nothing { camera: String, stream: String, from: String, to: String },
    #[error("{0}")]
    Invalid(String),
    #[error("the decoder settings {0} of a recording are missing from the store: run `gtv-edge check`")]
    NoInit(String),
    #[error("write the export: {0}")]
    Output(#[from] io::Error),
    #[error("write the ZIP file: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("write the manifest: {0}")]
    Json(#[from] serde_json::Error),
}

impl EvidenceError {
    pub fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Nothing { .. } => Kind::NotFound,
            Self::Invalid(_) => Kind::Invalid,
            Self::Store(error) => error.kind(),
            _ => Kind::Internal,
        }
    }
}
