//! Structured logs: text on a terminal, JSON otherwise. Bodies of records (plates) are never logged.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Level by `RUST_LOG`, `info` without it. Logs go to standard error; standard output is for results.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
