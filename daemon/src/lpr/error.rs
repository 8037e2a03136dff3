//! What can go wrong with plate reading, and what to do about it.

use std::path::PathBuf;

use crate::base::error::Kind;

#[derive(Debug, thiserror::Error)]
pub enum LprError {
    #[error(
        "ONNX Runtime cannot be loaded: {tried}; run scripts/setup, or set lpr.ort_dylib (or ORT_DYLIB_PATH) to \
         libonnxruntime.so of version 1.22 or later"
    )]
    Runtime { tried: String },
    #[error("model manifest {path}: {message}; lpr.manifest must name a readable models/manifest.toml")]
    Manifest { path: PathBuf, message: String },
    #[error("model {file} cannot be loaded: {message}; restore the file or correct it in {manifest}")]
    Model { file: PathBuf, manifest: PathBuf, message: String },
    #[error(transparent)]
    Contract(Box<ContractMismatch>),
    #[error(
        "lpr.provider = \"{wanted}\" cannot be used for {file}: {reason}; install what is missing or set lpr.provider \
         to \"auto\""
    )]
    Provider { wanted: &'static str, file: PathBuf, reason: String },
    #[error("model {file} failed to run: {message}")]
    Inference { file: PathBuf, message: String },
    #[error("{what}: {message}")]
    Picture { what: String, message: String },
    #[error("camera {camera}: a passage could not be stored: {message}")]
    Store { camera: String, kind: Kind, message: String },
}

/// A model whose inputs or outputs are not what its contract says.
#[derive(Debug, thiserror::Error)]
#[error(
    "model {file}: {tensor} is {found}, but contract `{contract}` needs {expected}; export the model again or choose \
     another contract in {manifest}"
)]
pub struct ContractMismatch {
    pub file: PathBuf,
    pub manifest: PathBuf,
    pub tensor: String,
    pub contract: &'static str,
    pub expected: String,
    pub found: String,
}

impl LprError {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Runtime { .. } | Self::Provider { .. } => Kind::Unavailable,
            Self::Manifest { .. } | Self::Model { .. } | Self::Contract(_) | Self::Picture { .. } => Kind::Invalid,
            Self::Inference { .. } => Kind::Internal,
            Self::Store { kind, .. } => *kind,
        }
    }
}
