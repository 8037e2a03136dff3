//! Uploads in parts, which go on where they stopped: what the object store has of an object is remembered as each part
//! is done, whatever ends between two of them. The whole file is hashed all the same before the parts become an object.

use bytes::Bytes;
use gtv_protocol::limits;

use super::source::Source;
use crate::base::time::UtcMicros;
use crate::store::{Begun, ObjectRef, Store, Unfinished, UploadFile};
use crate::sync::error::SyncError;

/// The least that S3 takes: what a broken connection costs at most.
pub(super) const PART: u64 = 5 << 20;
/// A day before the buckets remove what is unfinished (`gtv-sync provision`), it is begun anew.
const GOOD_FOR_US: i64 = 6 * 86_400_000_000;

/// Who takes the parts of one object.
pub(super) trait Server {
    /// Way, endpoint and bucket: an upload that was begun at another place cannot go on here.
    fn place(&self) -> String;
    /// Begins an upload of so many parts; how the object store calls it.
    async fn begin(&mut self, parts: u32) -> Result<String, SyncError>;
    /// What the object store answered.
    async fn send(&mut self, part: Part<'_>, bytes: Bytes) -> Result<String, Fault>;
    /// Makes an object of the parts. Done as well where that had been done before.
    async fn complete(&mut self, upload: &str, receipts: Vec<String>) -> Result<(), Fault>;
    async fn abort(&mut self, upload: &str) -> Result<(), SyncError>;
}

#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub upload: &'a str,
    /// From 0.
    pub number: u32,
    pub of: u32,
}

pub(super) enum Fault {
    /// The object store does not know the upload or a part of it (any more), in its own words.
    Unknown(String),
    Failed(SyncError),
}

impl From<SyncError> for Fault {
    fn from(error: SyncError) -> Self {
        Self::Failed(error)
    }
}

/// What an object store answers when it does not know the upload, or not all of its parts.
pub(super) fn is_unknown(answer: &str) -> bool {
    ["NoSuchUpload", "InvalidPart"].iter().any(|code| answer.contains(code))
}

/// How large the parts of an object are: no more of them than a centre signs.
fn part_bytes(bytes: u64) -> u64 {
    PART.max(bytes.div_ceil(u64::from(limits::UPLOAD_PARTS_MAX)))
}

/// Uploads the file, from the first part on that the server does not have.
pub(super) async fn put(
    store: &Store,
    server: &mut impl Server,
    object: &ObjectRef,
    file: &UploadFile,
) -> Result<(), SyncError> {
    let (sha256, mut anew) = (object.sha256.as_str(), false);
    loop {
        let kept = kept(store, server, object).await?;
        let mut upload = kept.as_ref().map(|kept| kept.begun.upload.clone());
        match send(store, server, object, file, kept, &mut upload).await {
            Ok(()) => return Ok(()),
            Err(Fault::Unknown(detail)) => {
                // It may be one part that is not known, and the others are.
                if let Some(upload) = &upload {
                    give_up(store, server, sha256, upload).await?;
                }
                if anew {
                    return Err(SyncError::ObjectsUnavailable { endpoint: server.place(), detail });
                }
                tracing::warn!(object = sha256, detail, "the object store forgot an upload; it begins anew");
                anew = true;
            }
            Err(Fault::Failed(error)) => {
                if let (SyncError::ObjectLost { .. }, Some(upload)) = (&error, &upload)
                    && let Err(error) = end(store, server, sha256, upload).await
                {
                    tracing::warn!(object = sha256, %error, "parts of a lost object are still at the object store");
                }
                return Err(error);
            }
        }
    }
}

/// Has the object store remove the parts of an upload with which nobody goes on, and forgets it then.
async fn end(store: &Store, server: &mut impl Server, sha256: &str, upload: &str) -> Result<(), SyncError> {
    server.abort(upload).await?;
    Ok(store.forget_upload(sha256, upload).await?)
}

/// As [`end`] for an upload in the way of another: where the object store cannot be told, the bucket's own rule removes
/// what is left.
async fn give_up(store: &Store, server: &mut impl Server, sha256: &str, upload: &str) -> Result<(), SyncError> {
    if let Err(error) = server.abort(upload).await {
        tracing::warn!(object = sha256, %error, "parts of an object stay until the bucket removes them");
    }
    Ok(store.forget_upload(sha256, upload).await?)
}

/// As [`end`] for an upload that was begun some time ago, perhaps elsewhere: there only the bucket's rule reaches it.
pub(super) async fn end_abandoned(
    store: &Store,
    server: &mut impl Server,
    sha256: &str,
    begun: &Begun,
) -> Result<(), SyncError> {
    if begun.place == server.place() {
        return end(store, server, sha256, &begun.upload).await;
    }
    Ok(store.forget_upload(sha256, &begun.upload).await?)
}

/// What was begun before, if it can go on.
async fn kept(store: &Store, server: &mut impl Server, object: &ObjectRef) -> Result<Option<Unfinished>, SyncError> {
    let Some(kept) = store.unfinished_upload(&object.sha256).await? else { return Ok(None) };
    let begun = &kept.begun;
    let age_us = UtcMicros::now().since(begun.begun_at).abs();
    if begun.place == server.place() && age_us < GOOD_FOR_US {
        return Ok(Some(kept));
    }
    let (place, parts) = (&begun.place, kept.receipts.len());
    tracing::warn!(object = object.sha256, place, parts, "an upload was begun elsewhere or long ago; it begins anew");
    if begun.place == server.place() {
        give_up(store, server, &object.sha256, &begun.upload).await?;
    } else {
        store.forget_upload(&object.sha256, &begun.upload).await?;
    }
    Ok(None)
}

/// `upload` becomes the one that was begun.
async fn send(
    store: &Store,
    server: &mut impl Server,
    object: &ObjectRef,
    file: &UploadFile,
    kept: Option<Unfinished>,
    upload: &mut Option<String>,
) -> Result<(), Fault> {
    let sha256 = object.sha256.as_str();
    let part_bytes = kept.as_ref().map_or_else(|| part_bytes(object.bytes), |kept| kept.begun.part_bytes);
    let mut source = Source::open(object, file, part_bytes).await?;
    let mut receipts = kept.map(|kept| kept.receipts).unwrap_or_default();
    let done = receipts.len();
    if done > 0 {
        let bytes = (done as u64 * part_bytes).min(object.bytes);
        tracing::info!(object = sha256, bytes, of = object.bytes, "an upload goes on where it stopped");
        metrics::counter!("gtv_sync_upload_resumed_bytes_total").increment(bytes);
    }
    let of = u32::try_from(object.bytes.div_ceil(part_bytes)).unwrap_or(u32::MAX);
    let begun = if let Some(upload) = &*upload {
        upload.clone()
    } else {
        let begun = server.begin(of).await?;
        *upload = Some(begun.clone());
        let row = Begun { place: server.place(), upload: begun.clone(), part_bytes, begun_at: UtcMicros::now() };
        remembered(sha256, store.upload_begun(sha256, row).await);
        begun
    };
    for number in 0..of {
        let Some(bytes) = source.next().await? else { break };
        if number as usize >= done {
            let receipt = server.send(Part { upload: &begun, number, of }, bytes).await?;
            remembered(sha256, store.upload_part_done(sha256, &begun, number, &receipt).await);
            receipts.push(receipt);
        }
    }
    source.verify()?;
    server.complete(&begun, receipts).await
}

/// A box whose disk is full delivers all the same; what it cannot remember it sends again after a break.
fn remembered(sha256: &str, result: Result<(), crate::store::StoreError>) {
    if let Err(error) = result {
        tracing::warn!(object = sha256, %error, "how far an upload came could not be remembered");
    }
}
