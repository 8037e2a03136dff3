//! Rows whose time is over go, from the beginning of each chain and with the days of which nothing is left; what is left is still proved, and the audit
//! says "expired" of the rest instead of "missing".

mod client;
mod support;

use client::{EPOCH, FakeBox, Uplink, upload};
use serde_json::Value;
use std::time::{Duration, Instant};
use support::{Center, Garage, Postgres};
use tokio_postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);

async fn sql(postgres: &Postgres) -> Client {
    let (client, connection) = tokio_postgres::connect(&postgres.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn count(client: &Client, what: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
}

fn audit(center: &Center) -> (bool, Value) {
    let (status, report) = center.command(&["audit", "--objects", "--json"]);
    (status.success(), serde_json::from_str(&report).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_expire_and_the_rest_stays_proved() {
    let postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    // Without a number of days at first: its passages are of a day that is long over.
    let mut center = Center::start_new(&postgres, &garage);
    let mut fake = FakeBox::new();
    let crops = ["old", "new"].map(|text| fake.object("lpr-images", text.as_bytes()));
    for (crop, text) in crops.iter().zip(["old", "new"]) {
        upload(&garage, crop, text.as_bytes()).await;
    }
    for n in 0..9 {
        fake.detect(&format!("AAA1A1{n}"), (n == 0).then_some(&crops[0]));
    }
    fake.prove(1, 9, 12, 2, 0);
    Uplink::dial(&center.url(), &fake).await.unwrap().deliver(&fake).await;
    for n in 0..3 {
        fake.detect(&format!("BBB1A1{n}"), (n == 0).then_some(&crops[1]));
    }
    // One root over records that will go in part, one over what stays.
    fake.prove(8, 13, 12, 2, 0);
    fake.prove(11, 13, 12, 2, 0);
    Uplink::dial(&center.url(), &fake).await.unwrap().deliver(&fake).await;
    let client = sql(&postgres).await;
    assert_eq!(count(&client, "ai.detections").await, 12);
    assert_eq!(count(&client, "sync.roots WHERE verified").await, 3);
    let (clean, report) = audit(&center);
    assert!(clean, "{report}");

    // The first ten came long ago.
    client
        .batch_execute(
            "UPDATE sync.records SET received_at = now() - interval '40 days' WHERE seq <= 10;
             UPDATE sync.objects SET named_at = now() - interval '40 days'
                WHERE key IN (SELECT o->>'key' FROM sync.records, jsonb_array_elements(objects) o WHERE seq <= 10);",
        )
        .await
        .unwrap();
    center.kill();
    let center = Center::start_with(&postgres, &garage, &[("GTV_SYNC_ROWS_DAYS", "30")]);
    let started = Instant::now();
    while count(&client, "sync.objects").await > 1 {
        assert!(started.elapsed() < PATIENCE, "{}", center.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count(&client, "sync.records").await, 5);
    assert_eq!(count(&client, "sync.expired WHERE seq = 10").await, 1);
    assert_eq!(count(&client, "ai.detections WHERE seq <= 10").await, 0);
    assert_eq!(count(&client, "ai.detections").await, 3, "of the same day, and told later");

    let (clean, report) = audit(&center);
    assert!(clean, "{report}");
    assert_eq!((&report["records"], &report["records_expired"]), (&5.into(), &10.into()));
    assert_eq!((&report["roots"], &report["roots_expired"]), (&1.into(), &1.into()), "the first went with its record");
    let hour = &report["hours"][0];
    for (what, counts) in [("records", [12, 3, 9, 0, 0]), ("objects", [2, 1, 1, 0, 0])] {
        let names = ["expected", "held", "expired", "missing", "awaited"];
        assert_eq!(names.map(|name| hour[what][name].as_u64()), counts.map(Some), "{what}: {hour}");
    }

    // The chain goes on where it was, what was committed is recognized, and what goes missing now is missing.
    fake.detect("CCC1A11", None);
    Uplink::dial(&center.url(), &fake).await.unwrap().deliver(&fake).await;
    let (clean, report) = audit(&center);
    assert!(clean, "{report}");
    client.batch_execute("DELETE FROM sync.records WHERE seq = 11").await.unwrap();
    let (clean, report) = audit(&center);
    let faults: Vec<&str> = report["findings"].as_array().unwrap().iter().filter_map(|f| f["fault"].as_str()).collect();
    assert!(!clean && faults.contains(&"missing") && faults.contains(&"root_differs"), "{report}");
    assert!(report["hours"][0]["hour"].as_str().is_some_and(|hour| hour.starts_with("2026-09-21")), "{EPOCH}");
}

/// A box may deliver what it saw long ago: that is kept as long as what it saw now.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_late_is_kept_and_its_day_goes_with_it() {
    let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
    let mut center = Center::start_with(&postgres, &garage, &[("GTV_SYNC_ROWS_DAYS", "7")]);
    let client = sql(&postgres).await;
    let mut fake = FakeBox::new();
    let (day, clock_of_1970) = (chrono::Utc::now() - chrono::TimeDelta::days(20), chrono::DateTime::UNIX_EPOCH);
    for seen in [day, clock_of_1970] {
        fake.detect_at(seen.timestamp_micros());
    }
    Uplink::dial(&center.url(), &fake).await.unwrap().deliver(&fake).await;
    let partition = format!("pg_class WHERE relname = 'detections_{}'", day.format("%Y%m%d"));
    // Old incidents go last.
    let let_rows_go = async |center: &mut Center| {
        center.stop();
        let old = "INSERT INTO sync.incidents VALUES (gen_random_uuid(), 1, 1, 'old', '', '1990-01-01', '1990-01-01')";
        client.batch_execute(old).await.unwrap();
        center.start();
        let started = Instant::now();
        while count(&client, "sync.incidents").await > 0 {
            assert!(started.elapsed() < PATIENCE, "{}", center.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let_rows_go(&mut center).await;
    assert_eq!((count(&client, "ai.detections").await, count(&client, &partition).await), (2, 1));
    let (clean, report) = audit(&center);
    assert!(clean, "{report}");
    // What is kept is looked at.
    client.batch_execute("UPDATE ai.detections SET plate = 'BBB1B11'").await.unwrap();
    let (_, report) = audit(&center);
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(2), "{report}");

    client.batch_execute("UPDATE sync.records SET received_at = now() - interval '9 days'").await.unwrap();
    let_rows_go(&mut center).await;
    assert_eq!((count(&client, "ai.detections").await, count(&client, &partition).await), (0, 0));
    let (clean, report) = audit(&center);
    assert!(clean, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_number_of_days_everything_stays() {
    let postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    let mut center = Center::start_new(&postgres, &garage);
    let mut fake = FakeBox::new();
    fake.detect("AAA1A11", None);
    Uplink::dial(&center.url(), &fake).await.unwrap().deliver(&fake).await;
    let client = sql(&postgres).await;
    client.batch_execute("UPDATE sync.records SET received_at = now() - interval '9 years'").await.unwrap();
    center.stop();
    center.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((count(&client, "sync.records").await, count(&client, "ai.detections").await), (1, 1));
}
