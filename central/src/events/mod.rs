//! Domain events: what the boxes told, published to RabbitMQ after it is committed. At least once: a batch stays in
//! `sync.outbox` until the broker has confirmed all of it, and any of the services may be the one to publish it.

mod broker;
pub mod event;

use crate::authority;
use crate::db::{Database, DbError, outbox};
use crate::metrics;
use crate::settings::EventsArgs;
use ::metrics::{counter, gauge};
use broker::{Broker, BrokerError};
use event::Event;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

/// Batches published in one round; each has at most 1000 records.
const BATCHES_A_ROUND: i64 = 8;
/// Looks for batches of other services, which do not wake this one.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
const COUNT_EVERY: Duration = Duration::from_secs(10);
const PRUNE_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("the broker: {0}")]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Publishes what is in the outbox, and knows how that goes.
pub struct Events {
    url: String,
    /// PEM of the broker's certificate authority.
    ca: Option<String>,
    records_max: u64,
    hours: u32,
    wake: Notify,
    state: Mutex<State>,
}

struct State {
    /// Whether there is a connection, or why it ended.
    broker: Result<bool, String>,
    waiting: outbox::Waiting,
}

impl Events {
    /// `None` if nobody configured a broker.
    pub fn new(args: &EventsArgs) -> anyhow::Result<Option<Self>> {
        let Some(url) = &args.amqp_url else { return Ok(None) };
        let problem = match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "amqp" | "amqps") && parsed.has_host() => None,
            Ok(parsed) => Some(format!("{}:// is not it", parsed.scheme())),
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            anyhow::bail!("--amqp-url: {problem}; write it like amqps://user:password@host:5671/%2f");
        }
        let ca = authority::read("--amqp-ca-file", args.amqp_ca_file.as_deref(), url, "amqps")?;
        Ok(Some(Self {
            url: url.clone(),
            // It was read as PEM, which is text.
            ca: ca.map(|pem| String::from_utf8_lossy(&pem).into_owned()),
            records_max: args.events_max,
            hours: args.events_hours,
            wake: Notify::new(),
            state: Mutex::new(State { broker: Ok(false), waiting: outbox::Waiting::default() }),
        }))
    }

    /// A batch was committed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// For `/healthz`.
    pub fn health(&self) -> Value {
        let state = self.lock();
        let connected = match &state.broker {
            Ok(true) => "on".to_owned(),
            Ok(false) => "connecting".to_owned(),
            Err(problem) => format!("down: {problem}"),
        };
        let outbox::Waiting { records, oldest_s, dropped } = state.waiting;
        json!({ "broker": connected, "waiting": records, "oldest_s": oldest_s, "dropped_30_days": dropped })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes until `stopping`; what is on its way then is repeated by whoever comes next.
    pub async fn run(&self, db: &Database, stopping: &CancellationToken) {
        let publish = async {
            let mut wait = RETRY_FIRST;
            loop {
                let Err(error) = self.publish(db, &mut wait).await;
                let problem = authority::explain(error.to_string(), "--amqp-ca-file");
                gauge!(metrics::BROKER_CONNECTED).set(0.0);
                warn!(problem, retry_s = wait.as_secs_f32(), "events could not be published; they wait");
                self.lock().broker = Err(problem);
                tokio::time::sleep(wait.mul_f32(rand::random_range(0.5..1.0))).await;
                wait = (wait * 2).min(RETRY_LONGEST);
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = publish => {}
            () = self.keep_bounded(db) => {}
        }
    }

    async fn publish(&self, db: &Database, wait: &mut Duration) -> Result<Infallible, PublishError> {
        let broker = Broker::connect(&self.url, self.ca.clone()).await?;
        gauge!(metrics::BROKER_CONNECTED).set(1.0);
        info!("connected to the broker; its exchanges and queues are declared");
        self.lock().broker = Ok(true);
        loop {
            while self.round(db, &broker).await? {
                *wait = RETRY_FIRST;
            }
            let _ = tokio::time::timeout(LOOK_EVERY, self.wake.notified()).await;
            broker.check()?;
        }
    }

    /// True if there was something to publish.
    async fn round(&self, db: &Database, broker: &Broker) -> Result<bool, PublishError> {
        let mut client = db.client().await?;
        let taken = outbox::take(&mut client, BATCHES_A_ROUND).await?;
        if taken.is_empty() {
            return Ok(false);
        }
        let events: Vec<Event> = taken.records.iter().flat_map(event::of).collect();
        broker.publish(&events).await?;
        taken.published().await?;
        for event in &events {
            counter!(metrics::EVENTS, "event" => event.name).increment(1);
        }
        Ok(true)
    }

    /// Counts what waits, and lets go of what waits too long or is too much, whether the broker is there or not.
    async fn keep_bounded(&self, db: &Database) {
        loop {
            match db.prune_outbox(self.records_max, self.hours).await {
                Ok(0) => {}
                Ok(dropped) => {
                    counter!(metrics::EVENTS_DROPPED).increment(dropped);
                    warn!(dropped, "records that waited too long for the broker are not published any more");
                }
                Err(error) => warn!(%error, "the outbox could not be kept within its bounds"),
            }
            for _ in 0..PRUNE_EVERY.as_secs() / COUNT_EVERY.as_secs() {
                if let Ok(waiting) = db.outbox_waiting().await {
                    gauge!(metrics::EVENTS_WAITING).set(waiting.records as f64);
                    self.lock().waiting = waiting;
                }
                tokio::time::sleep(COUNT_EVERY).await;
            }
        }
    }
}
