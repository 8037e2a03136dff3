//! Alerts: the rules of the box itself (pure; the watch feeds them), watchlists as files, and the delivery of alerts to
//! webhooks. Hits on watchlists are raised by the store, in the transaction that keeps the passage.

mod import;
mod message;
mod problem;
mod rules;
mod sheet;
mod signature;
mod watch;
mod webhooks;

pub use import::{ImportError, Rejected, Summary, import};
pub use message::Sender;
pub use rules::CameraHealth;
#[cfg(any(test, fuzzing))]
pub use sheet::fuzz_sheet;
pub use sheet::{clean_reason, write_header, write_row};
pub use watch::start;
pub use webhooks::{MQTT, WebhookContext, policy, start_webhooks};
