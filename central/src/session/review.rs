//! Pure. Can a record of a good chain become a typed row? If not it is quarantined: stored, acknowledged and named,
//! because a record the center cannot read must not block everything behind it.

use super::jsonb;
use crate::objects::BUCKETS;
use gtv_protocol::{Body, Hash, PublicKey, Record, auth, record};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// The body, or the reason for quarantine.
pub fn review(box_id: Uuid, key: &PublicKey, record: &Record) -> Result<Body, String> {
    if let Some(problem) = record.objects.iter().find_map(|object| misplaced(box_id, object)) {
        return Err(problem);
    }
    let body = Body::parse(&record.kind, &record.body).map_err(|e| e.to_string())?;
    // PostgreSQL's jsonb cannot hold it, in whatever field it is.
    if record.body.get().contains("\\u0000") {
        return Err("it contains a NUL character".to_owned());
    }
    let named: Vec<(&str, Hash)> = match &body {
        Body::Detection(b) => {
            if let Some(problem) = jsonb::problem(record.body.get()) {
                return Err(format!("PostgreSQL cannot hold it: {problem}"));
            }
            // PostgreSQL knows not all the ways to write one that there are.
            if Uuid::try_parse(&record.id).map(|id| id.to_string()).ok().as_deref() != Some(&record.id) {
                return Err("the id of a detection must be a UUID, in lower case and with hyphens".to_owned());
            }
            if let Some(number) = too_small(&record.body)? {
                return Err(format!("{number} is too small a number"));
            }
            if i32::try_from(b.frame_width.max(b.frame_height)).is_err() {
                return Err(format!("a frame of {} x {} pixels is none", b.frame_width, b.frame_height));
            }
            [("crop", b.crop), ("frame", b.frame)].into_iter().filter_map(|(n, h)| Some((n, h?))).collect()
        }
        Body::Clip(b) => b.object.map(|hash| ("object", hash)).into_iter().collect(),
        Body::Recording(b) => b.object.map(|hash| ("object", hash)).into_iter().collect(),
        Body::Proof(b) if !auth::verify_proof(key, box_id, b) => {
            return Err("the proof is not signed by the box's key".to_owned());
        }
        _ => Vec::new(),
    };
    match named.into_iter().find(|(_, hash)| record.objects.iter().all(|object| object.sha256 != *hash)) {
        Some((field, hash)) => Err(format!("{field} names {hash}, which is not among the record's objects")),
        None => Ok(body),
    }
}

/// The numbers of a passage that become `real` columns, as the box wrote them.
#[derive(Deserialize)]
struct Reals {
    confidence: f64,
    quad: [[f64; 2]; 4],
    bbox: [f64; 4],
}

/// One of them that is not zero, and would be as `real`, which PostgreSQL refuses.
fn too_small(body: &RawValue) -> Result<Option<f64>, String> {
    let Reals { confidence, quad, bbox } = serde_json::from_str(body.get()).map_err(|e| e.to_string())?;
    let all = std::iter::once(confidence).chain(quad.into_iter().flatten()).chain(bbox);
    Ok(all.into_iter().find(|number| *number != 0.0 && *number as f32 == 0.0))
}

/// Objects must lie in a bucket of ours under the box's own content-addressed key.
pub fn misplaced(box_id: Uuid, object: &gtv_protocol::ObjectRef) -> Option<String> {
    if !BUCKETS.contains(&object.bucket.as_str()) {
        return Some(format!("bucket {} is not one of {}", object.bucket, BUCKETS.join(", ")));
    }
    let key = record::object_key(box_id, &object.sha256);
    (object.key != key).then(|| format!("object key {} must be {key}", object.key))
}
