//! Logs: text on a terminal, one JSON object a line under systemd or a collector.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Starts logging to standard error. `filter` has the syntax of `RUST_LOG`, which wins where it is set.
pub fn init(filter: &str, format: Format) -> Result<(), ParseError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(from_environment) if !from_environment.is_empty() => EnvFilter::try_new(from_environment)?,
        _ => EnvFilter::try_new(filter)?,
    };
    let json = match format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Text => false,
        Format::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in the same process (tests) keeps the first one's settings.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    Ok(())
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Auto,
    Text,
    Json,
}
