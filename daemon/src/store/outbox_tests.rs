//! What the outbox takes, what must go from it, and what becomes of it then.

use serde_json::json;
use uuid::Uuid;

use super::tests::{SECOND, camera, open, passage};
use super::*;
use crate::base::ids::BoxId;
use crate::base::time::UtcMicros;

const BOX: BoxId = BoxId(Uuid::from_u128(7));

async fn kinds(store: &Store) -> Vec<String> {
    let batch = store.next_batch(BOX, 0, Pick::all(99, 1 << 20)).await.unwrap();
    batch.records.into_iter().map(|record| record.kind).collect()
}

#[tokio::test]
async fn what_a_camera_or_a_disk_says_never_keeps_a_record_from_being_queued() {
    let (store, _folder) = open();
    let words = format!("401 Unauthorized\r\n{}", "não ".repeat(400));
    let gate = camera("gate");
    let hour = (UtcMicros(0), UtcMicros(3600 * SECOND));
    assert_eq!(store.settle_coverage(&gate, Stream::Main, vec![hour], &words).await.unwrap(), 1);
    let row = passage("ABC1D23", 1000);
    store.insert_detection(row.clone()).await.unwrap();
    store.attach_clip(row.id, ClipOutcome::Unavailable(words.clone())).await.unwrap();
    let alert = AlertRow {
        id: Uuid::now_v7(),
        at: UtcMicros(1000),
        kind: "storage-failing".to_owned(),
        severity: Severity::Critical,
        camera: None,
        detection: None,
        title: words.clone(),
        detail: json!({ "reason": words }),
        acknowledged_at: None,
        acknowledged_by: None,
    };
    store.insert_alert(alert, None).await.unwrap();
    assert_eq!(kinds(&store).await, ["alert", "detection", "gap", "clip"]);
    let kept = store.gaps(&gate, Stream::Main, hour.0, hour.1).await.unwrap();
    assert_eq!(kept[0].reason, words, "the box itself keeps all of it");
}
