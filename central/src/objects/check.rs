//! Is an object there, with the size and checksum that a record claims? (invariant S1)

use super::Objects;
use crate::db::objects::Checked;
use futures_util::StreamExt;
use gtv_protocol::Hash;
use gtv_protocol::hex_bytes::HexBytes;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

/// Why an object does not back its record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectFault {
    #[error("object {bucket}/{key} is missing: upload it, then send the record again")]
    Missing { bucket: String, key: String },
    #[error("object {bucket}/{key} {problem}: upload it again, then send the record again")]
    Mismatch { bucket: String, key: String, problem: String },
    #[error("object {bucket}/{key} could not be checked: {problem}")]
    Down {
        bucket: String,
        key: String,
        problem: String,
        /// Not even an error came: whoever asks for another object would wait as long.
        silent: bool,
    },
}

impl ObjectFault {
    /// True if the store answered and the object is not as claimed.
    pub fn is_about_object(&self) -> bool {
        !matches!(self, Self::Down { .. })
    }
}

/// How thoroughly to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Existence and size.
    Size,
    /// Read and hash it if it has at most this many bytes.
    Content { bytes_max: u64 },
}

impl Objects {
    /// Checks one object; the stream is hashed as it comes, never held whole.
    pub async fn check(
        &self,
        bucket: &str,
        key: &str,
        sha256: &Hash,
        bytes: u64,
        depth: Depth,
    ) -> Result<Checked, ObjectFault> {
        let place = || (bucket.to_owned(), key.to_owned());
        let missing = || {
            let (bucket, key) = place();
            ObjectFault::Missing { bucket, key }
        };
        let mismatch = |problem| {
            let (bucket, key) = place();
            ObjectFault::Mismatch { bucket, key, problem }
        };
        let fault = |error: Error| match error {
            Error::NotFound { .. } => missing(),
            error => {
                let (bucket, key) = place();
                ObjectFault::Down { bucket, key, problem: error.to_string(), silent: false }
            }
        };
        let silence = |_| {
            let ((bucket, key), seconds) = (place(), self.silence_max.as_secs());
            ObjectFault::Down { bucket, key, problem: format!("nothing came for {seconds} s"), silent: true }
        };
        let Some(store) = self.store(bucket) else { return Err(missing()) };
        let path = Path::parse(key).map_err(|_| missing())?;
        let wrong_size = |found: u64| mismatch(format!("has {found} bytes instead of {bytes}"));
        if depth == Depth::Size || matches!(depth, Depth::Content { bytes_max } if bytes > bytes_max) {
            let found = timeout(self.silence_max, store.head(&path)).await.map_err(silence)?.map_err(fault)?.size;
            return if found == bytes { Ok(Checked::Size) } else { Err(wrong_size(found)) };
        }
        let answer = timeout(self.silence_max, store.get(&path)).await.map_err(silence)?.map_err(fault)?;
        if answer.meta.size != bytes {
            return Err(wrong_size(answer.meta.size));
        }
        let mut sha = Sha256::new();
        let mut stream = answer.into_stream();
        while let Some(chunk) = timeout(self.silence_max, stream.next()).await.map_err(silence)? {
            sha.update(&chunk.map_err(fault)?);
        }
        let found: Hash = HexBytes(sha.finalize().into());
        if found == *sha256 { Ok(Checked::Content) } else { Err(mismatch(format!("has SHA-256 {found}"))) }
    }
}
