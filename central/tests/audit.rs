//! Somebody with the rights of an administrator changes the database or the buckets: the audit names what was done.

mod client;
#[path = "audit/rewritten.rs"]
mod rewritten;
mod support;
#[path = "audit/unanswered.rs"]
mod unanswered;
#[path = "audit/unreadable.rs"]
mod unreadable;

use client::{FakeBox, Uplink, s3, upload};
use gtv_protocol::{Draft, ObjectRef};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;
use support::{Center, Garage, Postgres};
use tokio_postgres::{Client, NoTls};

struct Stage {
    _postgres: Postgres,
    garage: Garage,
    center: Center,
    sql: Client,
    fake: FakeBox,
    crops: Vec<ObjectRef>,
}

/// Six committed detections in two batches, each with a crop.
async fn stage() -> Stage {
    let postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    let center = Center::start_new(&postgres, &garage);
    let mut fake = FakeBox::new();
    let mut crops = Vec::new();
    for n in 0..6 {
        let content = format!("crop {n}");
        let crop = fake.object("lpr-images", content.as_bytes());
        upload(&garage, &crop, content.as_bytes()).await;
        fake.detect(&format!("AAA1A1{n}"), Some(&crop));
        crops.push(crop);
    }
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
    for (first, last) in [(1, 3), (4, 6)] {
        uplink.send_batch(fake.batch(first, last)).await.unwrap();
        assert_eq!(uplink.ack().await.seq, last);
    }
    let (sql, connection) = tokio_postgres::connect(&postgres.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    Stage { _postgres: postgres, garage, center, sql, fake, crops }
}

impl Stage {
    /// (fault, seq) of each finding.
    fn findings(&self) -> Vec<(String, u64)> {
        let report = self.report();
        let findings = report["findings"].as_array().unwrap();
        let pair = |f: &Value| (f["fault"].as_str().unwrap().to_owned(), f["seq"].as_u64().unwrap_or(0));
        findings.iter().map(pair).collect()
    }

    fn report(&self) -> Value {
        let (status, text) = self.center.command(&["audit", "--objects", "--json"]);
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(status.success(), report["findings"].as_array().unwrap().is_empty(), "{text}");
        report
    }

    async fn run(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap();
    }

    /// Runs `change`, returns what the audit finds, and undoes it.
    async fn after(&self, change: &str) -> Vec<(String, u64)> {
        const TABLES: [&str; 5] = ["sync.records", "sync.chains", "sync.heads", "sync.objects", "ai.detections"];
        // Foreign keys would restrict the attacker of these tests; real ones drop them as well.
        self.run("SET session_replication_role = replica").await;
        for table in TABLES {
            let copy = table.replace('.', "_");
            self.run(&format!("CREATE TEMP TABLE {copy} AS TABLE {table}")).await;
        }
        self.run(change).await;
        let found = self.findings();
        for table in TABLES {
            let copy = table.replace('.', "_");
            self.run(&format!("DELETE FROM {table}; INSERT INTO {table} TABLE {copy}; DROP TABLE {copy}")).await;
        }
        found
    }
}

fn named(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(fault, seq)| ((*fault).to_owned(), *seq)).collect()
}

#[tokio::test]
async fn changes_in_the_database_are_named() {
    let stage = stage().await;
    assert_eq!(stage.findings(), []);

    let altered = stage.after("UPDATE sync.records SET body = replace(body, 'AAA1A12', 'AAA1A19') WHERE seq = 3").await;
    assert_eq!(altered, named(&[("altered", 3), ("row_altered", 3)]));
    let unreadable = stage.after("UPDATE sync.records SET body = '{' WHERE seq = 3").await;
    assert_eq!(unreadable, named(&[("altered", 3), ("row_unreadable", 3)]));

    let lost = stage.after("DELETE FROM sync.records WHERE seq = 3; DELETE FROM ai.detections WHERE seq = 3").await;
    assert_eq!(lost, named(&[("missing", 3)]));
    let cut = "DELETE FROM sync.records WHERE seq > 4; DELETE FROM ai.detections WHERE seq > 4;";
    assert_eq!(stage.after(cut).await, named(&[("missing", 5)]));
    // Even if the position is turned back as well: the box's signature over record 6 remains.
    let turned_back =
        format!("{cut} UPDATE sync.chains SET seq = 4, hash = (SELECT hash FROM sync.records WHERE seq = 4)");
    assert_eq!(stage.after(&turned_back).await, named(&[("missing", 5)]));

    let row = stage.after("UPDATE ai.detections SET plate = 'ZZZ9Z99' WHERE seq = 2").await;
    assert_eq!(row, named(&[("row_altered", 2)]));
    let row = stage.after("DELETE FROM ai.detections WHERE seq = 2").await;
    assert_eq!(row, named(&[("row_missing", 2)]));
    let row = stage
        .after(
            "INSERT INTO ai.detections SELECT (jsonb_populate_record(d, '{\"seq\": 99}')).*
             FROM ai.detections d WHERE seq = 2",
        )
        .await;
    assert_eq!(row, named(&[("row_invented", 99)]));
    let object = stage
        .after("DELETE FROM sync.objects WHERE key LIKE '%' || (SELECT crop_sha256 FROM ai.detections WHERE seq = 5)")
        .await;
    assert_eq!(object, named(&[("object_missing", 5)]));

    let swapped = stage
        .after(
            "UPDATE sync.records SET seq = -seq WHERE seq IN (2, 3);
             UPDATE sync.records SET seq = 5 + seq WHERE seq < 0",
        )
        .await;
    assert!(swapped.iter().any(|(fault, _)| fault == "reordered"), "{swapped:?}");
    assert_eq!(stage.findings(), []);
}

#[tokio::test]
async fn changes_in_the_buckets_are_named() {
    let stage = stage().await;
    upload(&stage.garage, &stage.crops[0], b"frop 0").await;
    assert_eq!(stage.findings(), named(&[("object_altered", 0)]));
    let (status, _) = stage.center.command(&["audit"]);
    assert!(status.success(), "the size is the same");
    let bucket = s3(&stage.garage, "lpr-images");
    bucket.delete(&Path::from(stage.crops[0].key.as_str())).await.unwrap();
    assert_eq!(stage.findings(), named(&[("object_missing", 0)]));
    let (_, text) = stage.center.command(&["audit"]);
    assert!(text.contains("object_missing") && text.contains(&stage.crops[0].key), "{text}");
}

#[tokio::test]
async fn the_same_thing_told_twice_is_named() {
    let mut stage = stage().await;
    let first = stage.fake.chain[1].clone();
    let draft =
        Draft::from_parts(first.kind, first.id, first.created_at_us, first.objects, first.body.get().to_owned());
    stage.fake.append_draft(draft.unwrap());
    let mut uplink = Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap();
    uplink.deliver(&stage.fake).await;
    assert_eq!(stage.findings(), named(&[("duplicated", 7)]));
    let rows = stage.sql.query("SELECT id FROM ai.detections", &[]).await.unwrap();
    assert_eq!(rows.len(), 6, "and has one row");
    let hidden = stage.after("DELETE FROM sync.records WHERE seq = 2; DELETE FROM ai.detections WHERE seq = 2").await;
    assert_eq!(hidden, named(&[("missing", 2), ("row_missing", 7)]));
}

#[tokio::test]
async fn a_new_epoch_may_tell_everything_again() {
    let mut stage = stage().await;
    let told = stage.fake.chain.clone();
    stage.fake.lose_database();
    for record in told {
        let body = record.body.get().to_owned();
        let draft = Draft::from_parts(record.kind, record.id, record.created_at_us, record.objects, body);
        stage.fake.append_draft(draft.unwrap());
    }
    stage.fake.detect("BBB1B11", None);
    let mut uplink = Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap();
    uplink.deliver(&stage.fake).await;
    assert_eq!(stage.findings(), []);
    let rows = stage.sql.query("SELECT DISTINCT id FROM ai.detections", &[]).await.unwrap();
    let total: i64 = stage.sql.query_one("SELECT count(*) FROM ai.detections", &[]).await.unwrap().get(0);
    assert_eq!((rows.len(), total), (7, 7));
    let (_, text) = stage.center.command(&["audit"]);
    assert!(text.contains("13 records (6 retold)"), "{text}");
}

/// (expected, held, awaited, missing, altered, evicted)
type Told = (Option<u64>, u64, u64, u64, u64, u64);

impl Stage {
    /// What the audit tells of the one hour: records, objects.
    fn hour(&self, arguments: &[&str]) -> (Told, Told) {
        let (_, text) = self.center.command(&[&["audit", "--objects", "--json"][..], arguments].concat());
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let hours = report["hours"].as_array().unwrap();
        assert_eq!(hours.len(), 1, "{text}");
        assert_eq!(hours[0]["hour"], "2026-09-21T14:00:00Z");
        let told = |counts: &Value| {
            let n = |name: &str| counts[name].as_u64();
            let of = |name: &str| n(name).unwrap();
            (n("expected"), of("held"), of("awaited"), of("missing"), of("altered"), of("evicted"))
        };
        (told(&hours[0]["records"]), told(&hours[0]["objects"]))
    }
}

#[tokio::test]
async fn each_hour_is_accounted_for() {
    let mut stage = stage().await;
    assert_eq!(stage.hour(&[]), ((None, 6, 0, 0, 0, 0), (None, 6, 0, 0, 0, 0)), "the box has stated nothing yet");
    // Of ten records of the hour six are here, one went on the box, three are still to come.
    stage.fake.prove(1, 6, 10, 8, 1);
    let mut uplink = Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap();
    uplink.deliver(&stage.fake).await;
    assert_eq!(stage.findings(), []);
    assert_eq!(stage.hour(&[]), ((Some(10), 6, 3, 0, 0, 1), (Some(8), 6, 2, 0, 0, 0)));
    let verified: Option<bool> = stage.sql.query_one("SELECT verified FROM sync.roots", &[]).await.unwrap().get(0);
    assert_eq!(verified, Some(true));
    let (_, text) = stage.center.command(&["audit", "--from", "2026-09-21T15:00:00Z", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["hours"], serde_json::json!([]));

    stage.run("SET session_replication_role = replica").await;
    stage.run("DELETE FROM sync.records WHERE seq = 3; DELETE FROM ai.detections WHERE seq = 3").await;
    stage.run("UPDATE sync.records SET body = replace(body, 'AAA1A14', 'AAA1A19') WHERE seq = 5").await;
    upload(&stage.garage, &stage.crops[0], b"frop 0").await;
    s3(&stage.garage, "lpr-images").delete(&Path::from(stage.crops[1].key.as_str())).await.unwrap();
    let mut findings = stage.findings();
    findings.sort();
    let expected = [
        ("altered", 5),
        ("missing", 3),
        ("object_altered", 0),
        ("object_missing", 0),
        ("root_differs", 7),
        ("row_altered", 5),
    ];
    assert_eq!(findings, named(&expected));
    // The crop of the record that is gone has its bytes still, but no record names it any more.
    assert_eq!(stage.hour(&[]), ((Some(10), 4, 3, 1, 1, 1), (Some(8), 3, 3, 1, 1, 0)));
}

#[tokio::test]
async fn an_end_that_was_cut_off_with_its_signatures_is_missed_by_the_root() {
    let mut stage = stage().await;
    stage.fake.prove(1, 6, 6, 6, 0);
    let mut uplink = Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap();
    uplink.deliver(&stage.fake).await;
    // The whole end goes, but for the proof that names it.
    let cut = "DELETE FROM sync.records WHERE seq IN (4, 5, 6); DELETE FROM ai.detections WHERE seq > 3;
               DELETE FROM sync.heads WHERE seq > 3;";
    assert_eq!(stage.after(cut).await, named(&[("root_differs", 7), ("missing", 4)]));
    // A root by another key is no proof of anything.
    let thief = FakeBox::new();
    let honest = std::mem::replace(&mut stage.fake.key, thief.key);
    stage.fake.prove(1, 6, 99, 99, 0);
    stage.fake.key = honest;
    Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap().deliver(&stage.fake).await;
    assert_eq!(stage.findings(), named(&[("quarantined", 8)]));
}
