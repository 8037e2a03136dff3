//! Uploads with S3 keys: those of the configuration, or those that the centre vends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, RetryConfig,
};

use super::Keys;
use super::http::{self, Paced};
use super::parts::{self, Fault, Part};
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

    /// The way of one object.
    pub(super) fn way<'a>(&'a self, object: &'a ObjectRef, lane: Lane, key: &str) -> Result<Way<'a>, SyncError> {
        if !key.starts_with(&self.keys.key_prefix) {
            let detail = format!("the centre allows keys under `{}`, this box has `{key}`", self.keys.key_prefix);
            return Err(SyncError::ObjectsAccess { detail });
        }
        let Some(bucket) = self.buckets.get(&(object.bucket, lane as usize)) else {
            return Err(SyncError::ObjectsAccess { detail: format!("no bucket for `{}`", object.bucket.as_str()) });
        };
        Ok(Way { with: self, bucket, object, key: Key::from(key) })
    }

    fn bucket_name(&self, bucket: Bucket) -> String {
        self.keys.buckets.get(bucket.as_str()).cloned().unwrap_or_default()
    }

    fn failed(&self, bucket: Bucket, error: &object_store::Error) -> SyncError {
        let (endpoint, bucket) = (self.keys.endpoint.clone(), self.bucket_name(bucket));
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

/// One object on its way into its bucket.
pub(super) struct Way<'a> {
    with: &'a WithKeys,
    bucket: &'a AmazonS3,
    object: &'a ObjectRef,
    key: Key,
}

impl Way<'_> {
    /// In one request.
    pub(super) async fn put(&self, bytes: Bytes) -> Result<(), SyncError> {
        let options = PutOptions { attributes: self.attributes(), ..PutOptions::default() };
        let put = self.bucket.put_opts(&self.key, PutPayload::from_bytes(bytes), options).await;
        put.map(|_| ()).map_err(|e| self.failed(&e))
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, self.object.content_type.clone().into());
        attributes
    }

    fn failed(&self, error: &object_store::Error) -> SyncError {
        self.with.failed(self.object.bucket, error)
    }

    fn fault(&self, error: &object_store::Error) -> Fault {
        let text = error.to_string();
        if parts::is_unknown(&text) { Fault::Unknown(text) } else { Fault::Failed(self.failed(error)) }
    }
}

impl parts::Server for Way<'_> {
    fn place(&self) -> String {
        format!("keys {} {}", self.with.keys.endpoint, self.with.bucket_name(self.object.bucket))
    }

    async fn begin(&mut self, _parts: u32) -> Result<String, SyncError> {
        let options = PutMultipartOptions { attributes: self.attributes(), ..PutMultipartOptions::default() };
        self.bucket.create_multipart_opts(&self.key, options).await.map_err(|e| self.failed(&e))
    }

    /// The receipt has the part's SHA-256 too, where the server confirmed it.
    async fn send(&mut self, part: Part<'_>, bytes: Bytes) -> Result<String, Fault> {
        let (upload, payload) = (part.upload.to_owned(), PutPayload::from_bytes(bytes));
        let sent = self.bucket.put_part(&self.key, &upload, part.number as usize, payload).await;
        sent.map(|id| id.content_id).map_err(|e| self.fault(&e))
    }

    async fn complete(&mut self, upload: &str, receipts: Vec<String>) -> Result<(), Fault> {
        let parts = receipts.into_iter().map(|content_id| PartId { content_id }).collect();
        let Err(error) = self.bucket.complete_multipart(&self.key, &upload.to_owned(), parts).await else {
            return Ok(());
        };
        let fault = self.fault(&error);
        if !matches!(fault, Fault::Unknown(_)) {
            return Err(fault);
        }
        // The answer to an earlier request may have been lost. A key that may not look means one upload too many.
        match self.bucket.head(&self.key).await {
            Ok(found) if found.size == self.object.bytes => Ok(()),
            Ok(_)
            | Err(
                object_store::Error::NotFound { .. }
                | object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. },
            ) => Err(fault),
            Err(error) => Err(Fault::Failed(self.failed(&error))),
        }
    }

    async fn abort(&mut self, upload: &str) -> Result<(), SyncError> {
        match self.bucket.abort_multipart(&self.key, &upload.to_owned()).await {
            Err(error) if !parts::is_unknown(&error.to_string()) => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }
}
