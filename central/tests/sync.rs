//! gtv-sync with a real PostgreSQL and a real S3: what is committed, what is refused, and by which name.

mod client;
#[path = "sync/session.rs"]
mod session;
mod support;

use client::{EPOCH, FakeBox, Uplink, detection, upload};
use gtv_protocol::{
    Ack, Body, Draft, Message, PlateText, RefusalCode, RejectCode, UnavailableObject, body, hex_bytes::HexBytes,
};
use serde_json::value::RawValue;
use std::time::Duration;
use support::{Center, Garage, Postgres};
use tokio_postgres::{Client, NoTls};

struct Stage {
    postgres: Postgres,
    garage: Garage,
    center: Center,
}

impl Stage {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(environment: &[(&str, &str)]) -> Self {
        let postgres = Postgres::start_new();
        let garage = Garage::start_empty();
        let center = Center::start_with(&postgres, &garage, environment);
        Self { postgres, garage, center }
    }

    async fn dial(&self, fake: &FakeBox) -> Uplink {
        Uplink::dial(&self.center.url(), fake).await.unwrap()
    }

    async fn sql(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn count(&self, what: &str) -> i64 {
        self.sql().await.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
    }

    async fn incidents(&self) -> Vec<String> {
        let rows = self.sql().await.query("SELECT name FROM sync.incidents ORDER BY first_at", &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn every_kind_of_record_arrives_in_its_table() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    let (crop, clip) = (fake.object("lpr-images", b"a crop"), fake.object("recordings", b"a clip"));
    upload(&stage.garage, &crop, b"a crop").await;
    upload(&stage.garage, &clip, b"a clip").await;

    let camera = body::Camera {
        name: "Portão 1".into(),
        enabled: true,
        removed: false,
        manufacturer: Some("ACME".into()),
        model: None,
        latitude: Some(-23.55),
        longitude: Some(-46.63),
    };
    fake.append(&Body::Camera(camera.clone()), "gate-1", vec![]);
    fake.append(&Body::Camera(body::Camera { name: "Portão principal".into(), ..camera }), "gate-1", vec![]);
    let detection_id = fake.detect("ABC1C34", Some(&crop));
    let (camera, stream) = ("gate-1".to_owned(), "main".to_owned());
    let (start_us, end_us) = (EPOCH - 5_000_000, EPOCH + 5_000_000);
    fake.append(
        &Body::Clip(body::Clip {
            detection: Some(detection_id),
            camera: camera.clone(),
            stream: stream.clone(),
            start_us,
            end_us,
            object: Some(clip.sha256),
            mime: Some("video/mp4".into()),
            unavailable: None,
        }),
        "clip-1",
        vec![clip.clone()],
    );
    let reason = "camera unreachable".to_owned();
    let gap = body::Gap { camera: camera.clone(), stream: stream.clone(), start_us, end_us, reason: reason.clone() };
    fake.append(&Body::Gap(gap), "gap-1", vec![]);
    let coverage = body::Coverage {
        camera: camera.clone(),
        stream: stream.clone(),
        start_us: EPOCH,
        end_us: EPOCH + 3_600_000_000,
        expected_us: 3_600_000_000,
        stored_us: 3_590_000_000,
    };
    fake.append(&Body::Coverage(coverage), "coverage-1", vec![]);
    let tombstone = body::Tombstone {
        what: "segment".into(),
        camera: Some(camera.clone()),
        stream: Some(stream.clone()),
        start_us: Some(start_us),
        end_us: Some(end_us),
        bytes: 12,
        sha256: None,
        reason,
    };
    fake.append(&Body::Tombstone(tombstone), "tomb-1", vec![]);
    let alert = body::Alert {
        rule: "watchlist".into(),
        severity: "critical".into(),
        camera: Some(camera.clone()),
        detection: Some(detection_id),
        plate: Some(PlateText("ABC1C34".into())),
        message: "stolen vehicle".into(),
        reason: None,
        raised_at_us: EPOCH,
    };
    fake.append(&Body::Alert(alert), "alert-1", vec![]);
    let recording = body::Recording {
        camera,
        stream,
        start_us,
        end_us,
        bytes: 1 << 20,
        frames: 150,
        sha256: HexBytes([7; 32]),
        mime: Some("video/mp4".into()),
        object: None,
    };
    fake.append(&Body::Recording(recording), "segment-1", vec![]);
    let status = body::BoxStatus {
        software: "gtv-edge 0.1.0".into(),
        uptime_s: 60,
        cameras: 1,
        cameras_streaming: 1,
        recorded_bytes: 1,
        disk_free_bytes: 2,
        pending_records: 3,
        drops: [("replaced".to_owned(), 4)].into(),
        ..body::BoxStatus::default()
    };
    fake.append(&Body::BoxStatus(status), "status", vec![]);

    let mut uplink = stage.dial(&fake).await;
    assert_eq!(uplink.welcome.resume_after, None);
    uplink.deliver(&fake).await;

    let sql = stage.sql().await;
    let row = sql
        .query_one(
            "SELECT d.plate, d.crop_key, d.crop_sha256, (extract(epoch FROM d.last_seen) * 1000000)::bigint, c.key,
                    jsonb_array_length(d.alternatives)::bigint,
                    m.name, p.slug, b.status->>'pending_records', d.tableoid::regclass::text, d.category
             FROM ai.detections d
             JOIN streaming.clips c ON c.detection_id = d.id
             JOIN cidades.cameras m ON m.box_id = d.box_id AND m.camera = d.camera
             JOIN cidades.boxes b ON b.id = d.box_id
             JOIN cidades.prefeituras p ON p.id = b.prefeitura_id
             WHERE d.id = $1 AND ai.plate_key(d.plate) = ai.plate_key('ABC1234')",
            &[&detection_id],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "ABC1C34");
    assert_eq!(row.get::<_, &str>(1), crop.key);
    assert_eq!(row.get::<_, String>(2), crop.sha256.to_string());
    assert_eq!(row.get::<_, i64>(3), EPOCH + 900_001);
    assert_eq!(row.get::<_, &str>(4), clip.key);
    assert_eq!(row.get::<_, i64>(5), 2);
    assert_eq!(row.get::<_, &str>(6), "Portão principal");
    assert_eq!(row.get::<_, &str>(7), "sao-paulo");
    assert_eq!(row.get::<_, &str>(8), "3");
    assert_eq!(row.get::<_, &str>(10), "commercial");
    for table in [
        "streaming.gaps",
        "streaming.coverage",
        "streaming.tombstones",
        "streaming.recordings",
        "ai.alerts",
        "sync.heads",
    ] {
        assert_eq!(stage.count(table).await, 1, "{table}");
    }
    assert_eq!(stage.count("sync.objects WHERE checked = 'content'").await, 2);
    assert_eq!(stage.count("sync.records WHERE state <> 'applied'").await, 0);

    let (_, metrics) = stage.center.get("/metrics").unwrap();
    assert!(metrics.contains("gtv_sync_records_total{kind=\"detection\",prefeitura=\"sao-paulo\"} 1"), "{metrics}");
    assert!(!stage.center.log().contains("ABC1C34"), "a plate is in the log");
}

#[tokio::test]
async fn a_missing_object_is_refused_then_accepted() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    let crop = fake.object("lpr-images", b"a crop");
    fake.detect("AAA1A11", None);
    fake.detect("ABC1C34", Some(&crop));
    fake.detect("BBB2B22", None);
    let mut uplink = stage.dial(&fake).await;

    // What comes before it is committed, itself and what follows are not.
    uplink.send_batch(fake.batch(1, 3)).await.unwrap();
    assert_eq!(uplink.ack().await.seq, 1);
    let reject = uplink.reject().await;
    assert_eq!((reject.seq, reject.code, reject.objects), (2, RejectCode::ObjectMissing, vec![crop.sha256]));
    assert_eq!(stage.count("ai.detections").await, 1);

    // Batches that were on their way meanwhile are skipped, not taken for a gap.
    fake.detect("CCC3C33", None);
    uplink.send_batch(fake.batch(4, 4)).await.unwrap();

    // Another content of the same length, then a shorter one.
    upload(&stage.garage, &crop, b"a frop").await;
    uplink.send_batch(fake.batch(2, 3)).await.unwrap();
    assert_eq!(uplink.reject().await.code, RejectCode::ObjectMismatch);
    upload(&stage.garage, &crop, b"a").await;
    uplink.send_batch(fake.batch(2, 3)).await.unwrap();
    assert_eq!(uplink.reject().await.code, RejectCode::ObjectMismatch);

    upload(&stage.garage, &crop, b"a crop").await;
    uplink.send_batch(fake.batch(2, 4)).await.unwrap();
    assert_eq!(uplink.ack().await, Ack { epoch: EPOCH, seq: 4 });
    assert_eq!(stage.count("ai.detections").await, 4);
    assert_eq!(stage.incidents().await, ["object_missing", "object_mismatch"]);
}

#[tokio::test]
async fn an_object_the_box_has_lost_does_not_block_the_chain() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    let crop = fake.object("lpr-images", b"gone");
    fake.detect("ABC1C34", Some(&crop));
    fake.unavailable = vec![UnavailableObject { sha256: crop.sha256, reason: "disk full, evicted".into() }];
    stage.dial(&fake).await.deliver(&fake).await;
    let sql = "sync.objects WHERE checked = 'lost' AND reason = 'disk full, evicted'";
    assert_eq!(stage.count(sql).await, 1);
}

#[tokio::test]
async fn each_fault_of_a_chain_is_named_and_leaves_nothing_behind() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    for n in 0..6 {
        fake.detect(&format!("AAA1A1{n}"), None);
    }
    let mut uplink = stage.dial(&fake).await;
    uplink.send_batch(fake.batch(1, 2)).await.unwrap();
    assert_eq!(uplink.ack().await.seq, 2);

    let at = |seq: usize| fake.chain[seq - 1].clone();
    let mut altered = at(3);
    altered.body = RawValue::from_string(altered.body.get().replace("AAA1A12", "AAA1A19")).unwrap();
    let cases = [
        (vec![at(4)], 3, RejectCode::Lost),
        (vec![at(4), at(3)], 3, RejectCode::Reordered),
        (vec![at(2), at(2)], 2, RejectCode::Duplicated),
        (vec![altered], 3, RejectCode::Altered),
    ];
    for (records, seq, code) in cases {
        let mut uplink = stage.dial(&fake).await;
        uplink.send_batch(fake.sign(records)).await.unwrap();
        let reject = loop {
            match uplink.receive().await.unwrap() {
                Message::Reject(reject) => break reject,
                Message::Ack(ack) => assert_eq!(ack.seq, 2, "{code:?}"),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((reject.seq, reject.code), (seq, code));
        assert_eq!(stage.count("sync.records").await, 2, "{code:?}");
    }

    // Another record under a committed number.
    let mut forger = FakeBox { id: fake.id, key: fake.key.clone(), ..FakeBox::new() };
    forger.detect("ZZZ9Z99", None);
    forger.detect("ZZZ9Z98", None);
    uplink.send_batch(forger.batch(1, 2)).await.unwrap();
    assert_eq!(uplink.reject().await.code, RejectCode::Altered);
    // A record that continues another past.
    forger.detect("ZZZ9Z97", None);
    uplink.send_batch(forger.sign(vec![forger.chain[2].clone()])).await.unwrap();
    assert_eq!(uplink.reject().await.code, RejectCode::Forked);

    assert_eq!(stage.incidents().await, ["lost", "reordered", "duplicated", "altered", "altered", "forked"]);
    // The session goes on.
    uplink.send_batch(fake.batch(1, 6)).await.unwrap();
    assert_eq!(uplink.ack().await.seq, 6);
    assert_eq!(stage.count("ai.detections").await, 6);
}

#[tokio::test]
async fn a_replay_from_any_point_changes_nothing() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    for n in 0..9 {
        fake.detect(&format!("AAA1A1{n}"), None);
    }
    for committed in 1..=9 {
        stage.dial(&fake).await.deliver_up_to(&fake, committed).await;
        for first in 1..=committed {
            let mut uplink = stage.dial(&fake).await;
            assert_eq!(uplink.welcome.resume_after.unwrap().seq, committed);
            uplink.send_batch(fake.batch(first, committed)).await.unwrap();
            assert_eq!(uplink.ack().await.seq, committed);
        }
        let expected = committed as i64;
        assert_eq!(stage.count("sync.records").await, expected);
        assert_eq!(stage.count("ai.detections").await, expected);
    }
    assert!(stage.incidents().await.is_empty());
}

impl Uplink {
    async fn deliver_up_to(&mut self, fake: &FakeBox, last: u64) {
        self.send_batch(fake.batch(last, last)).await.unwrap();
        assert_eq!(self.ack().await.seq, last);
    }
}

#[tokio::test]
async fn a_new_epoch_begins_a_new_chain_and_the_old_one_is_closed() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    fake.detect("AAA1A11", None);
    fake.detect("AAA1A12", None);
    let mut old = stage.dial(&fake).await;
    old.deliver(&fake).await;
    let (old_epoch, old_chain) = (fake.epoch, fake.chain.clone());

    fake.lose_database();
    fake.detect("BBB1B11", None);
    let mut uplink = stage.dial(&fake).await;
    assert_eq!(uplink.welcome.resume_after.map(|p| (p.epoch, p.seq)), Some((old_epoch, 2)));
    uplink.send_batch(fake.batch(1, 1)).await.unwrap();
    assert_eq!(uplink.ack().await, Ack { epoch: fake.epoch, seq: 1 });

    // The old session, still open, cannot write to the old chain any more; nor can a new one begin.
    let mut stale = FakeBox { id: fake.id, key: fake.key.clone(), ..FakeBox::new() };
    stale.epoch = old_epoch;
    stale.chain = old_chain;
    stale.detect("AAA1A13", None);
    old.send_batch(stale.batch(3, 3)).await.unwrap();
    assert_eq!(old.refusal().await.code, RefusalCode::EpochBehind);
    let refusal = Uplink::dial(&stage.center.url(), &stale).await.err().unwrap().refusal();
    assert_eq!(refusal.code, RefusalCode::EpochBehind);
    assert_eq!(refusal.newest.unwrap().epoch, fake.epoch);
    assert_eq!(stage.count("sync.records").await, 3);
}

#[tokio::test]
async fn what_cannot_become_a_row_is_kept_aside_and_blocks_nothing() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    fake.detect("AAA1A11", None);
    let json = |text: &str| text.to_owned();
    let mut append = |kind: &str, id: &str, body: String| {
        fake.append_draft(Draft::from_parts(kind.into(), id.into(), EPOCH, vec![], body).unwrap());
    };
    append("from-the-future", "x", json("{\"new\": 1}"));
    append("gap", "y", json("{\"camera\": 7}"));
    // A NUL in a field that is passed on, and a number too large for its column.
    let body = detection("BBB1B11", None).to_raw().unwrap().get().to_owned();
    append(
        "detection",
        "0197a000-0000-7000-8000-000000000001",
        body.replace("\"slots\":null", "\"slots\":\"\\u0000\""),
    );
    append("detection", "0197a000-0000-7000-8000-000000000002", body.replace("1920", "4294967295"));
    fake.detect("CCC1C11", None);

    stage.dial(&fake).await.deliver(&fake).await;
    assert_eq!(stage.count("ai.detections").await, 2);
    let rows = stage.sql().await;
    let rows =
        rows.query("SELECT seq FROM sync.records WHERE state = 'quarantined' AND reason IS NOT NULL ORDER BY 1", &[]);
    let quarantined: Vec<i64> = rows.await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(quarantined, [2, 3, 4, 5]);
}

/// What a batch costs must not grow with what the box has delivered before.
#[tokio::test]
async fn a_batch_looks_up_its_own_objects_only() {
    const KNOWN: i64 = 20_000;
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    let mut uplink = stage.dial(&fake).await;
    let sql = stage.sql().await;
    let fill = "INSERT INTO sync.objects (bucket, key, box_id, sha256, bytes, checked)
                SELECT 'lpr-images', 'boxes/' || $1::uuid || '/00/' || n, $1, '\\x00', 1, 'content'
                FROM generate_series(1, $2::bigint) n";
    sql.execute(fill, &[&fake.id, &KNOWN]).await.unwrap();
    sql.batch_execute("ANALYZE sync.objects").await.unwrap();
    let read = "SELECT idx_scan, seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'objects'";
    let before: i64 = sql.query_one(read, &[]).await.unwrap().get(1);
    for seq in 1..=10 {
        let content = format!("crop {seq}").into_bytes();
        let crop = fake.object("lpr-images", &content);
        upload(&stage.garage, &crop, &content).await;
        fake.detect("ABC1D23", Some(&crop));
        uplink.send_batch(fake.batch(seq, seq)).await.unwrap();
        assert_eq!(uplink.ack().await, Ack { epoch: fake.epoch, seq });
    }
    drop(uplink);
    // PostgreSQL tells its counters some seconds late.
    loop {
        let row = sql.query_one(read, &[]).await.unwrap();
        let (lookups, rows): (i64, i64) = (row.get(0), row.get(1));
        assert!(rows - before < KNOWN, "{} rows were read for 10 objects", rows - before);
        if lookups >= 10 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
