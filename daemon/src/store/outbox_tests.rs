//! What the outbox takes, what must go from it, and what becomes of it then.

use serde_json::json;
use uuid::Uuid;

use super::tests::{SECOND, camera, open, passage, record};
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

/// A row as an older release may have left it: named too large an object.
async fn put_oversize(store: &Store) {
    store
        .write("test", |tx| {
            tx.execute_batch(&format!(
                r#"INSERT INTO objects (sha256, bytes, content_type, bucket, created_at, uploaded_at)
                    VALUES ('{0}', 8589934593, 'video/mp4', 'recordings', 1, 2);
                 INSERT INTO outbox (lane, whole, kind, thing, objects, body, created_at) VALUES (2, 1, 'clip', 'gate/main/1',
                    '[{{"sha256":"{0}","bytes":8589934593,"content_type":"video/mp4","bucket":"recordings"}}]',
                    '{{"camera":"gate","stream":"main","start_us":1,"end_us":2,"object":"{0}"}}', 7)"#,
                "a".repeat(64)
            ))?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_sent_goes_and_holds_up_nothing() {
    let (store, _folder) = open();
    put_oversize(&store).await;
    let last = record(&store, 100, 5, true).await;
    let epoch = store.outbox_status(BOX).await.unwrap().last.epoch;
    assert_eq!(kinds(&store).await, ["recording"]);
    let batch = store.next_batch(BOX, 1, Pick::all(9, 1 << 20)).await.unwrap();
    let tombstone = batch.records[0].body.get();
    assert!(tombstone.contains("1 record went") && tombstone.contains("8589934593"), "{tombstone}");
    assert!(tombstone.contains("\"start_us\":7,\"end_us\":7"), "{tombstone}");
    let status = store.outbox_status(BOX).await.unwrap();
    assert_eq!((status.last.epoch, status.waiting.iter().sum::<u64>()), (epoch, 0));
    let evicted = "SELECT sum(evicted) FROM outbox_hours";
    let evicted: i64 = store.read("test", move |c| Ok(c.query_one(evicted, [], |row| row.get(0))?)).await.unwrap();
    assert_eq!(evicted, 1);

    // A file that is too large for one object is not queued in the first place.
    let grow = "UPDATE segments SET bytes = 8589934593 WHERE id = ?1";
    store.write("test", move |tx| Ok(tx.execute(grow, [last])?)).await.unwrap();
    record(&store, 200, 6, true).await;
    let (gate, all) = (camera("gate"), (UtcMicros(0), UtcMicros(i64::MAX)));
    assert_eq!(store.request_recordings(&gate, all.0, all.1).await.unwrap().recordings, 1);
}

#[tokio::test]
async fn what_had_to_go_is_queued_again_only_for_a_person() {
    let (store, _folder) = open();
    for number in 0..5 {
        record(&store, 100 * number, 2 + number, true).await;
    }
    let (gate, all) = (camera("gate"), (UtcMicros(0), UtcMicros(i64::MAX)));
    let rule = async || store.follow_recordings(&gate, all.0, all.1).await.unwrap().recordings;
    assert_eq!(rule().await, 5);
    let uploaded = store.objects_to_upload(9, Pick::all(9, 9)).await.unwrap()[0].object.sha256.clone();
    store.mark_uploaded(&uploaded).await.unwrap();
    assert_eq!(store.bound_outbox(5).await.unwrap(), 5, "all of them: five entries of the ledger stay");
    assert_eq!(rule().await, 0, "they would only have to go again");
    record(&store, 900, 9, true).await;
    assert_eq!(rule().await, 1, "what came since goes");
    assert_eq!(store.request_recordings(&gate, all.0, all.1).await.unwrap().recordings, 5);
    let waiting = store.outbox_status(BOX).await.unwrap();
    assert_eq!((waiting.waiting[3], waiting.blocked), (6, 5), "one is up already");
    let told = kinds(&store).await;
    let count = |kind: &str| told.iter().filter(|told| *told == kind).count();
    assert_eq!((count("tombstone"), count("clip"), count("recording")), (1, 1, 6));
}

#[tokio::test]
async fn a_recording_with_the_bytes_of_another_still_goes() {
    let (store, _folder) = open();
    record(&store, 100, 5, true).await;
    record(&store, 200, 5, true).await;
    let (gate, first) = (camera("gate"), UtcMicros(150 * SECOND));
    let ask = async |to| store.request_recordings(&gate, UtcMicros(0), to).await.unwrap().recordings;
    assert_eq!(ask(first).await, 1);
    let upload = store.objects_to_upload(9, Pick::all(9, 9)).await.unwrap()[0].object.clone();
    store.mark_uploaded(&upload.sha256).await.unwrap();
    let sent = store.next_batch(BOX, 0, Pick::all(9, 1 << 20)).await.unwrap().records;
    let last = sent.last().unwrap();
    assert_eq!(last.kind, "clip");
    store.ack(BOX, last.epoch, last.seq).await.unwrap();
    let delivered = store.segments_oldest(None, None, 9).await.unwrap();
    assert_eq!(delivered.iter().map(|segment| segment.synced).collect::<Vec<_>>(), [true, false]);
    assert_eq!(ask(UtcMicros(i64::MAX)).await, 1, "the centre has its bytes and no record of it");
}

/// One transaction is bounded: beyond it the recorder's commits, and the watchdog, would wait.
#[tokio::test]
async fn millions_that_wait_cost_a_new_epoch_nothing_and_go_in_steps() {
    let (store, _folder) = open();
    store.insert_detection(passage("ABC1D23", 1000)).await.unwrap();
    let sent = store.next_batch(BOX, 0, Pick::all(9, 1 << 20)).await.unwrap().records;
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
        INSERT INTO outbox (lane, kind, thing, objects, body, created_at)
        SELECT 2, 'gap', 'gate/main/' || i, '[]', '{}', i FROM n";
    store.write("test", move |tx| Ok(tx.execute(many, [])?)).await.unwrap();
    // Whatever touches a row that waits fails.
    let guard = "CREATE TEMP TRIGGER untouched BEFORE UPDATE ON outbox WHEN old.seq IS NULL
        BEGIN SELECT raise(ABORT, 'a waiting record was touched'); END";
    store.write("test", move |tx| Ok(tx.execute_batch(guard)?)).await.unwrap();
    store.begin_epoch(BOX, sent[0].epoch + 1, false).await.unwrap();
    store.write("test", |tx| Ok(tx.execute_batch("DROP TRIGGER untouched")?)).await.unwrap();
    assert_eq!(store.outbox_status(BOX).await.unwrap().waiting, [0, 1, 30_000, 0]);

    assert_eq!(store.bound_outbox(1000).await.unwrap(), 29_001 + 10 + 1, "with the first tombstone in the second step");
    let left = store.outbox_status(BOX).await.unwrap().waiting;
    assert_eq!(left, [0, 1, 990, 0], "two tombstones among them");
    let oldest = "SELECT min(created_at), sum(kind = 'tombstone') FROM outbox WHERE lane = 2";
    let kept = store.read("test", move |c| Ok(c.query_one(oldest, [], |row| Ok((row.get(0)?, row.get(1)?)))?));
    assert_eq!(kept.await.unwrap(), (29_013_i64, 2_i64), "the oldest went");
}
