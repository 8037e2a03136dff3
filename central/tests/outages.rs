//! PostgreSQL, S3 or gtv-sync itself go away at any moment: nothing is acknowledged that is not committed, nothing is
//! lost, nothing is twice, and the service recovers by itself.

mod client;
mod support;

use client::{EPOCH, Failure, FakeBox, Uplink, upload};
use gtv_protocol::{Message, RefusalCode, RejectCode, SignUpload};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};
use support::{Center, Garage, Postgres};
use tokio_postgres::NoTls;

async fn count(postgres: &Postgres, what: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(&postgres.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
}

/// Dials until it works: what a box does, with a shorter pause.
async fn dial_again(center: &Center, fake: &FakeBox) -> Uplink {
    for _ in 0..300 {
        match Uplink::dial(&center.url(), fake).await {
            Ok(uplink) => return uplink,
            Err(Failure::Refused(refusal)) => assert!(refusal.code.retry(), "{refusal:?}"),
            Err(Failure::Broken(_)) => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("gtv-sync did not recover:\n{}", center.log());
}

#[tokio::test]
async fn an_outage_of_the_database_acknowledges_nothing_and_is_survived() {
    let mut postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    let center = Center::start_new(&postgres, &garage);
    let mut fake = FakeBox::new();
    fake.detect("AAA1A11", None);
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
    uplink.deliver(&fake).await;

    for outage in [Postgres::stop, Postgres::kill] {
        fake.detect("AAA1A12", None);
        let last = fake.head().seq;
        outage(&mut postgres);
        uplink.send_batch(fake.batch(last, last)).await.unwrap();
        let refusal = uplink.refusal().await;
        assert_eq!(refusal.code, RefusalCode::Unavailable);
        assert!(refusal.retry_after_s.is_some());
        assert_eq!(center.get("/readyz").unwrap().0, 503);
        assert_eq!(center.get("/healthz").unwrap().0, 200);

        postgres.start();
        uplink = dial_again(&center, &fake).await;
        assert_eq!(uplink.welcome.resume_after.unwrap().seq, last - 1);
        uplink.deliver(&fake).await;
        assert_eq!(center.get("/readyz").unwrap().0, 200);
    }
    assert_eq!(count(&postgres, "ai.detections").await, 3);
}

#[tokio::test]
async fn an_outage_of_s3_holds_back_only_what_needs_it() {
    let postgres = Postgres::start_new();
    let mut garage = Garage::start_empty();
    let center = Center::start_new(&postgres, &garage);
    let mut fake = FakeBox::new();
    let crop = fake.object("lpr-images", b"a crop");
    upload(&garage, &crop, b"a crop").await;
    fake.detect("AAA1A11", None);
    fake.detect("AAA1A12", Some(&crop));
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();

    garage.kill();
    uplink.send_batch(fake.batch(1, 2)).await.unwrap();
    assert_eq!(uplink.ack().await.seq, 1);
    let reject = uplink.reject().await;
    assert_eq!((reject.seq, reject.code), (2, RejectCode::ObjectStoreDown));
    assert_eq!(count(&postgres, "sync.incidents").await, 0);

    garage.start();
    uplink.send_batch(fake.batch(2, 2)).await.unwrap();
    assert_eq!(uplink.ack().await.seq, 2);
}

/// The way of a firewall that drops, and of a store whose disks hang: it takes connections and says nothing.
#[tokio::test]
async fn a_silent_s3_holds_up_nothing_that_does_not_need_it() {
    const BOXES: usize = 40;
    const SOON: Duration = Duration::from_secs(20);
    let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
    let center = Center::start_with(&postgres, &garage, &[("GTV_SYNC_BOX_S3_ACCESS", "presigned")]);
    let mut waiting = Vec::new();
    for _ in 0..BOXES {
        let mut fake = FakeBox::new();
        fake.detect("AAA1A11", None);
        for n in 0..20 {
            let content = format!("crop {n} of {}", fake.id);
            let crop = fake.object("lpr-images", content.as_bytes());
            fake.detect("AAA1A12", Some(&crop));
        }
        waiting.push((Uplink::dial(&center.url(), &fake).await.unwrap(), fake));
    }
    let mut other = FakeBox::new();
    let mut alerting = Uplink::dial(&center.url(), &other).await.unwrap();

    garage.pause();
    for (uplink, fake) in &mut waiting {
        uplink.send_batch(fake.batch(1, 21)).await.unwrap();
    }
    // Longer than the store's silence is waited for, and then again: more boxes wait than are worked on at a time.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(25) {
        other.detect("ZZZ9Z99", None);
        let last = other.head().seq;
        alerting.send_batch(other.batch(last, last)).await.unwrap();
        let ack = tokio::time::timeout(SOON, alerting.ack()).await.expect("of a record without objects");
        assert_eq!(ack.seq, last);
        assert_eq!(center.get("/readyz").unwrap().0, 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    while !center.get("/readyz").unwrap().1.contains("\"object_store\":\"down: ") {
        assert!(started.elapsed() < Duration::from_secs(90), "it says so: {:?}", center.get("/readyz"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // An upload in parts asks the store; batches of the same box go on meanwhile.
    let parts = other.object("recordings", b"of some megabytes");
    let ask = SignUpload {
        id: 7,
        bucket: parts.bucket,
        sha256: parts.sha256,
        bytes: 20 << 20,
        content_type: "video/mp4".to_owned(),
        upload: None,
        first_part: 0,
        parts: 2,
    };
    alerting.send(Message::SignUpload(ask)).await.unwrap();
    other.detect("ZZZ9Z99", None);
    let last = other.head().seq;
    alerting.send_batch(other.batch(last, last)).await.unwrap();
    assert_eq!(alerting.ack().await.seq, last, "before the signature");

    for (uplink, _) in &mut waiting {
        assert_eq!(uplink.ack().await.seq, 1, "what needs no object");
        let reject = uplink.reject().await;
        assert_eq!((reject.seq, reject.code), (2, RejectCode::ObjectStoreDown));
    }
    garage.resume();
    let (uplink, fake) = &mut waiting[0];
    for record in &fake.chain[1..] {
        let n = record.seq - 2;
        upload(&garage, &record.objects[0], format!("crop {n} of {}", fake.id).as_bytes()).await;
    }
    let started = Instant::now();
    loop {
        uplink.send_batch(fake.batch(2, 21)).await.unwrap();
        match uplink.receive().await.unwrap() {
            Message::Ack(ack) if ack.seq == 21 => break,
            Message::Ack(_) => {}
            Message::Reject(reject) => assert_eq!(reject.code, RejectCode::ObjectStoreDown),
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the store is back:\n{}", center.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn a_silent_token_service_keeps_no_box_out() {
    let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
    // Nobody ever accepts: the kernel takes the connections.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let settings = [("GTV_SYNC_BOX_S3_ACCESS", "sts"), ("GTV_SYNC_STS_ENDPOINT", endpoint.as_str())];
    let center = Center::start_with(&postgres, &garage, &settings);
    let mut fake = FakeBox::new();
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
    assert!(uplink.welcome.access.is_none());
    fake.detect("AAA1A11", None);
    uplink.send(Message::RenewAccess).await.unwrap();
    uplink.send_batch(fake.batch(1, 1)).await.unwrap();
    // Neither waits for the other.
    let answers = [uplink.receive().await.unwrap(), uplink.receive().await.unwrap()];
    assert!(answers.iter().any(|answer| matches!(answer, Message::Ack(ack) if ack.seq == 1)), "{answers:?}");
    assert!(answers.iter().any(|answer| matches!(answer, Message::Access(None))), "{answers:?}");
    assert!(
        center.get("/healthz").unwrap().1.contains("does not answer: nothing came"),
        "{:?}",
        center.get("/healthz")
    );
}

#[tokio::test]
async fn it_starts_before_its_servers_do() {
    let mut postgres = Postgres::start_new();
    let mut garage = Garage::start_empty();
    let mut center = Center::start_new(&postgres, &garage);
    let mut fake = FakeBox::new();
    fake.detect("AAA1A11", None);
    center.stop();
    postgres.stop();
    garage.stop();
    center.start_without_waiting();
    tokio::time::sleep(Duration::from_millis(700)).await;
    postgres.start();
    garage.start();
    dial_again(&center, &fake).await.deliver(&fake).await;
    assert_eq!(count(&postgres, "ai.detections").await, 1);
}

#[tokio::test]
async fn sigterm_says_goodbye_and_ends_cleanly() {
    let postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    let mut center = Center::start_new(&postgres, &garage);
    let mut uplink = Uplink::dial(&center.url(), &FakeBox::new()).await.unwrap();
    let status = center.stop().unwrap();
    assert!(status.success(), "{status}\n{}", center.log());
    assert_eq!(uplink.refusal().await.code, RefusalCode::ShuttingDown);
}

/// A box that keeps sending while gtv-sync is killed at random moments.
#[tokio::test]
async fn kills_in_the_middle_of_batches_lose_nothing_and_double_nothing() {
    const ROUNDS: usize = 20;
    let seed: u64 = std::env::var("GTV_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("GTV_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    let mut center = Center::start_new(&postgres, &garage);
    let mut fake = FakeBox::new();
    let mut interrupted = 0;
    for round in 0..ROUNDS {
        for n in 0..40 {
            let content = format!("crop {round} {n}");
            let crop = fake.object("lpr-images", content.as_bytes());
            if n % 4 == 0 {
                upload(&garage, &crop, content.as_bytes()).await;
            }
            fake.detect(&format!("AAA{n:04}"), (n % 4 == 0).then_some(&crop));
        }
        let uplink = dial_again(&center, &fake).await;
        let pause = Duration::from_micros(random.random_range(0..120_000));
        let size = random.random_range(1..=12);
        let sending = async {
            let acknowledged = pump(uplink, &fake, size).await;
            assert!(acknowledged <= fake.head().seq);
        };
        tokio::select! {
            () = sending => {}
            () = tokio::time::sleep(pause) => interrupted += 1,
        }
        center.kill();
        center.start();
    }
    assert!(interrupted > 0, "every delivery was over before its kill");
    let mut uplink = dial_again(&center, &fake).await;
    if uplink.welcome.resume_after.unwrap().seq < fake.head().seq {
        uplink.deliver(&fake).await;
    }
    let expected = (ROUNDS * 40) as i64;
    assert_eq!(count(&postgres, "sync.records").await, expected);
    assert_eq!(count(&postgres, "ai.detections").await, expected);
    assert_eq!(count(&postgres, "(SELECT DISTINCT id FROM ai.detections) d").await, expected);
    assert_eq!(count(&postgres, "sync.incidents").await, 0);
    let (status, report) = center.command(&["audit", "--objects", "--json"]);
    assert!(status.success(), "{report}");
}

/// Sends everything after the committed position, several batches ahead; returns the last acknowledged number.
async fn pump(mut uplink: Uplink, fake: &FakeBox, size: u64) -> u64 {
    let mut acknowledged = uplink.welcome.resume_after.map_or(0, |p| p.seq);
    let (mut next, last) = (acknowledged + 1, fake.head().seq);
    let mut in_flight = 0;
    while acknowledged < last {
        while next <= last && in_flight < 4 {
            let end = (next + size - 1).min(last);
            if uplink.send_batch(fake.batch(next, end)).await.is_err() {
                return acknowledged;
            }
            next = end + 1;
            in_flight += 1;
        }
        match uplink.receive().await {
            Ok(Message::Ack(ack)) => {
                assert_eq!(ack.epoch, EPOCH);
                assert!(ack.seq > acknowledged, "acknowledged backwards");
                acknowledged = ack.seq;
                in_flight -= 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => return acknowledged,
        }
    }
    acknowledged
}
