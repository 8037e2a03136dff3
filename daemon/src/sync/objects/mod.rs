//! The object store: puts one local file under its content-addressed key, with the SHA-256 that the server verifies.
//! Large files go in parts, so that memory stays bounded. S3 by object_store, or requests that the centre signs.

mod http;
mod keys;
mod parts;
mod signed;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use gtv_protocol::ObjectAccess;
use gtv_protocol::limits::OBJECT_BYTES_MAX;
use gtv_protocol::record::{object_key, object_prefix};

use super::error::SyncError;
use super::pace::Pacer;
use crate::base::ids::BoxId;
use crate::base::secret::Secret;
use crate::config::SyncConfig;
use crate::store::{Begun, Bucket, Lane, ObjectRef, Store, UploadFile};
pub(super) use signed::{Ask, Signing};

/// Files up to this size go in one request, which is the fastest for what arrives at the first attempt.
const WHOLE: u64 = 8 << 20;

/// Where objects go and with which right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Keys(Keys),
    Signed(Signing),
}

/// S3 keys of the configuration, or vended by the centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    endpoint: String,
    region: String,
    allow_http: bool,
    buckets: BTreeMap<String, String>,
    access_key: String,
    secret_key: Secret,
    session_token: Option<Secret>,
    key_prefix: String,
    /// Given by the centre, not by this box's configuration.
    vended: bool,
}

impl Access {
    /// From `[sync.s3]`.
    pub(super) fn from_config(config: &SyncConfig, box_id: BoxId) -> Option<Self> {
        let s3 = config.s3.as_ref()?;
        let name = |bucket: Bucket| (bucket.as_str().to_owned(), format!("{}{}", s3.bucket_prefix, bucket.as_str()));
        Some(Self::Keys(Keys {
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            allow_http: s3.allow_http,
            buckets: Bucket::ALL.into_iter().map(name).collect(),
            access_key: s3.access_key.clone(),
            secret_key: s3.secret_key.clone(),
            session_token: None,
            key_prefix: object_prefix(box_id.0),
            vended: false,
        }))
    }

    pub(super) fn from_centre(access: ObjectAccess) -> Self {
        Self::Keys(Keys {
            endpoint: access.endpoint,
            region: access.region,
            allow_http: access.allow_http,
            buckets: access.buckets,
            access_key: access.credentials.access_key,
            secret_key: Secret::new(access.credentials.secret_key),
            session_token: access.credentials.session_token.map(Secret::new),
            key_prefix: access.key_prefix,
            vended: true,
        })
    }
}

/// Ready to upload with one [`Access`].
pub(super) struct Objects {
    box_id: BoxId,
    store: Store,
    way: Way,
}

enum Way {
    Keys(keys::WithKeys),
    Signed(signed::WithSignatures),
}

impl Objects {
    /// `ca` is an extra certificate authority in PEM; `store` remembers how far large uploads came.
    pub(super) fn new(
        box_id: BoxId,
        store: Store,
        access: Access,
        ca: Option<&[u8]>,
        pacer: &Arc<Pacer>,
    ) -> Result<Self, SyncError> {
        let way = match access {
            Access::Keys(keys) => Way::Keys(keys::WithKeys::new(keys, ca, pacer)?),
            Access::Signed(signing) => Way::Signed(signed::WithSignatures::new(signing, ca, pacer)?),
        };
        Ok(Self { box_id, store, way })
    }

    /// Puts the bytes of `file` under the key of `object`, in parts where it is large, or where `careful` is set and a
    /// break would cost more than a part. [`SyncError::ObjectLost`] where the file is not what the digest says: it can
    /// never be uploaded. [`SyncError::Unreadable`] where it cannot be read now.
    pub(super) async fn put(
        &self,
        object: &ObjectRef,
        lane: Lane,
        file: &UploadFile,
        careful: bool,
    ) -> Result<(), SyncError> {
        if object.bytes > OBJECT_BYTES_MAX {
            let reason = format!("it has {} bytes, an object may have {OBJECT_BYTES_MAX}", object.bytes);
            return Err(SyncError::ObjectLost { sha256: object.sha256.clone(), reason });
        }
        let key = object_key(self.box_id.0, &source::digest(object)?);
        let in_parts = object.bytes > WHOLE
            || object.bytes > parts::PART && (careful || self.store.unfinished_upload(&object.sha256).await?.is_some());
        match &self.way {
            Way::Keys(with) if in_parts => {
                parts::put(&self.store, &mut with.way(object, lane, &key)?, object, file).await
            }
            Way::Keys(with) => with.way(object, lane, &key)?.put(source::whole(object, file).await?).await,
            Way::Signed(with) if in_parts => parts::put(&self.store, &mut with.way(object, lane)?, object, file).await,
            Way::Signed(with) => with.way(object, lane)?.put(source::whole(object, file).await?).await,
        }
    }

    /// Ends an upload in parts that nobody waits for any more.
    pub(super) async fn end(&self, object: &ObjectRef, begun: &Begun) -> Result<(), SyncError> {
        let (lane, sha256) = (Lane::Recordings, object.sha256.as_str());
        match &self.way {
            Way::Keys(with) => {
                let key = object_key(self.box_id.0, &source::digest(object)?);
                parts::end_abandoned(&self.store, &mut with.way(object, lane, &key)?, sha256, begun).await
            }
            Way::Signed(with) => parts::end_abandoned(&self.store, &mut with.way(object, lane)?, sha256, begun).await,
        }
    }
}

/// The last words of an error chain say most; all of it is too long for a page.
fn last_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text.chars().take(300).collect()
}
