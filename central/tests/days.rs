//! Partitions of passages: made before their day, never waited for, and filled from the default one when they come late.

mod client;
mod support;

use chrono::{DateTime, TimeDelta, Utc};
use client::{FakeBox, Uplink};
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

fn partition(at: DateTime<Utc>) -> String {
    format!("detections_{}", at.format("%Y%m%d"))
}

async fn has_partition(client: &Client, at: DateTime<Utc>) -> bool {
    let name = partition(at);
    count(client, &format!("pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relname = '{name}'")).await == 1
}

async fn until_partition(client: &Client, at: DateTime<Utc>, center: &Center) {
    let started = Instant::now();
    while !has_partition(client, at).await {
        assert!(started.elapsed() < PATIENCE, "{}", center.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// pg_dump reads all tables for hours, also over midnight.
#[tokio::test(flavor = "multi_thread")]
async fn passages_do_not_wait_for_who_reads_the_default_partition() {
    let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
    let mut center = Center::start_new(&postgres, &garage);
    let (client, mut reader) = (sql(&postgres).await, sql(&postgres).await);
    let now = Utc::now();
    // Made before anything is seen on them.
    for days in [1, 2] {
        until_partition(&client, now + TimeDelta::days(days), &center).await;
    }
    let reading = reader.transaction().await.unwrap();
    reading.query("SELECT FROM ai.detections_other", &[]).await.unwrap();
    let mut fake = FakeBox::new();
    let old = now - TimeDelta::days(10);
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
    for seq in 1..=2 {
        fake.detect_at(old.timestamp_micros());
        uplink.send_batch(fake.batch(seq, seq)).await.unwrap();
        assert_eq!(uplink.ack().await.seq, seq);
    }
    assert_eq!(count(&client, "ai.detections_other").await, 2);
    assert!(!has_partition(&client, old).await);

    // They move when nobody reads it any more.
    reading.rollback().await.unwrap();
    center.stop();
    center.start();
    until_partition(&client, old, &center).await;
    assert_eq!(count(&client, "ai.detections_other").await, 0);
    assert_eq!(count(&client, &format!("ai.{}", partition(old))).await, 2);
    let (status, report) = center.command(&["audit", "--json"]);
    assert!(status.success(), "{report}");
}

/// Or one wrong clock would put the passages of all boxes into the default partition from that day on.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_gets_its_partition_though_a_clock_was_ahead_of_it() {
    let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
    let center = Center::start_new(&postgres, &garage);
    let client = sql(&postgres).await;
    let mut fake = FakeBox::new();
    let ahead = Utc::now() + TimeDelta::days(5);
    fake.detect_at(ahead.timestamp_micros());
    fake.detect_at((ahead + TimeDelta::days(4)).timestamp_micros());
    Uplink::dial(&center.url(), &fake).await.unwrap().deliver(&fake).await;
    assert_eq!(count(&client, "ai.detections_other").await, 2);
    // What the service asks when that day comes.
    client.query_one("SELECT ai.ensure_day($1)", &[&ahead.date_naive()]).await.unwrap();
    assert!(has_partition(&client, ahead).await);
    assert_eq!(count(&client, &format!("ai.{}", partition(ahead))).await, 1);
    assert_eq!(count(&client, "ai.detections_other").await, 1, "what is ahead of it still");
}
