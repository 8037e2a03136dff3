//! RabbitMQ and Redis over TLS with certificates of a private authority: what works with the right one, and what
//! `/healthz` says with a wrong one.

mod client;
mod support;

use client::{FakeBox, Uplink};
use lapin::options::BasicGetOptions;
use lapin::tcp::OwnedTLSConfig;
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Authority, Center, Garage, Postgres, Rabbitmq, Redis};

const PATIENCE: Duration = Duration::from_secs(90);

struct Stage {
    postgres: Postgres,
    garage: Garage,
    broker: Rabbitmq,
    redis: Redis,
    authority: Authority,
}

impl Stage {
    fn new() -> Self {
        let authority = Authority::new();
        Self {
            postgres: Postgres::start_new(),
            garage: Garage::start_empty(),
            broker: Rabbitmq::start_tls(&authority),
            redis: Redis::start_tls(&authority),
            authority,
        }
    }

    fn center(&self, ca: &Path) -> Center {
        let (amqp, redis, ca) = (self.broker.url(), self.redis.url(), ca.display().to_string());
        let settings = [
            ("GTV_SYNC_AMQP_URL", amqp.as_str()),
            ("GTV_SYNC_AMQP_CA_FILE", ca.as_str()),
            ("GTV_SYNC_REDIS_URL", redis.as_str()),
            ("GTV_SYNC_REDIS_CA_FILE", ca.as_str()),
        ];
        Center::start_with(&self.postgres, &self.garage, &settings)
    }
}

/// Waits until `/healthz` says of broker and Redis what is wanted.
async fn until(center: &Center, wanted: impl Fn(&str, &str) -> bool) -> (String, String) {
    let started = Instant::now();
    loop {
        let (_, body) = center.get("/healthz").unwrap();
        let health: Value = serde_json::from_str(&body).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (broker, redis) = (text(&health["events"]["broker"]), text(&health["live_status"]));
        if wanted(&broker, &redis) {
            return (broker, redis);
        }
        assert!(started.elapsed() < PATIENCE, "{broker}; {redis}\n{}", center.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_where_it_is_named_and_nowhere_else() {
    let stage = Stage::new();
    let center = stage.center(&stage.authority.ca());
    let mut fake = FakeBox::new();
    fake.detect("ABC1D23", None);
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
    uplink.deliver(&fake).await;
    until(&center, |broker, redis| (broker, redis) == ("on", "on")).await;

    let pem = std::fs::read_to_string(stage.authority.ca()).unwrap();
    let tls = OwnedTLSConfig { identity: None, cert_chain: Some(pem.clone()) };
    let runtime = lapin::runtime::default_runtime().unwrap();
    let url = stage.broker.url();
    let properties = ConnectionProperties::default();
    let connection = Connection::connect_with_config(&url, properties, tls, runtime).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let started = Instant::now();
    let event = loop {
        if let Some(message) = channel.basic_get("ai.detection".into(), BasicGetOptions::default()).await.unwrap() {
            break serde_json::from_slice::<Value>(&message.delivery.data).unwrap();
        }
        assert!(started.elapsed() < PATIENCE, "{}", center.log());
    };
    assert_eq!(event["event"], "PlateDetected");
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem.into_bytes()) };
    let client = redis::Client::build_with_tls(stage.redis.url(), certificates).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let key = format!("gtv:box:{}", fake.id);
    let state = loop {
        let state: Option<String> = redis::cmd("GET").arg(&key).query_async(&mut connection).await.unwrap();
        if let Some(state) = state {
            break state;
        }
        assert!(started.elapsed() < PATIENCE, "{}", center.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(state.contains("online"));
    drop(uplink);

    // Another authority: the service runs and takes records, and says what is wrong and which flag it is about.
    let other = Authority::new();
    let center = stage.center(&other.ca());
    let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
    fake.detect("ABC1D24", None);
    uplink.send_batch(fake.batch(2, 2)).await.unwrap();
    uplink.ack().await;
    let (broker, redis) =
        until(&center, |broker, redis| broker.starts_with("down: ") && redis.starts_with("down: ")).await;
    assert!(broker.contains("certificate") && broker.contains("--amqp-ca-file"), "{broker}");
    assert!(redis.contains("certificate") && redis.contains("--redis-ca-file"), "{redis}");
}
