//! RabbitMQ: one connection with its exchanges and queues declared, and messages that count when they are confirmed. The
//! only place with AMQP.

use super::event::{
    AI_DETECTION, EVENTS, Event, NOTIFICATIONS, NOTIFICATIONS_EMAIL, RECORDING_JOBS, STREAM_PROCESSING, TASKS,
};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use std::time::Duration;

const DEAD_LETTERS: &str = "dead.letters";
/// A queue that nobody empties does not fill the broker's disk: the oldest go to the dead letters, and from there away.
const QUEUE_LENGTH_MAX: i64 = 1_000_000;
const QUEUE_HOURS: i64 = 72;
const DEAD_LENGTH_MAX: i64 = 100_000;
const DEAD_HOURS: i64 = 30 * 24;
const HOUR_MS: i64 = 3_600_000;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// For the confirmations of one round; less than a transaction may be idle.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
const PERSISTENT: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it closed the connection")]
    Gone,
    #[error("it refused {name}: its disk or memory may be at the limit")]
    Refused { name: &'static str },
    #[error("no queue takes {name} from exchange {exchange}: a binding was removed; it is declared again")]
    Unrouted { name: &'static str, exchange: &'static str },
}

pub struct Broker {
    /// Closes when it is dropped.
    _connection: Connection,
    channel: Channel,
}

impl Broker {
    /// Connects and declares everything; what is there already stays as it is.
    /// `ca`: PEM of a certificate authority that is trusted beside those that the machine knows.
    pub async fn connect(url: &str, ca: Option<String>) -> Result<Self, BrokerError> {
        let connect = async {
            let properties = ConnectionProperties::default().with_connection_name("gtv-sync".into());
            let tls = OwnedTLSConfig { identity: None, cert_chain: ca };
            let runtime = lapin::runtime::default_runtime()?;
            let connection = Connection::connect_with_config(url, properties, tls, runtime).await?;
            let channel = connection.create_channel().await?;
            declare(&channel).await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(Self { _connection: connection, channel })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| BrokerError::Silent(CONNECT_TIMEOUT))?
    }

    /// An idle connection that ended is noticed before something waits for it.
    pub fn check(&self) -> Result<(), BrokerError> {
        if self.channel.status().connected() { Ok(()) } else { Err(BrokerError::Gone) }
    }

    /// Publishes `events` and returns when the broker has all of them on its disk.
    pub async fn publish(&self, events: &[Event]) -> Result<(), BrokerError> {
        tokio::time::timeout(CONFIRM_TIMEOUT, self.publish_all(events))
            .await
            .map_err(|_| BrokerError::Silent(CONFIRM_TIMEOUT))?
    }

    async fn publish_all(&self, events: &[Event]) -> Result<(), BrokerError> {
        let mut confirms = Vec::new();
        for event in events {
            let properties = BasicProperties::default()
                .with_message_id(event.id.to_string().into())
                .with_type(event.name.into())
                .with_app_id("gtv-sync".into())
                .with_timestamp(event.timestamp_s)
                .with_content_type("application/json".into())
                .with_delivery_mode(PERSISTENT);
            for (exchange, key) in &event.routes {
                // Of the events themselves nobody has to listen; work and notifications have their queues.
                let options = BasicPublishOptions { mandatory: *exchange != EVENTS, ..BasicPublishOptions::default() };
                let (exchange_name, key) = (ShortString::from(*exchange), ShortString::from(key.as_str()));
                let confirm =
                    self.channel.basic_publish(exchange_name, key, options, &event.payload, properties.clone()).await?;
                confirms.push((event.name, *exchange, confirm));
            }
        }
        for (name, exchange, confirm) in confirms {
            let confirmation = confirm.await?;
            if !confirmation.is_ack() {
                return Err(BrokerError::Refused { name });
            }
            if confirmation.take_message().is_some() {
                return Err(BrokerError::Unrouted { name, exchange });
            }
        }
        Ok(())
    }
}

async fn declare(channel: &Channel) -> Result<(), lapin::Error> {
    let exchanges = [
        (EVENTS, ExchangeKind::Fanout),
        (TASKS, ExchangeKind::Direct),
        (NOTIFICATIONS, ExchangeKind::Topic),
        (DEAD_LETTERS, ExchangeKind::Fanout),
    ];
    for (name, kind) in exchanges {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await?;
    }
    queue(channel, DEAD_LETTERS, DEAD_LENGTH_MAX, DEAD_HOURS, None).await?;
    bind(channel, DEAD_LETTERS, DEAD_LETTERS, "").await?;
    for name in [STREAM_PROCESSING, AI_DETECTION, RECORDING_JOBS] {
        queue(channel, name, QUEUE_LENGTH_MAX, QUEUE_HOURS, Some(DEAD_LETTERS)).await?;
        bind(channel, name, TASKS, name).await?;
    }
    queue(channel, NOTIFICATIONS_EMAIL, QUEUE_LENGTH_MAX, QUEUE_HOURS, Some(DEAD_LETTERS)).await?;
    bind(channel, NOTIFICATIONS_EMAIL, NOTIFICATIONS, "alert.#").await
}

async fn queue(
    channel: &Channel,
    name: &str,
    length_max: i64,
    hours: i64,
    dead: Option<&str>,
) -> Result<(), lapin::Error> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(length_max));
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(hours * HOUR_MS));
    if let Some(dead) = dead {
        arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(dead.into()));
    }
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await?;
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), lapin::Error> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
}
