//! `[sync]`: delivery to the centre. Off while `url` is empty.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::base::secret::Secret;

/// `[sync]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncConfig {
    /// `wss://host/sync/v1`; `ws://` is for a loopback address only. Empty: nothing is sent.
    pub url: String,
    /// One-time code that enrols this box at a centre that asks for one.
    pub enrol_code: Secret,
    /// Extra certificate authority (PEM) of the centre.
    pub ca_file: Option<PathBuf>,
    /// Records a batch at most.
    pub batch_records: usize,
    /// Object store; absent: the centre vends access.
    pub s3: Option<S3Config>,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self { url: String::new(), enrol_code: Secret::default(), ca_file: None, batch_records: 500, s3: None }
    }
}

/// `[sync.s3]`: static access to the object store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct S3Config {
    pub endpoint: String,
    pub region: String,
    /// Put before the bucket names `recordings`, `snapshots`, `lpr-images`, `exports`.
    pub bucket_prefix: String,
    pub access_key: String,
    pub secret_key: Secret,
    /// Allows `http://`, for an object store on the same host.
    pub allow_http: bool,
}
