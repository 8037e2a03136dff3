//! Uploads with S3 keys: those of the configuration, or those that the centre vends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::path::Path as Key;
use object_store::{Attribute, Attributes, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, RetryConfig};

use super::http::{self, Paced};
use super::source::Source;
use super::{Keys, PART};
use crate::store::{Bucket, Lane, ObjectRef};
use crate::sync::error::SyncError;
use crate::sync::pace::Pacer;

/// The uploads' own back-off takes over after this.
const RETRY: Duration = Duration::from_secs(10);

/// A client a bucket and lane; they share their connections.
pub(super) struct WithKeys {
    keys: Keys,
    buckets: BTreeMap<(Bucket, usize), AmazonS3>,
}

impl WithKeys {
    pub(super) fn new(keys: Keys, ca: Option<&[u8]>, pacer: &Arc<Pacer>) -> Result<Self, SyncError> {
        let failed = |detail: String| SyncError::ObjectsAccess { detail };
        let client = http::client(ca, keys.allow_http)?;
        let mut buckets = BTreeMap::new();
        for (bucket, lane) in Bucket::ALL.into_iter().flat_map(|bucket| Lane::ALL.map(|lane| (bucket, lane))) {
            let Some(name) = keys.buckets.get(bucket.as_str()) else {
                return Err(failed(format!("no bucket is named for `{}`", bucket.as_str())));
            };
            let retry = RetryConfig { max_retries: 2, retry_timeout: RETRY, ..RetryConfig::default() };
            let mut builder = AmazonS3Builder::new()
                .with_http_connector(Paced { client: client.clone(), pacer: pacer.clone(), lane })
                .with_allow_http(keys.allow_http)
                .with_retry(retry)
                .with_endpoint(&keys.endpoint)
                .with_region(&keys.region)
                .with_bucket_name(name)
                .with_access_key_id(&keys.access_key)
                .with_secret_access_key(keys.secret_key.expose())
                .with_virtual_hosted_style_request(false)
                .with_checksum_algorithm(Checksum::SHA256);
            if let Some(token) = &keys.session_token {
                builder = builder.with_token(token.expose());
            }
            buckets.insert((bucket, lane as usize), builder.build().map_err(|e| failed(e.to_string()))?);
        }
        Ok(Self { keys, buckets })
    }

    pub(super) async fn put(
        &self,
        object: &ObjectRef,
        lane: Lane,
        key: &str,
        mut source: Source,
    ) -> Result<(), SyncError> {
        if !key.starts_with(&self.keys.key_prefix) {
            let detail = format!("the centre allows keys under `{}`, this box has `{key}`", self.keys.key_prefix);
            return Err(SyncError::ObjectsAccess { detail });
        }
        let Some(bucket) = self.buckets.get(&(object.bucket, lane as usize)) else {
            return Err(SyncError::ObjectsAccess { detail: format!("no bucket for `{}`", object.bucket.as_str()) });
        };
        let failed = |e: &object_store::Error| self.failed(object.bucket, e);
        let key = Key::from(key);
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, object.content_type.clone().into());
        if object.bytes <= PART as u64 {
            let bytes = source.whole().await?;
            let options = PutOptions { attributes, ..PutOptions::default() };
            let put = bucket.put_opts(&key, PutPayload::from_bytes(bytes), options).await;
            return put.map(|_| ()).map_err(|e| failed(&e));
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let mut upload = bucket.put_multipart_opts(&key, options).await.map_err(|e| failed(&e))?;
        let sent = async {
            while let Some(part) = source.next().await? {
                upload.put_part(PutPayload::from_bytes(part)).await.map_err(|e| failed(&e))?;
            }
            source.verify()
        };
        if let Err(error) = sent.await {
            // Parts of an unfinished upload cost space until they are aborted; the error above is what matters.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.complete().await.map(|_| ()).map_err(|e| failed(&e))
    }

    fn failed(&self, bucket: Bucket, error: &object_store::Error) -> SyncError {
        let endpoint = self.keys.endpoint.clone();
        let bucket = self.keys.buckets.get(bucket.as_str()).cloned().unwrap_or_default();
        match error {
            object_store::Error::NotFound { .. } => SyncError::NoBucket { endpoint, bucket },
            object_store::Error::PermissionDenied { source, .. }
            | object_store::Error::Unauthenticated { source, .. } => SyncError::ObjectsRefused {
                endpoint,
                bucket,
                detail: super::last_words(source.as_ref()),
                vended: self.keys.vended,
            },
            other => SyncError::ObjectsUnavailable { endpoint, detail: super::last_words(other) },
        }
    }
}
