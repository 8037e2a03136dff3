//! Domain events at a real RabbitMQ: what arrives where, and that outages of the broker and of gtv-sync lose none.

mod client;
mod support;

use client::{EPOCH, FakeBox, Uplink, status};
use gtv_protocol::{Body, Draft, PlateText, body};
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicRejectOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use support::{Center, Garage, Postgres, Rabbitmq};
use tokio_postgres::NoTls;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(240);

struct Stage {
    postgres: Postgres,
    garage: Garage,
    broker: Rabbitmq,
    center: Center,
}

impl Stage {
    fn new(more: &[(&str, &str)]) -> Self {
        let (postgres, garage, broker) = (Postgres::start_new(), Garage::start_empty(), Rabbitmq::start_new());
        let url = broker.url();
        let environment: Vec<_> = [("GTV_SYNC_AMQP_URL", url.as_str())].iter().chain(more).copied().collect();
        let center = Center::start_with(&postgres, &garage, &environment);
        Self { postgres, garage, broker, center }
    }

    async fn number(&self, sql: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn until_published(&self) {
        let started = Instant::now();
        while self.number("SELECT count(*) FROM sync.outbox").await > 0 {
            assert!(started.elapsed() < PATIENCE, "not published:\n{}", self.center.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn health(&self) -> Value {
        let (_, body) = self.center.get("/healthz").unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["events"].clone()
    }

    async fn until_health(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let health = self.health();
            if wanted(&health) {
                return health;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {health}\n{}", self.center.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A consumer's connection.
    async fn listen(&self) -> Connection {
        Connection::connect(&self.broker.url(), ConnectionProperties::default()).await.unwrap()
    }

    /// Everything that lies in a queue.
    async fn drain(&self, queue: &str) -> Vec<(String, Value)> {
        let connection = self.listen().await;
        let channel = connection.create_channel().await.unwrap();
        let mut messages = Vec::new();
        while let Some(message) = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap() {
            message.delivery.ack(BasicAckOptions::default()).await.unwrap();
            let id = message.delivery.properties.message_id().as_ref().unwrap().to_string();
            messages.push((id, serde_json::from_slice(&message.delivery.data).unwrap()));
        }
        messages
    }

    /// A durable queue that gets every event.
    async fn bind_everything(&self, queue: &str) {
        let connection = self.listen().await;
        let channel = connection.create_channel().await.unwrap();
        let (name, exchange) = (queue.into(), "domain.events".into());
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
        let options = QueueBindOptions::default();
        channel.queue_bind(name, exchange, "".into(), options, FieldTable::default()).await.unwrap();
    }
}

fn alert(message: &str) -> Body {
    Body::Alert(body::Alert {
        rule: "watchlist".to_owned(),
        severity: "critical".to_owned(),
        camera: Some("gate-1".to_owned()),
        detection: None,
        plate: Some(PlateText("ABC1D23".to_owned())),
        message: message.to_owned(),
        reason: None,
        raised_at_us: EPOCH,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_their_queues_with_the_tenant_and_an_id() {
    let stage = Stage::new(&[]);
    stage.until_health("connected", |health| health["broker"] == "on").await;
    stage.bind_everything("everything").await;
    let mut fake = FakeBox::new();
    let id = fake.detect("ABC1D23", None);
    fake.append(&alert("a watched plate"), "alert-1", vec![]);
    let gap = body::Gap {
        camera: "gate-1".to_owned(),
        stream: "main".to_owned(),
        start_us: EPOCH,
        end_us: EPOCH + 5,
        reason: "no camera".to_owned(),
    };
    fake.append(&Body::Gap(gap), "gap-1", vec![]);
    fake.prove(1, 3, 3, 0, 0);
    Uplink::dial(&stage.center.url(), &fake).await.unwrap().deliver(&fake).await;
    stage.until_published().await;

    let everything = stage.drain("everything").await;
    let names: Vec<&str> = everything.iter().map(|(_, event)| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["PlateDetected", "AlertRaised", "RecordingInterrupted"], "in the order of the chain");
    let (message_id, passage) = &everything[0];
    assert_eq!(passage["id"], *message_id);
    assert!(Uuid::try_parse(message_id).is_ok());
    assert_eq!((passage["prefeitura"].as_str(), passage["seq"].as_i64()), (Some("sao-paulo"), Some(1)));
    assert_eq!(
        (passage["thing"].as_str(), passage["data"]["plate"].as_str()),
        (Some(&*id.to_string()), Some("ABC1D23"))
    );
    for (queue, index) in [("ai.detection", 0), ("notifications.email", 1), ("stream.processing", 2)] {
        assert_eq!(stage.drain(queue).await, [everything[index].clone()], "{queue}");
    }
    assert_eq!(stage.drain("recording.jobs").await, []);

    // What a consumer cannot use is not lost but put aside.
    fake.append(&alert("another"), "alert-2", vec![]);
    Uplink::dial(&stage.center.url(), &fake).await.unwrap().deliver(&fake).await;
    stage.until_published().await;
    let connection = stage.listen().await;
    let channel = connection.create_channel().await.unwrap();
    let queue = "notifications.email".into();
    let message = channel.basic_get(queue, BasicGetOptions::default()).await.unwrap().unwrap();
    message.delivery.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    let started = Instant::now();
    loop {
        let dead = stage.drain("dead.letters").await;
        if let [(_, event)] = dead.as_slice() {
            assert_eq!(event["data"]["message"], "another");
            break;
        }
        assert!(started.elapsed() < PATIENCE && dead.is_empty(), "{dead:?}");
    }
}

/// A stream that began and ended is told once each, whatever happens to services and chains.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_begin_and_end_are_events() {
    let mut stage = Stage::new(&[]);
    stage.until_health("connected", |health| health["broker"] == "on").await;
    let mut fake = FakeBox::new();
    fake.append(&status(true, EPOCH + 1), "status", vec![]);
    fake.append(&status(false, EPOCH + 2), "status", vec![]);
    Uplink::dial(&stage.center.url(), &fake).await.unwrap().deliver(&fake).await;
    stage.until_published().await;
    let told = stage.drain("stream.processing").await;
    let names: Vec<_> = told.iter().map(|(_, event)| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["StreamStarted", "StreamStopped"]);
    let stopped = &told[1].1;
    assert_eq!((&stopped["thing"], &stopped["prefeitura"]), (&"gate-1".into(), &"sao-paulo".into()));
    assert_eq!(stopped["data"]["reason"], "the camera does not answer");
    assert_eq!((&stopped["data"]["stream"], &stopped["data"]["at_us"]), (&"main".into(), &(EPOCH + 2).into()));

    // The service is killed between the commit and the broker; the box begins a new chain with what it told before.
    stage.broker.kill();
    fake.append(&status(true, EPOCH + 3), "status", vec![]);
    Uplink::dial(&stage.center.url(), &fake).await.unwrap().deliver(&fake).await;
    stage.center.kill();
    stage.broker.start();
    stage.center.start();
    stage.until_published().await;
    let before = fake.chain.clone();
    fake.lose_database();
    for record in before {
        fake.append_draft(
            Draft::from_parts(record.kind, record.id, record.created_at_us, vec![], record.body.get().to_owned())
                .unwrap(),
        );
    }
    Uplink::dial(&stage.center.url(), &fake).await.unwrap().deliver(&fake).await;
    stage.until_published().await;
    let again = stage.drain("stream.processing").await;
    let ids = |told: &[(String, Value)]| told.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>();
    let known: BTreeSet<_> = ids(&told).union(&ids(&again)).cloned().collect();
    assert_eq!(known.len(), 3, "whoever drops the ids it knows hears of each once: {again:?}");
}

/// Two services publish what one box tells while the broker, one service and the other are killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_and_killed_services_lose_no_event() {
    let mut stage = Stage::new(&[]);
    let url = stage.broker.url();
    let mut second = Center::start_with(&stage.postgres, &stage.garage, &[("GTV_SYNC_AMQP_URL", url.as_str())]);
    stage.until_health("connected", |health| health["broker"] == "on").await;
    stage.bind_everything("everything").await;

    let mut fake = FakeBox::new();
    for round in 0..6 {
        for n in 0..400 {
            fake.detect(&format!("AB{round}{n:04}"), None);
        }
        let center = if round % 2 == 0 { &stage.center } else { &second };
        let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
        let mut next = uplink.welcome.resume_after.map_or(0, |position| position.seq) + 1;
        while next <= fake.head().seq {
            let last = (next + 49).min(fake.head().seq);
            uplink.send_batch(fake.batch(next, last)).await.unwrap();
            assert_eq!(uplink.ack().await.seq, last);
            next = last + 1;
        }
        match round {
            1 | 4 => {
                stage.broker.kill();
                stage.until_health("noticed", |h| h["broker"].as_str().unwrap().starts_with("down: ")).await;
                fake.detect("DWN0001", None);
                Uplink::dial(&stage.center.url(), &fake).await.unwrap().deliver(&fake).await;
                stage.broker.start();
            }
            2 => {
                stage.center.kill();
                stage.center.start();
            }
            3 => {
                second.kill();
                second.start();
            }
            _ => {}
        }
    }
    stage.until_published().await;
    let mut seen = BTreeSet::new();
    let mut messages = 0;
    for (id, event) in stage.drain("everything").await {
        messages += 1;
        seen.insert((id, event["seq"].as_u64().unwrap()));
    }
    let told = fake.head().seq;
    assert_eq!(seen.len() as u64, told, "every record once by its event id, in {messages} messages");
    assert_eq!(seen.iter().map(|(_, seq)| *seq).collect::<BTreeSet<_>>(), (1..=told).collect());
    assert_eq!(stage.health()["dropped_30_days"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_absent_broker_is_bounded_and_counted() {
    let postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    let nowhere = support::ports::Port::reserve();
    let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f", nowhere.number());
    let environment = [("GTV_SYNC_AMQP_URL", url.as_str()), ("GTV_SYNC_EVENTS_MAX", "25")];
    let mut center = Center::start_with(&postgres, &garage, &environment);
    let mut fake = FakeBox::new();
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
    for batch in 0..4 {
        for n in 0..10 {
            fake.detect(&format!("AB{batch}{n:04}"), None);
        }
        uplink.send_batch(fake.batch(batch * 10 + 1, batch * 10 + 10)).await.unwrap();
        uplink.ack().await;
    }
    // It looks at its start and every minute.
    center.kill();
    center.start();
    let started = Instant::now();
    let events = loop {
        let (_, body) = center.get("/healthz").unwrap();
        let events = serde_json::from_str::<Value>(&body).unwrap()["events"].clone();
        if events["dropped_30_days"] == 20 {
            break events;
        }
        assert!(started.elapsed() < PATIENCE, "{events}\n{}", center.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(events["waiting"], 20, "{events}");
    let (_, metrics) = center.get("/metrics").unwrap();
    assert!(metrics.contains("gtv_sync_events_dropped_total 20"), "{metrics}");
    let broker = events["broker"].as_str().unwrap();
    assert!(broker == "connecting" || broker.starts_with("down: "), "{broker}");
}
