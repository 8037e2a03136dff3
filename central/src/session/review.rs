//! Pure. Can a record of a good chain become a typed row? If not it is quarantined: stored, acknowledged and named,
//! because a record the center cannot read must not block everything behind it.

use crate::objects::BUCKETS;
use gtv_protocol::{Body, Hash, Record, record};
use uuid::Uuid;

/// The reason for quarantine, or `None`.
pub fn review(box_id: Uuid, record: &Record) -> Option<String> {
    if let Some(problem) = record.objects.iter().find_map(|object| misplaced(box_id, object)) {
        return Some(problem);
    }
    let body = match Body::parse(&record.kind, &record.body) {
        Ok(body) => body,
        Err(e) => return Some(e.to_string()),
    };
    let named: Vec<(&str, Hash)> = match &body {
        Body::Detection(b) => {
            if Uuid::try_parse(&record.id).is_err() {
                return Some("the id of a detection must be a UUID".to_owned());
            }
            [("crop", b.crop), ("frame", b.frame)].into_iter().filter_map(|(n, h)| Some((n, h?))).collect()
        }
        Body::Clip(b) => b.object.map(|hash| ("object", hash)).into_iter().collect(),
        Body::Recording(b) => b.object.map(|hash| ("object", hash)).into_iter().collect(),
        _ => Vec::new(),
    };
    named
        .into_iter()
        .find(|(_, hash)| record.objects.iter().all(|object| object.sha256 != *hash))
        .map(|(field, hash)| format!("{field} names {hash}, which is not among the record's objects"))
}

/// Objects must lie in a bucket of ours under the box's own content-addressed key.
pub fn misplaced(box_id: Uuid, object: &gtv_protocol::ObjectRef) -> Option<String> {
    if !BUCKETS.contains(&object.bucket.as_str()) {
        return Some(format!("bucket {} is not one of {}", object.bucket, BUCKETS.join(", ")));
    }
    let key = record::object_key(box_id, &object.sha256);
    (object.key != key).then(|| format!("object key {} must be {key}", object.key))
}
