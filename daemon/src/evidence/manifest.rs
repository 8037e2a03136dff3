//! The manifest of an exported file: what it holds, who took it out and why, and the signatures of the box over it.
//! The signature is over the exact text in `manifest`, so any Ed25519 tool can check it. A second one is over the
//! digest of each field: when the first does not fit, it tells which fields were altered.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::EvidenceError;
use crate::base::box_clock;
use crate::base::clocks::Clocks;
use crate::base::identity::Identity;

pub const FORMAT: &str = "gtv-evidence-v1";
/// Parts the signatures from those over other things with the same key.
const DOMAIN: &[u8] = b"gtv-evidence-v1\0";
const FIELDS_DOMAIN: &[u8] = b"gtv-evidence-fields-v1\0";

/// What an exported file holds. Times are UTC microseconds by the clock of the box. Fields with a default came later.
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
    /// User of the page, or of the console.
    #[serde(default)]
    pub exported_by: String,
    #[serde(default)]
    pub reason: String,
    /// What was known of the clocks when this was exported.
    #[serde(default)]
    pub clock: Option<Clock>,
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
    /// The decoder settings, which the file begins with.
    #[serde(default)]
    pub head: Option<Head>,
    /// The recorded pieces in the order in which they are in the file.
    pub fragments: Vec<FragmentDigest>,
    /// The files of the box that they were taken from.
    #[serde(default)]
    pub segments: Vec<SegmentDigest>,
    /// Known holes inside the span.
    pub gaps: Vec<Gap>,
    pub detections: Vec<Plate>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub bytes: u64,
    pub sha256: String,
}

/// Which clock dates the recordings, and how far the camera's was from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// `box`, or `camera` where its offset is added.
    pub dated_by: String,
    /// Whether the box followed a time server; absent where the system does not say.
    pub box_synchronized: Option<bool>,
    /// The camera's clock minus that of the box; absent where it was not measured.
    pub camera_offset_ms: Option<f64>,
}

impl Clock {
    /// As it is now.
    pub fn now(dated_by: &str, camera_offset_ms: Option<f64>) -> Self {
        let box_synchronized = box_clock::read().map(|clock| clock.synchronized);
        Self { dated_by: dated_by.to_owned(), box_synchronized, camera_offset_ms }
    }
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

/// One file of the box. Its digest was made while it was written, and is known to the centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentDigest {
    pub path: String,
    pub start_us: i64,
    pub end_us: i64,
    pub bytes: u64,
    /// Absent while the file was still being written.
    pub sha256: Option<String>,
    /// What each clock said at its first frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Clocks>,
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
    /// Of each field of the manifest: SHA-256 of its JSON text without spaces.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Over `"gtv-evidence-fields-v1\0"` and a line `name sha256` for each field in their order, hexadecimal.
    #[serde(default)]
    pub fields_signature: String,
}

/// What the signatures say about a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// The fields are as the box signed them: it is the signature that was altered.
    SignatureAltered,
    /// These fields are not as the box signed them.
    FieldsAltered(Vec<String>),
    /// Nothing fits the key.
    Unsigned,
}

impl Signed {
    pub fn new(manifest: &Manifest, identity: &Identity) -> Result<Self, EvidenceError> {
        let manifest = serde_json::to_string(manifest)?;
        let fields = digests(&manifest).unwrap_or_default();
        Ok(Self {
            signature: hex::encode(identity.sign(&[DOMAIN, manifest.as_bytes()].concat())),
            fields_signature: hex::encode(identity.sign(&fields_payload(&fields))),
            manifest,
            public_key: hex::encode(identity.public_key().to_bytes()),
            fields,
        })
    }

    /// Whether `public_key` (hexadecimal) signed this, and what was altered where it did not.
    pub fn standing(&self, public_key: &str) -> Standing {
        let fits = |signature: &str, payload: &[u8]| fits(public_key, signature, payload).is_some();
        if fits(&self.signature, &[DOMAIN, self.manifest.as_bytes()].concat()) {
            return Standing::Good;
        }
        if !fits(&self.fields_signature, &fields_payload(&self.fields)) {
            return Standing::Unsigned;
        }
        let Some(now) = digests(&self.manifest) else {
            return Standing::FieldsAltered(vec!["the text, which is no JSON any more".to_owned()]);
        };
        let names: std::collections::BTreeSet<&String> = now.keys().chain(self.fields.keys()).collect();
        let altered: Vec<String> =
            names.into_iter().filter(|name| now.get(*name) != self.fields.get(*name)).cloned().collect();
        if altered.is_empty() { Standing::SignatureAltered } else { Standing::FieldsAltered(altered) }
    }
}

/// Some where the signature is good.
fn fits(public_key: &str, signature: &str, payload: &[u8]) -> Option<()> {
    let key: [u8; 32] = hex::decode(public_key).ok()?.try_into().ok()?;
    let signature: [u8; 64] = hex::decode(signature).ok()?.try_into().ok()?;
    VerifyingKey::from_bytes(&key).ok()?.verify_strict(payload, &Signature::from_bytes(&signature)).ok()
}

fn digests(manifest: &str) -> Option<BTreeMap<String, String>> {
    // Raw values: numbers must enter as they were written.
    let fields: BTreeMap<String, &serde_json::value::RawValue> = serde_json::from_str(manifest).ok()?;
    Some(fields.into_iter().map(|(name, value)| (name, hex::encode(Sha256::digest(value.get())))).collect())
}

fn fields_payload(fields: &BTreeMap<String, String>) -> Vec<u8> {
    let lines = fields.iter().flat_map(|(name, sha256)| [name.as_str(), " ", sha256, "\n"]).collect::<String>();
    [FIELDS_DOMAIN, lines.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(identity: &Identity) -> Signed {
        let manifest = Manifest {
            format: FORMAT.into(),
            software: "gtv-edge".into(),
            box_id: "box".into(),
            camera: "gate".into(),
            stream: "main".into(),
            asked_from_us: 0,
            asked_to_us: 9,
            start_us: 0,
            end_us: 9,
            exported_at_us: 10,
            exported_by: "ana".into(),
            reason: "case 7".into(),
            clock: Some(Clock { camera_offset_ms: Some(0.1), ..Clock::default() }),
            file: "gate.mp4".into(),
            bytes: 1,
            sha256: "00".into(),
            head: None,
            fragments: Vec::new(),
            segments: Vec::new(),
            gaps: Vec::new(),
            detections: Vec::new(),
        };
        Signed::new(&manifest, identity).unwrap()
    }

    #[test]
    fn signatures_name_what_was_altered() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::open_or_create(folder.path()).unwrap();
        let good = signed(&identity);
        let key = good.public_key.clone();
        assert_eq!(good.standing(&key), Standing::Good);
        assert_eq!(good.standing(&"00".repeat(32)), Standing::Unsigned);
        let camera = Signed { manifest: good.manifest.replace("gate", "yard"), ..good.clone() };
        let fields = |names: &[&str]| Standing::FieldsAltered(names.iter().map(ToString::to_string).collect());
        assert_eq!(camera.standing(&key), fields(&["camera", "file"]));
        let added = Signed { manifest: good.manifest.replacen('{', "{\"note\":1,", 1), ..good.clone() };
        assert_eq!(added.standing(&key), fields(&["note"]));
        let broken = Signed { manifest: good.manifest.replacen('{', "", 1), ..good.clone() };
        assert!(matches!(broken.standing(&key), Standing::FieldsAltered(_)));
        let flipped = if good.signature.starts_with('0') { "1" } else { "0" };
        let signature = Signed { signature: format!("{flipped}{}", &good.signature[1..]), ..good.clone() };
        assert_eq!(signature.standing(&key), Standing::SignatureAltered);
        let old = Signed { fields: BTreeMap::new(), fields_signature: String::new(), ..good };
        assert_eq!(old.standing(&key), Standing::Good, "exports of the first version have no fields");
    }
}
