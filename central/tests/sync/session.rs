//! Who gets in, and what a session answers beside batches.

use futures_util::{SinkExt, StreamExt};
use gtv_protocol::hex_bytes::HexBytes;
use gtv_protocol::{Ack, Body, Draft, Message, RefusalCode, body};
use object_store::ObjectStoreExt;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::Stage;
use crate::client::{self, FakeBox, Uplink};
use crate::support::{self, Center, Garage, Postgres};

#[tokio::test]
async fn only_the_right_box_gets_in() {
    let stage = Stage::with(&[("GTV_SYNC_ENROL", "code")]);
    let url = stage.center.url();
    let code_of = |result: Result<Uplink, client::Failure>| result.err().expect("admitted").refusal().code;

    let mut fake = FakeBox::new();
    assert_eq!(code_of(Uplink::dial(&url, &fake).await), RefusalCode::NotEnrolled);
    fake.enrol_code = Some("WRONG".into());
    assert_eq!(code_of(Uplink::dial(&url, &fake).await), RefusalCode::NotEnrolled);
    let code = stage.center.command_ok(&["enrol", "code", "--prefeitura", "campinas"]).trim().to_owned();
    fake.enrol_code = Some(code.clone());
    stage.dial(&fake).await;
    // Once enrolled no code is needed, and the code is used up.
    fake.enrol_code = None;
    stage.dial(&fake).await;
    let mut second = FakeBox::new();
    second.enrol_code = Some(code);
    assert_eq!(code_of(Uplink::dial(&url, &second).await), RefusalCode::NotEnrolled);
    assert_eq!(
        stage.count("cidades.boxes b JOIN cidades.prefeituras p ON p.id = prefeitura_id WHERE slug = 'campinas'").await,
        1
    );

    // Another key, and a proof by another key.
    let thief = FakeBox { id: fake.id, ..FakeBox::new() };
    assert_eq!(code_of(Uplink::dial(&url, &thief).await), RefusalCode::BadSignature);
    assert_eq!(code_of(Uplink::dial_as(&url, &fake.hello(), &thief.key).await), RefusalCode::BadSignature);
    let mut future = fake.hello();
    future.versions = gtv_protocol::VersionRange { min: 900, max: 901 };
    assert_eq!(code_of(Uplink::dial_as(&url, &future, &fake.key).await), RefusalCode::Version);

    // A batch signed by somebody else ends the session.
    fake.detect("AAA1A11", None);
    let mut uplink = stage.dial(&fake).await;
    let mut batch = fake.batch(1, 1);
    batch.signature = HexBytes([1; 64]);
    uplink.send_batch(batch).await.unwrap();
    assert_eq!(uplink.refusal().await.code, RefusalCode::BadSignature);

    stage.center.command_ok(&["enrol", "disable", &fake.id.to_string()]);
    assert_eq!(code_of(Uplink::dial(&url, &fake).await), RefusalCode::Disabled);
    stage.center.command_ok(&["enrol", "enable", &fake.id.to_string()]);
    stage.dial(&fake).await;
}

/// A session lasts for days; what the administration changes counts at once.
#[tokio::test]
async fn a_session_ends_when_its_box_is_handed_over_rekeyed_or_disabled() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    fake.detect("AAA1A11", None);
    stage.dial(&fake).await.deliver(&fake).await;
    let id = fake.id.to_string();
    let enrol = |key: &ed25519_dalek::SigningKey, prefeitura: &str| {
        let key = gtv_protocol::auth::public_key(key).to_string();
        let arguments = ["enrol", "box", &id, "--public-key", &key, "--prefeitura", prefeitura, "--name", "gate"];
        stage.center.command_ok(&arguments);
    };

    let (mut sending, mut asking) = (stage.dial(&fake).await, stage.dial(&fake).await);
    enrol(&fake.key, "campinas");
    fake.detect("BBB1B11", None);
    sending.send_batch(fake.batch(2, 2)).await.unwrap();
    let refusal = sending.refusal().await;
    assert_eq!((refusal.code, refusal.retry_after_s), (RefusalCode::Unavailable, Some(1)), "{}", refusal.message);
    asking.send(Message::RenewAccess).await.unwrap();
    assert_eq!(asking.refusal().await.code, RefusalCode::Unavailable);
    assert_eq!(stage.count("sync.records").await, 1);
    // It dials again, and what it tells belongs to the new one.
    let mut sending = stage.dial(&fake).await;
    sending.deliver(&fake).await;
    let of = "ai.detections d JOIN cidades.prefeituras p ON p.id = d.prefeitura_id WHERE plate = 'BBB1B11' AND slug =";
    assert_eq!(stage.count(&format!("{of} 'campinas'")).await, 1);

    let mut asking = stage.dial(&fake).await;
    stage.center.command_ok(&["enrol", "disable", &id]);
    fake.detect("CCC1C11", None);
    sending.send_batch(fake.batch(3, 3)).await.unwrap();
    assert_eq!(sending.refusal().await.code, RefusalCode::Disabled);
    asking.send(Message::RenewAccess).await.unwrap();
    assert_eq!(asking.refusal().await.code, RefusalCode::Disabled);

    stage.center.command_ok(&["enrol", "enable", &id]);
    let (mut sending, mut asking) = (stage.dial(&fake).await, stage.dial(&fake).await);
    enrol(&FakeBox::new().key, "campinas");
    sending.send_batch(fake.batch(3, 3)).await.unwrap();
    assert_eq!(sending.refusal().await.code, RefusalCode::BadSignature);
    asking.send(Message::RenewAccess).await.unwrap();
    assert_eq!(asking.refusal().await.code, RefusalCode::BadSignature);
    assert_eq!(stage.count("sync.records").await, 2);
}

/// The box was updated before the centre.
#[tokio::test]
async fn a_kind_that_was_not_known_gets_its_row_from_the_release_that_knows_it() {
    let mut stage = Stage::new();
    let mut fake = FakeBox::new();
    let coverage = body::Coverage {
        camera: "gate-1".into(),
        stream: "main".into(),
        start_us: client::EPOCH,
        end_us: client::EPOCH + 3_600_000_000,
        expected_us: 3_600_000_000,
        stored_us: 3_590_000_000,
    };
    fake.append(&Body::Coverage(coverage), "coverage-1", vec![]);
    fake.append_draft(
        Draft::from_parts("hologram".into(), "hologram-1".into(), client::EPOCH, vec![], "{}".into()).unwrap(),
    );
    stage.dial(&fake).await.deliver(&fake).await;
    let sql = stage.sql().await;
    // As the release before would have left it, in its words.
    let seeded = "UPDATE sync.records q SET state = 'quarantined', reason = replace(u.reason, 'hologram', 'coverage')
                  FROM sync.records u WHERE q.kind = 'coverage' AND u.kind = 'hologram' AND u.state = 'quarantined'";
    assert_eq!(sql.execute(seeded, &[]).await.unwrap(), 1);
    sql.batch_execute("DELETE FROM streaming.coverage").await.unwrap();
    stage.center.stop();
    stage.center.start();
    let started = Instant::now();
    while stage.count("streaming.coverage WHERE id = 'coverage-1'").await == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", stage.center.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stage.count("sync.records WHERE state = 'applied' AND reason IS NULL").await, 1);
    assert_eq!(stage.count("sync.records WHERE state = 'quarantined' AND kind = 'hologram'").await, 1);
}

#[tokio::test]
async fn garbage_ends_the_session_and_not_the_service() {
    let stage = Stage::new();
    let fake = FakeBox::new();
    for frame in [
        Frame::binary(vec![]),
        Frame::binary(vec![9, 9, 9]),
        Frame::binary(vec![2, 0, 1, 2, 3]),
        Frame::binary(b"\x01{\"type\":\"welcome\"}".to_vec()),
        Frame::text("hello"),
    ] {
        let mut uplink = stage.dial(&fake).await;
        uplink.send_raw(frame).await.unwrap();
        assert_eq!(uplink.refusal().await.code, RefusalCode::BadMessage);
    }
    let mut uplink = stage.dial(&fake).await;
    uplink.send(Message::Ping { id: 5 }).await.unwrap();
    assert!(matches!(uplink.receive().await.unwrap(), Message::Pong { id: 5 }));
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/nothing", 404), ("/sync/v1", 400)] {
        assert_eq!(stage.center.get(path).unwrap().0, status, "{path}");
    }
}

/// Whoever has not proved who it is can have nothing decompressed, and nothing long parsed.
#[tokio::test]
async fn of_a_stranger_only_a_greeting_is_read() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    fake.detect("AAA1A11", None);
    let mut long = fake.hello();
    long.name = "x".repeat(20 << 10);
    for (message, problem) in [(Message::Batch(fake.batch(1, 1)), "tag 2"), (Message::Hello(long), "at most 16384")] {
        let (mut socket, _) = tokio_tungstenite::connect_async(stage.center.url()).await.unwrap();
        socket.send(Frame::binary(gtv_protocol::encode(&message).unwrap())).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_data();
        let Message::Refusal(refusal) = gtv_protocol::decode(&answer).unwrap() else { panic!("no Refusal") };
        assert_eq!(refusal.code, RefusalCode::BadMessage);
        assert!(refusal.message.contains(problem), "{}", refusal.message);
    }
}

/// Boxes measure their uplink by it.
#[tokio::test]
async fn a_ping_is_answered_while_a_batch_waits_for_the_database() {
    let stage = Stage::new();
    let mut fake = FakeBox::new();
    let mut uplink = stage.dial(&fake).await;
    let mut other = stage.sql().await;
    let lock = other.transaction().await.unwrap();
    lock.execute("LOCK TABLE sync.records IN ACCESS EXCLUSIVE MODE", &[]).await.unwrap();
    for plate in ["ABC1D23", "DEF4567"] {
        fake.detect(plate, None);
    }
    uplink.send_batch(fake.batch(1, 1)).await.unwrap();
    uplink.send_batch(fake.batch(2, 2)).await.unwrap();
    for id in 1..=3 {
        uplink.send(Message::Ping { id }).await.unwrap();
        let answer = uplink.receive().await.unwrap();
        assert!(matches!(answer, Message::Pong { id: pong } if pong == id), "{answer:?}");
    }
    lock.rollback().await.unwrap();
    for seq in [1, 2] {
        assert_eq!(uplink.ack().await, Ack { epoch: fake.epoch, seq }, "in the order in which they came");
    }
    drop(uplink);
    assert_eq!(stage.count("ai.detections").await, 2);
}

#[tokio::test]
async fn credentials_for_uploads_are_handed_out_and_renewed() {
    let postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    let center = Center::start_with(
        &postgres,
        &garage,
        &[
            ("GTV_SYNC_BOX_S3_ENDPOINT", garage.endpoint().as_str()),
            ("GTV_SYNC_BOX_S3_ACCESS_KEY", support::garage::ACCESS_KEY),
            ("GTV_SYNC_BOX_S3_SECRET_KEY", support::garage::SECRET_KEY),
            ("GTV_SYNC_BUCKET_PREFIX", "city-"),
        ],
    );
    let mut fake = FakeBox::new();
    let crop = fake.object("lpr-images", b"a crop");
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
    let access = uplink.welcome.access.clone().unwrap();
    assert!(crop.key.starts_with(&access.key_prefix));
    let bucket = client::s3(&garage, &access.buckets["lpr-images"]);
    bucket.put(&object_store::path::Path::from(crop.key.as_str()), b"a crop".to_vec().into()).await.unwrap();
    fake.detect("ABC1C34", Some(&crop));
    uplink.deliver(&fake).await;
    uplink.send(Message::RenewAccess).await.unwrap();
    let Message::Access(Some(renewed)) = uplink.receive().await.unwrap() else { panic!("no Access") };
    assert!(renewed.expires_us >= access.expires_us);
    assert!(!center.log().contains(support::garage::SECRET_KEY), "a secret is in the log");
}
