//! The manifest of an export: what the file holds, its digest, and the signature of the box over both (invariant T4).
//! The signature is over the exact text in `manifest`, so any Ed25519 tool can check it; `docs/sync.md` shows how.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::identity::Identity;

pub const FORMAT: &str = "gtv-evidence-v1";
/// Parts the signature from those over other things with the same key.
const DOMAIN: &[u8] = b"gtv-evidence-v1\0";

/// What an exported file holds. Times are UTC microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub software: String,
    pub box_id: String,
    pub camera: String,
    pub stream: String,
    pub asked_from_us: i64,
    pub asked_to_us: i64,
    /// What the file shows, in whole fragments.
    pub start_us: i64,
    pub end_us: i64,
    pub exported_at_us: i64,
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
    /// The recorded pieces in the order in which they are in the file.
    pub fragments: Vec<FragmentDigest>,
    /// Known holes inside the span.
    pub gaps: Vec<Gap>,
    pub detections: Vec<Plate>,
}

/// One recorded piece and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentDigest {
    pub segment: String,
    pub offset: u64,
    pub bytes: u64,
    pub start_us: i64,
    pub duration_us: i64,
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub start_us: i64,
    pub end_us: i64,
    pub reason: String,
}

/// A plate that was read in the span.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Plate {
    pub id: String,
    pub plate: String,
    pub confidence: f64,
    pub best_at_us: i64,
    pub crop_sha256: Option<String>,
}

impl std::fmt::Debug for Plate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plate").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The file beside an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// JSON text of a [`Manifest`].
    pub manifest: String,
    /// Ed25519, hexadecimal.
    pub public_key: String,
    /// Over `"gtv-evidence-v1\0"` and `manifest`, hexadecimal.
    pub signature: String,
}

impl Signed {
    pub fn new(manifest: &Manifest, identity: &Identity) -> anyhow::Result<Self> {
        let manifest = serde_json::to_string(manifest)?;
        let signature = hex::encode(identity.sign(&payload(&manifest)));
        Ok(Self { manifest, public_key: hex::encode(identity.public_key().to_bytes()), signature })
    }

    /// The manifest, if the signature is good.
    pub fn open(&self) -> anyhow::Result<Manifest> {
        let bytes = |field: &str, text: &str| hex::decode(text).with_context(|| format!("{field} is not hexadecimal"));
        let key: [u8; 32] = bytes("public_key", &self.public_key)?
            .try_into()
            .map_err(|_| anyhow::anyhow!("public_key does not have 32 bytes"))?;
        let signature: [u8; 64] = bytes("signature", &self.signature)?
            .try_into()
            .map_err(|_| anyhow::anyhow!("signature does not have 64 bytes"))?;
        let key = VerifyingKey::from_bytes(&key).context("public_key is no Ed25519 key")?;
        if key.verify_strict(&payload(&self.manifest), &Signature::from_bytes(&signature)).is_err() {
            bail!("the signature does not fit: the manifest was altered, or another key signed it");
        }
        let manifest: Manifest = serde_json::from_str(&self.manifest).context("the manifest is not readable")?;
        if manifest.format != FORMAT {
            bail!("the manifest has format {}, this program knows {FORMAT}", manifest.format);
        }
        Ok(manifest)
    }
}

/// Where the manifest of a file is.
pub fn manifest_path(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(".manifest.json");
    file.with_file_name(name)
}

/// Size and SHA-256 of a file.
pub fn digest(path: &Path) -> anyhow::Result<(u64, String)> {
    let mut file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("read {}", path.display()))?;
        if read == 0 {
            return Ok((bytes, hex::encode(sha.finalize())));
        }
        bytes += read as u64;
        sha.update(&buffer[..read]);
    }
}

fn payload(manifest: &str) -> Vec<u8> {
    [DOMAIN, manifest.as_bytes()].concat()
}
