//! Tells webhooks of alerts: signed, one task a receiver, from the durable queue of the store. A receiver that does not
//! answer is asked again after a growing, jittered pause; what it has not taken for `give_up` is given up and counted.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, header};
use tokio::sync::{broadcast, watch};

use super::message::Sender;
use super::signature;
use crate::base::backoff::Backoff;
use crate::base::secret::{Secret, SecretBox};
use crate::base::tasks::{CancellationToken, OnExit, TaskResult, Tasks};
use crate::base::time::UtcMicros;
use crate::config::{Config, WebhookConfig};
use crate::store::{AlertPolicy, AlertTarget, Delivery, Store, StoreError, StoreEvent};

/// The broker of the fleet, as a receiver of alerts.
pub const MQTT: &str = "mqtt";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
/// How often deliveries that wait for their own retry are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 16;

/// What the webhooks are built on.
#[derive(Clone)]
pub struct WebhookContext {
    pub store: Store,
    /// The configuration in force; a change of the webhooks or of `[alerts]` takes effect at once.
    pub config: watch::Receiver<Arc<Config>>,
    pub secrets: SecretBox,
    pub sender: Sender,
}

/// Who is told of alerts, and when a listed vehicle is worth one.
pub fn policy(config: &Config) -> AlertPolicy {
    let webhooks = config.webhooks.iter().map(|hook| AlertTarget { name: target(hook), kinds: hook.kinds.clone() });
    let broker = (!config.mqtt.url.is_empty()).then(|| AlertTarget { name: MQTT.to_owned(), kinds: Vec::new() });
    AlertPolicy {
        alternative_min: config.alerts.min_alternative,
        cooldown_us: config.alerts.cooldown.micros(),
        min_coverage: config.alerts.min_coverage,
        targets: webhooks.chain(broker).collect(),
    }
}

fn target(hook: &WebhookConfig) -> String {
    format!("webhook/{}", hook.name)
}

/// Runs until the tasks are cancelled.
pub fn start_webhooks(context: WebhookContext, tasks: &Tasks) {
    tasks.spawn("webhooks", OnExit::Restart, move |stop| run(context.clone(), stop));
}

async fn run(mut context: WebhookContext, stop: CancellationToken) -> TaskResult {
    loop {
        let config = context.config.borrow_and_update().clone();
        context.store.set_alert_policy(policy(&config)).await?;
        let round = stop.child_token();
        let mut hooks = tokio::task::JoinSet::new();
        for hook in config.webhooks.clone() {
            let receiver = Receiver::new(&context, hook)?;
            hooks.spawn(receiver.serve(round.clone()));
        }
        let changed = async {
            // The sender is the supervisor: it ends when the box does.
            while context.config.changed().await.is_ok() {
                let new = context.config.borrow().clone();
                if new.webhooks != config.webhooks || new.alerts != config.alerts {
                    return;
                }
            }
            stop.cancelled().await;
        };
        let ended = tokio::select! {
            () = changed => None,
            () = stop.cancelled() => None,
            ended = hooks.join_next(), if !hooks.is_empty() => ended,
        };
        round.cancel();
        if let Some(ended) = ended {
            ended??;
        }
        while let Some(ended) = hooks.join_next().await {
            ended??;
        }
        if stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Why an alert was not taken.
enum Failure {
    /// Another message may do better.
    Message(String),
    /// The receiver takes nothing now; it may have said until when.
    Receiver(String, Option<Duration>),
}

struct Receiver {
    store: Store,
    sender: Sender,
    client: Client,
    hook: WebhookConfig,
    secret: Secret,
    target: String,
}

impl Receiver {
    fn new(context: &WebhookContext, hook: WebhookConfig) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // A redirect would carry a plate to where nobody meant it to go.
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .https_only(!hook.allow_http)
            .user_agent(concat!("gtv-edge/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let secret = context.secrets.open(&hook.secret)?;
        let target = target(&hook);
        Ok(Self { store: context.store.clone(), sender: context.sender.clone(), client, hook, secret, target })
    }

    async fn serve(self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut events = self.store.events();
        let mut failures = 0;
        while !stop.is_cancelled() {
            let due = self.store.due_deliveries(&self.target, UtcMicros::now(), AT_ONCE).await?;
            if due.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = new_alert(&mut events) => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
                continue;
            }
            for delivery in due {
                let sent = stop.run_until_cancelled(self.send(&delivery)).await;
                let pause = match sent {
                    None => return Ok(()),
                    Some(Ok(())) => {
                        failures = 0;
                        self.store.delivered(delivery.id).await?;
                        continue;
                    }
                    Some(Err(Failure::Message(error))) => {
                        self.refused(&delivery, &error).await?;
                        continue;
                    }
                    Some(Err(Failure::Receiver(error, asked))) => {
                        let pause = asked.unwrap_or_else(|| RETRY.delay(failures, rand::random())).min(RETRY.max);
                        self.unreachable(&delivery, &error).await?;
                        pause
                    }
                };
                failures = failures.saturating_add(1);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                break;
            }
        }
        Ok(())
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), Failure> {
        let body = self.sender.message(&delivery.alert);
        let signature = signature::sign(&self.secret, UtcMicros::now().0 / 1_000_000, &body);
        let request = self
            .client
            .post(&self.hook.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-gtv-event", &delivery.alert.kind)
            .header("x-gtv-delivery", delivery.alert.id.to_string())
            .header(signature::HEADER, signature)
            .body(body);
        // The address may hold a token: it is no part of any message.
        let answer = request.send().await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::Receiver(format!("{}{cause}", error.without_url()), None)
        })?;
        judge(answer.status(), answer.headers())
    }

    /// This one waits by itself; those after it go on.
    async fn refused(&self, delivery: &Delivery, error: &str) -> Result<(), StoreError> {
        let now = UtcMicros::now();
        let over = now.since(delivery.queued_at) >= self.hook.give_up.micros();
        let pause = RETRY.delay(delivery.tries, rand::random());
        let retry_at = (!over).then(|| now.add_micros(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)));
        self.store.delivery_failed(delivery.id, error, retry_at).await
    }

    /// The oldest is tried again first; what has waited for too long goes.
    async fn unreachable(&self, delivery: &Delivery, error: &str) -> Result<(), StoreError> {
        let now = UtcMicros::now();
        self.store.delivery_failed(delivery.id, error, Some(now)).await?;
        let before = now.add_micros(-self.hook.give_up.micros());
        let reason = format!("not delivered within {}: {error}", self.hook.give_up);
        self.store.give_up_deliveries(&self.target, before, &reason).await?;
        Ok(())
    }
}

async fn new_alert(events: &mut broadcast::Receiver<StoreEvent>) {
    loop {
        match events.recv().await {
            Ok(StoreEvent::Alert(_)) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn judge(status: StatusCode, headers: &header::HeaderMap) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        let error = format!("it answers {status}: redirects are not followed; write the final address as webhook url");
        return Err(Failure::Receiver(error, None));
    }
    let error = format!("it answers {status}");
    match status.as_u16() {
        // About this message; all others are about the receiver or the address.
        400 | 409 | 413 | 415 | 422 => Err(Failure::Message(error)),
        _ => {
            let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Err(Failure::Receiver(error, asked.map(Duration::from_secs)))
        }
    }
}
