//! The object store (S3 by object_store, its only user): puts one local file under its content-addressed key, with the
//! SHA-256 that the server verifies. Large files go in parts, so that memory stays bounded.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gtv_protocol::ObjectAccess;
use gtv_protocol::record::{object_key, object_prefix};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, Certificate, ClientOptions, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    RetryConfig,
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::error::SyncError;
use crate::base::ids::BoxId;
use crate::base::secret::Secret;
use crate::config::SyncConfig;
use crate::store::{Bucket, ObjectRef};

/// Files up to this size go in one request.
const PART: usize = 8 << 20;
/// A part takes a minute over 1 Mb/s: slower links need the time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The uploads' own back-off takes over after this.
const RETRY: Duration = Duration::from_secs(10);

/// Where objects go and with which right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
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
        Some(Self {
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            allow_http: s3.allow_http,
            buckets: Bucket::ALL.into_iter().map(name).collect(),
            access_key: s3.access_key.clone(),
            secret_key: s3.secret_key.clone(),
            session_token: None,
            key_prefix: object_prefix(box_id.0),
            vended: false,
        })
    }

    pub(super) fn from_centre(access: ObjectAccess) -> Self {
        Self {
            endpoint: access.endpoint,
            region: access.region,
            allow_http: access.allow_http,
            buckets: access.buckets,
            access_key: access.credentials.access_key,
            secret_key: Secret::new(access.credentials.secret_key),
            session_token: access.credentials.session_token.map(Secret::new),
            key_prefix: access.key_prefix,
            vended: true,
        }
    }
}

/// Clients for the buckets of one [`Access`].
pub(super) struct Objects {
    box_id: BoxId,
    access: Access,
    buckets: BTreeMap<Bucket, AmazonS3>,
}

impl Objects {
    /// `ca` is an extra certificate authority in PEM.
    pub(super) fn new(box_id: BoxId, access: Access, ca: Option<&[u8]>) -> Result<Self, SyncError> {
        let failed = |detail: String| SyncError::ObjectsAccess { detail };
        let mut buckets = BTreeMap::new();
        for bucket in Bucket::ALL {
            let Some(name) = access.buckets.get(bucket.as_str()) else {
                return Err(failed(format!("no bucket is named for `{}`", bucket.as_str())));
            };
            let mut options = ClientOptions::new()
                .with_allow_http(access.allow_http)
                .with_timeout(REQUEST_TIMEOUT)
                .with_connect_timeout(CONNECT_TIMEOUT);
            if let Some(pem) = ca {
                for certificate in Certificate::from_pem_bundle(pem).map_err(|e| failed(e.to_string()))? {
                    options = options.with_root_certificate(certificate);
                }
            }
            let retry = RetryConfig { max_retries: 2, retry_timeout: RETRY, ..RetryConfig::default() };
            let mut builder = AmazonS3Builder::new()
                .with_client_options(options)
                .with_allow_http(access.allow_http)
                .with_retry(retry)
                .with_endpoint(&access.endpoint)
                .with_region(&access.region)
                .with_bucket_name(name)
                .with_access_key_id(&access.access_key)
                .with_secret_access_key(access.secret_key.expose())
                .with_virtual_hosted_style_request(false)
                .with_checksum_algorithm(Checksum::SHA256);
            if let Some(token) = &access.session_token {
                builder = builder.with_token(token.expose());
            }
            buckets.insert(bucket, builder.build().map_err(|e| failed(e.to_string()))?);
        }
        Ok(Self { box_id, access, buckets })
    }

    /// Puts the file at `path` under the key of `object`. [`SyncError::ObjectLost`] where the file is not what the
    /// digest says: it can never be uploaded.
    pub(super) async fn put(&self, object: &ObjectRef, path: &Path) -> Result<(), SyncError> {
        let lost = |reason: String| SyncError::ObjectLost { sha256: object.sha256.clone(), reason };
        let Some(digest) = gtv_protocol::Hash::parse(&object.sha256) else {
            return Err(lost("its name is no SHA-256".to_owned()));
        };
        let key = object_key(self.box_id.0, &digest);
        if !key.starts_with(&self.access.key_prefix) {
            let detail = format!("the centre allows keys under `{}`, this box has `{key}`", self.access.key_prefix);
            return Err(SyncError::ObjectsAccess { detail });
        }
        let Some(bucket) = self.buckets.get(&object.bucket) else {
            return Err(SyncError::ObjectsAccess { detail: format!("no bucket for `{}`", object.bucket.as_str()) });
        };
        let mut file = match tokio::fs::File::open(path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(lost("its file is gone from the box".to_owned()));
            }
            Err(error) => return Err(lost(format!("its file cannot be read: {error}"))),
        };
        let key = Key::from(key);
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, object.content_type.clone().into());
        let mut sha = Sha256::new();
        let damaged = || lost("its file is damaged: the digest is another one".to_owned());
        if object.bytes <= PART as u64 {
            let bytes = read_part(&mut file).await.map_err(|e| lost(format!("its file cannot be read: {e}")))?;
            sha.update(&bytes);
            if bytes.len() as u64 != object.bytes || sha.finalize().as_slice() != digest.as_bytes() {
                return Err(damaged());
            }
            let options = PutOptions { attributes, ..PutOptions::default() };
            let put = bucket.put_opts(&key, PutPayload::from_bytes(bytes), options).await;
            return put.map(|_| ()).map_err(|e| self.failed(object.bucket, &e));
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let mut upload = bucket.put_multipart_opts(&key, options).await.map_err(|e| self.failed(object.bucket, &e))?;
        let mut length = 0;
        let sent = loop {
            let part = match read_part(&mut file).await {
                Ok(part) if part.is_empty() => break Ok(()),
                Ok(part) => part,
                Err(error) => break Err(lost(format!("its file cannot be read: {error}"))),
            };
            sha.update(&part);
            length += part.len() as u64;
            if let Err(error) = upload.put_part(PutPayload::from_bytes(part)).await {
                break Err(self.failed(object.bucket, &error));
            }
        };
        let whole = sent.and_then(|()| {
            if length == object.bytes && sha.finalize().as_slice() == digest.as_bytes() {
                Ok(())
            } else {
                Err(damaged())
            }
        });
        if let Err(error) = whole {
            // Parts of an unfinished upload cost space until they are aborted; the error above is what matters.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.complete().await.map(|_| ()).map_err(|e| self.failed(object.bucket, &e))
    }

    fn failed(&self, bucket: Bucket, error: &object_store::Error) -> SyncError {
        let endpoint = self.access.endpoint.clone();
        let bucket = self.access.buckets.get(bucket.as_str()).cloned().unwrap_or_default();
        match error {
            object_store::Error::NotFound { .. } => SyncError::NoBucket { endpoint, bucket },
            object_store::Error::PermissionDenied { source, .. }
            | object_store::Error::Unauthenticated { source, .. } => SyncError::ObjectsRefused {
                endpoint,
                bucket,
                detail: chain(source.as_ref()),
                vended: self.access.vended,
            },
            other => SyncError::ObjectsUnavailable { endpoint, detail: chain(other) },
        }
    }
}

/// The last words of an error chain say most; all of it is too long for a page.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text.chars().take(300).collect()
}

async fn read_part(file: &mut tokio::fs::File) -> std::io::Result<Bytes> {
    let mut part = Vec::new();
    file.take(PART as u64).read_to_end(&mut part).await?;
    Ok(part.into())
}
