//! The S3 side: the four buckets, checks of objects, provisioning, access for the boxes. The only place that speaks S3.

pub mod check;
pub mod provision;
pub mod sign;
pub mod sts;

use crate::settings::S3Args;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, ObjectStoreExt, RetryConfig};
use std::collections::BTreeMap;
use std::time::Duration;

/// Logical names; the real ones have the prefix of the settings.
pub const BUCKETS: [&str; 4] = ["recordings", "snapshots", "lpr-images", "exports"];

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole request with its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait of a check for an answer and for the next bytes, with connecting and trying again: a box waits; and of the
/// audit, where nobody does.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const AUDIT_SILENCE_MAX: Duration = Duration::from_secs(60);
/// The box sends again by itself, so a dead store is reported soon.
const RETRY_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    #[error("S3 settings for bucket {bucket}: {problem}; check --s3-endpoint, --s3-region and the keys")]
    Settings { bucket: String, problem: String },
    #[error("S3 at {endpoint}: {problem}; check that it runs and that --s3-endpoint reaches it")]
    Down { endpoint: String, problem: String },
    #[error("bucket {bucket}: {problem}; create it or give the key the right to")]
    Bucket { bucket: String, problem: String },
}

/// The buckets, each with its own client; cheap to share by reference.
pub struct Objects {
    stores: BTreeMap<&'static str, AmazonS3>,
    settings: S3Args,
    silence_max: Duration,
}

impl Objects {
    /// Prepares the clients; nothing is connected yet.
    pub fn new(settings: &S3Args) -> Result<Self, ObjectsError> {
        Self::with(settings, client_options(settings), SILENCE_MAX)
    }

    /// The same for reading objects of any size: a request may last as long as something comes.
    pub fn patient(settings: &S3Args) -> Result<Self, ObjectsError> {
        let options = client_options(settings).with_timeout_disabled().with_read_timeout(AUDIT_SILENCE_MAX);
        Self::with(settings, options, AUDIT_SILENCE_MAX)
    }

    fn with(settings: &S3Args, options: ClientOptions, silence_max: Duration) -> Result<Self, ObjectsError> {
        let mut stores = BTreeMap::new();
        for bucket in BUCKETS {
            let retry = RetryConfig { max_retries: 2, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
            let store = AmazonS3Builder::new()
                .with_endpoint(&settings.s3_endpoint)
                .with_region(&settings.s3_region)
                .with_bucket_name(format!("{}{bucket}", settings.bucket_prefix))
                .with_access_key_id(&settings.s3_access_key)
                .with_secret_access_key(&settings.s3_secret_key)
                .with_virtual_hosted_style_request(false)
                .with_client_options(options.clone())
                .with_retry(retry)
                .build()
                .map_err(|e| ObjectsError::Settings { bucket: bucket.to_owned(), problem: e.to_string() })?;
            stores.insert(bucket, store);
        }
        Ok(Self { stores, settings: settings.clone(), silence_max })
    }

    fn store(&self, bucket: &str) -> Option<&AmazonS3> {
        self.stores.get(bucket)
    }

    /// Logical name -> real bucket.
    pub fn bucket_names(&self) -> BTreeMap<String, String> {
        let prefix = &self.settings.bucket_prefix;
        BUCKETS.iter().map(|bucket| ((*bucket).to_owned(), format!("{prefix}{bucket}"))).collect()
    }

    /// A link that fetches an object without credentials for some time; `bucket` is the logical name.
    pub async fn link(&self, bucket: &str, key: &str, valid_for: Duration) -> Result<String, ObjectsError> {
        let settings = |problem: String| ObjectsError::Settings { bucket: bucket.to_owned(), problem };
        let store = self.store(bucket).ok_or_else(|| settings("there is no such bucket".to_owned()))?;
        let path = Path::parse(key).map_err(|e| settings(e.to_string()))?;
        let url = store.signed_url(http::Method::GET, &path, valid_for).await.map_err(|e| self.down(&e))?;
        Ok(url.to_string())
    }

    /// One request, for what `/readyz` says: any answer about a key that does not exist will do.
    pub async fn ping(&self) -> Result<(), ObjectsError> {
        let Some(store) = self.store(BUCKETS[0]) else { return Ok(()) };
        match store.head(&Path::from("gtv-sync/readiness-probe")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.down(&e)),
        }
    }

    fn down(&self, error: &dyn std::error::Error) -> ObjectsError {
        ObjectsError::Down { endpoint: self.settings.s3_endpoint.clone(), problem: error.to_string() }
    }
}

fn client_options(settings: &S3Args) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(settings.s3_allow_http)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT)
}
