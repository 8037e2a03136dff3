//! The file of an object on its way: read part by part, hashed as it goes, refused where it is not what its name says.

use bytes::Bytes;
use gtv_protocol::Hash;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::store::{ObjectRef, UploadFile};
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
    pub(super) async fn open(object: &ObjectRef, at: &UploadFile, part_bytes: u64) -> Result<Self, SyncError> {
        let digest = digest(object)?;
        let unreadable = |error: std::io::Error| unreadable(&object.sha256, &error.to_string());
        let file = tokio::fs::File::open(&at.path).await.map_err(|error| match &at.disk {
            // Looked at afterwards: it may have gone in between.
            Some(disk) if !at.disk_is_there() => {
                self::unreadable(&object.sha256, &format!("the disk of {} is not there", disk.display()))
            }
            _ if error.kind() == std::io::ErrorKind::NotFound => {
                lost(&object.sha256, "its file is gone from the box".to_owned())
            }
            _ => unreadable(error),
        })?;
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
        read.map_err(|error| unreadable(&self.digest.to_string(), &error.to_string()))?;
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
pub(super) async fn whole(object: &ObjectRef, at: &UploadFile) -> Result<Bytes, SyncError> {
    let mut source = Source::open(object, at, object.bytes).await?;
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

/// It may well be read later: the disk is not there, or the box has no memory or file handle to spare.
fn unreadable(sha256: &str, detail: &str) -> SyncError {
    SyncError::Unreadable { sha256: sha256.to_owned(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::store::Bucket;

    fn object(bytes: &[u8]) -> ObjectRef {
        ObjectRef {
            sha256: hex::encode(Sha256::digest(bytes)),
            bytes: bytes.len() as u64,
            content_type: "video/mp4".to_owned(),
            bucket: Bucket::Recordings,
        }
    }

    /// `Ok`: readable, `Err(true)`: lost.
    async fn read(object: &ObjectRef, path: PathBuf, disk: Option<PathBuf>) -> Result<(), bool> {
        match whole(object, &UploadFile { path, disk }).await {
            Ok(_) => Ok(()),
            Err(SyncError::ObjectLost { .. }) => Err(true),
            Err(SyncError::Unreadable { .. }) => Err(false),
            Err(other) => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn only_what_is_gone_or_altered_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (object, disk) = (object(b"video"), folder.path().join("disk"));
        let file = disk.join("video.mp4");
        assert_eq!(read(&object, file.clone(), Some(disk.clone())).await, Err(false), "the disk is not there");
        assert_eq!(read(&object, file.clone(), None).await, Err(true));
        fs::create_dir(&disk).unwrap();
        assert_eq!(read(&object, file.clone(), Some(disk.clone())).await, Err(true), "the disk is there, the file not");
        fs::write(&file, "video").unwrap();
        assert_eq!(read(&object, file.clone(), Some(disk.clone())).await, Ok(()));
        assert_eq!(read(&object, file.join("below"), None).await, Err(false), "no folder: {file:?}");
        fs::write(&file, "vide").unwrap();
        assert_eq!(read(&object, file.clone(), None).await, Err(true), "too short");
        fs::write(&file, "Video").unwrap();
        assert_eq!(read(&object, file.clone(), None).await, Err(true), "altered");
        // It opens, and every read fails.
        let directory = ObjectRef { bytes: fs::metadata(&disk).unwrap().len(), ..object };
        assert_eq!(read(&directory, disk, None).await, Err(false));
    }
}
