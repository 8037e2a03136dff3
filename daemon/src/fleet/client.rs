//! The MQTT 5 connection: birth and last will, health, alerts, and the desired configuration in, the report out.
//! The only rumqttc user.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, LastWill, Packet, PubAck, PubAckReason};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use url::Url;

use super::in_flight::InFlight;
use super::topics::Topics;
use super::twin::{Report, read_desired};
use crate::alerts::{MQTT, Sender};
use crate::base::backoff::Backoff;
use crate::base::ids::BoxId;
use crate::base::secret::SecretBox;
use crate::base::tasks::{CancellationToken, OnExit, TaskResult, Tasks};
use crate::base::time::UtcMicros;
use crate::config::MqttConfig;
use crate::control::{Change, Source, SupervisorHandle};
use crate::store::{Store, StoreError, StoreEvent};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
const RECONNECT: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(120));
const MAX_PACKET_BYTES: u32 = 512 * 1024;
/// Requests to the broker that may wait; the health of an unreachable broker's time is not kept.
const QUEUE: usize = 16;
/// Alerts that wait for the broker's answer at once; the others stay in the store.
const ALERTS_AT_ONCE: usize = 8;
/// After the broker has refused an alert.
const ALERT_RETRY_US: i64 = 60_000_000;
/// What the broker has refused for this long is given up.
const ALERT_GIVE_UP_US: i64 = 7 * 86_400_000_000;
const GOODBYE: Duration = Duration::from_secs(2);

/// State of the connection, for the page and the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetStatus {
    pub connected: bool,
    pub last_error: Option<String>,
}

/// What the fleet connection is built on.
#[derive(Clone)]
pub struct FleetContext {
    pub config: MqttConfig,
    pub box_id: BoxId,
    pub secrets: SecretBox,
    pub supervisor: SupervisorHandle,
    /// Where alerts wait for the broker.
    pub store: Store,
    pub sender: Sender,
    /// The body of a health message.
    pub health: Arc<dyn Fn() -> Value + Send + Sync>,
}

/// Why the fleet connection cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("mqtt.url {url}: {message}; write mqtts://host:8883 or mqtt://host:1883")]
    Url { url: String, message: String },
    #[error("mqtt.password: {0}")]
    Password(#[from] crate::base::secret::SecretError),
}

/// Connects and stays connected until the tasks are cancelled.
pub fn start(context: FleetContext, tasks: &Tasks) -> Result<watch::Receiver<FleetStatus>, FleetError> {
    options(&context)?;
    let (status, receiver) = watch::channel(FleetStatus::default());
    let status = Arc::new(status);
    tasks.spawn("fleet", OnExit::Restart, move |stop| run(context.clone(), status.clone(), stop));
    Ok(receiver)
}

fn options(context: &FleetContext) -> Result<MqttOptions, FleetError> {
    let config = &context.config;
    let wrong = |message: String| FleetError::Url { url: config.url.clone(), message };
    let url = Url::parse(&config.url).map_err(|e| wrong(e.to_string()))?;
    let host = url.host_str().ok_or_else(|| wrong("no host".to_owned()))?;
    let secure = url.scheme() == "mqtts";
    let port = url.port().unwrap_or(if secure { 8883 } else { 1883 });
    let mut options = MqttOptions::new(format!("gtv-edge-{}", context.box_id), host, port);
    options.set_keep_alive(KEEP_ALIVE).set_request_channel_capacity(QUEUE);
    let properties = ConnectProperties { max_packet_size: Some(MAX_PACKET_BYTES), ..ConnectProperties::new() };
    options.set_connect_properties(properties);
    if secure {
        options.set_transport(Transport::Tls(TlsConfiguration::default()));
    }
    if !config.username.is_empty() {
        options.set_credentials(&config.username, context.secrets.open(&config.password)?.expose());
    }
    let topics = Topics::new(&config.topic_prefix, context.box_id);
    let will = json!({ "online": false }).to_string();
    options.set_last_will(LastWill::new(topics.state(), will, QoS::AtLeastOnce, true, None));
    Ok(options)
}

async fn run(context: FleetContext, status: Arc<watch::Sender<FleetStatus>>, stop: CancellationToken) -> TaskResult {
    let mut connection = Connection::new(&context)?;
    let mut raised = context.store.events();
    let mut health = tokio::time::interval(*context.config.health_interval);
    health.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut attempt = 0;
    loop {
        let connected = status.borrow().connected;
        tokio::select! {
            () = stop.cancelled() => {
                connection.say_goodbye().await;
                return Ok(());
            }
            _ = health.tick(), if connected => {
                connection.publish(connection.topics.health(), false, &(context.health)());
                connection.publish_alerts(&context).await?;
            }
            () = new_alert(&mut raised), if connected => connection.publish_alerts(&context).await?,
            event = connection.events.poll() => match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    attempt = 0;
                    status.send_replace(FleetStatus { connected: true, last_error: None });
                    tracing::info!(broker = context.config.url, "fleet connected");
                    let born = json!({ "online": true, "version": env!("CARGO_PKG_VERSION"), "slot": crate::update::booted_slot(), "at": UtcMicros::now().to_rfc3339() });
                    connection.publish(connection.topics.state(), true, &born);
                    connection.publish(connection.topics.health(), false, &(context.health)());
                    if connection.client.try_subscribe(connection.topics.desired(), QoS::AtLeastOnce).is_err() {
                        crate::base::metrics::dropped("fleet", "queue_full", 1);
                    }
                    connection.publish_alerts(&context).await?;
                }
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    if message.topic == connection.topics.desired().as_bytes() && !message.payload.is_empty() {
                        let report = take_desired(&context.supervisor, &message.payload).await;
                        connection.publish(connection.topics.reported(), true, &serde_json::to_value(report)?);
                    }
                }
                Ok(Event::Incoming(Packet::PubAck(answer))) => connection.take_answer(&context, &answer).await?,
                Ok(Event::Outgoing(Outgoing::Publish(packet))) => connection.in_flight.sent(packet),
                Ok(_) => {}
                Err(error) => {
                    let message = explain(&context.config.url, &error);
                    if status.borrow().last_error.as_ref() != Some(&message) {
                        tracing::warn!(error = message, "fleet connection lost");
                    }
                    status.send_replace(FleetStatus { connected: false, last_error: Some(message) });
                    // A new session: what the old one had not confirmed comes from the store again.
                    connection = Connection::new(&context)?;
                    let delay = RECONNECT.delay(attempt, rand::random());
                    attempt = attempt.saturating_add(1);
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        () = stop.cancelled() => return Ok(()),
                    }
                }
            }
        }
    }
}

/// One session with the broker.
struct Connection {
    client: AsyncClient,
    events: EventLoop,
    topics: Topics,
    in_flight: InFlight,
}

impl Connection {
    fn new(context: &FleetContext) -> Result<Self, FleetError> {
        let (client, events) = AsyncClient::new(options(context)?, QUEUE);
        let topics = Topics::new(&context.config.topic_prefix, context.box_id);
        Ok(Self { client, events, topics, in_flight: InFlight::default() })
    }

    /// Queues a message without waiting: the loop that would have to empty the queue is the caller.
    fn publish(&mut self, topic: String, retain: bool, body: &Value) {
        if self.client.try_publish(topic, QoS::AtLeastOnce, retain, body.to_string()).is_ok() {
            self.in_flight.handed_over(None);
        } else {
            crate::base::metrics::dropped("fleet", "queue_full", 1);
        }
    }

    /// The next alerts, once the broker has answered for all of the last ones.
    async fn publish_alerts(&mut self, context: &FleetContext) -> Result<(), StoreError> {
        if self.in_flight.has_alerts() {
            return Ok(());
        }
        let now = UtcMicros::now();
        let due = context.store.due_deliveries(MQTT, now, ALERTS_AT_ONCE).await?;
        for delivery in due {
            let message = context.sender.message(&delivery.alert);
            // What does not fit now is still in the store.
            if self.client.try_publish(self.topics.alerts(), QoS::AtLeastOnce, false, message).is_err() {
                break;
            }
            self.in_flight.handed_over(Some(delivery.id));
        }
        Ok(())
    }

    async fn take_answer(&mut self, context: &FleetContext, answer: &PubAck) -> Result<(), StoreError> {
        let Some(delivery) = self.in_flight.confirmed(answer.pkid) else { return Ok(()) };
        let now = UtcMicros::now();
        match answer.reason {
            // Nobody listens now: the broker took it all the same.
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => context.store.delivered(delivery).await?,
            reason => {
                let error = format!("the broker refuses it: {reason:?}; let this box publish to its alerts topic");
                let retry_at = now.add_micros(ALERT_RETRY_US);
                context.store.delivery_failed(delivery, &error, Some(retry_at)).await?;
                let before = now.add_micros(-ALERT_GIVE_UP_US);
                context.store.give_up_deliveries(MQTT, before, &format!("refused for 7 days: {error}")).await?;
            }
        }
        self.publish_alerts(context).await
    }

    /// An orderly end: the broker sends no last will then, so the box says itself that it leaves.
    async fn say_goodbye(&mut self) {
        self.publish(self.topics.state(), true, &json!({ "online": false, "reason": "stopped" }));
        if self.client.try_disconnect().is_err() {
            return;
        }
        let flushed = async { while self.events.poll().await.is_ok() {} };
        // What is not out by then is covered by the last will.
        let _ = tokio::time::timeout(GOODBYE, flushed).await;
    }
}

async fn new_alert(raised: &mut broadcast::Receiver<StoreEvent>) {
    loop {
        match raised.recv().await {
            Ok(StoreEvent::Alert(_)) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn take_desired(supervisor: &SupervisorHandle, payload: &[u8]) -> Report {
    let at = UtcMicros::now().to_rfc3339();
    let wanted = match read_desired(payload, &supervisor.file()) {
        Ok(wanted) => wanted,
        Err((version, problems)) => {
            tracing::warn!(version, faults = problems.len(), "desired configuration refused");
            return Report::refused(version, problems, at);
        }
    };
    let version = wanted.version;
    match supervisor.apply(Change { source: Source::Fleet { version }, desired: wanted.config }).await {
        Ok(applied) => Report::applied(version, applied.needs_restart, at),
        Err(refused) => Report::refused(Some(version), refused.problems, at),
    }
}

fn explain(url: &str, error: &ConnectionError) -> String {
    let advice = match error {
        ConnectionError::ConnectionRefused(_) => "the broker refuses this box: check mqtt.username and mqtt.password",
        ConnectionError::Tls(_) => "check the broker's certificate and the box's clock",
        _ => "check the network and mqtt.url; the box keeps trying",
    };
    format!("{url}: {error}; {advice}")
}
