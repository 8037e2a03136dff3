//! The file of an object on its way: read part by part, hashed as it goes, refused where it is not what its name says.

use std::path::Path;

use bytes::Bytes;
use gtv_protocol::Hash;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::store::ObjectRef;
use crate::sync::error::SyncError;

pub(super) struct Source {
    file: tokio::fs::File,
    part_bytes: u64,
    digest: Hash,
    /// As its row says.
    bytes: u64,
    sha: Sha256,
    read: u64,
}

impl Source {
    /// Reads the file in parts of that many bytes.
    pub(super) async fn open(object: &ObjectRef, path: &Path, part_bytes: u64) -> Result<Self, SyncError> {
        let digest = digest(object)?;
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => lost(&object.sha256, "its file is gone from the box".to_owned()),
            _ => unreadable(&object.sha256, &error),
        };
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let found = file.metadata().await.map_err(unreadable)?.len();
        if found != object.bytes {
            let reason = format!("its file is damaged: it has {found} bytes instead of {}", object.bytes);
            return Err(lost(&object.sha256, reason));
        }
        Ok(Self { file, part_bytes, digest, bytes: object.bytes, sha: Sha256::new(), read: 0 })
    }

    /// The next part; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SyncError> {
        let mut part = Vec::new();
        let read = (&mut self.file).take(self.part_bytes).read_to_end(&mut part).await;
        read.map_err(|error| unreadable(&self.digest.to_string(), &error))?;
        self.sha.update(&part);
        self.read += part.len() as u64;
        Ok(Some(part).filter(|part| !part.is_empty()).map(Bytes::from))
    }

    /// All of it was read: is it what its name says?
    pub(super) fn verify(&self) -> Result<(), SyncError> {
        if self.read == self.bytes && self.sha.clone().finalize().as_slice() == self.digest.as_bytes() {
            return Ok(());
        }
        Err(lost(&self.digest.to_string(), "its file is damaged: the digest is another one".to_owned()))
    }
}

/// The whole of a file that goes in one request, verified.
pub(super) async fn whole(object: &ObjectRef, path: &Path) -> Result<Bytes, SyncError> {
    let mut source = Source::open(object, path, object.bytes).await?;
    let bytes = source.next().await?.unwrap_or_default();
    source.verify()?;
    Ok(bytes)
}

pub(super) fn digest(object: &ObjectRef) -> Result<Hash, SyncError> {
    Hash::parse(&object.sha256).ok_or_else(|| lost(&object.sha256, "its name is no SHA-256".to_owned()))
}

/// It can never be uploaded.
fn lost(sha256: &str, reason: String) -> SyncError {
    SyncError::ObjectLost { sha256: sha256.to_owned(), reason }
}

fn unreadable(sha256: &str, error: &std::io::Error) -> SyncError {
    lost(sha256, format!("its file cannot be read: {error}"))
}
