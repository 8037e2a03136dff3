//! `[box]` and `[log]`: which box this is, and how it logs.

use serde::{Deserialize, Serialize};

use crate::base::log::Format;

/// `[box]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BoxConfig {
    /// Shown on the page and upstream.
    pub name: String,
    /// The tenant this box belongs to (its slug at the centre).
    pub prefeitura: String,
    /// Where the box stands, in words.
    pub site: String,
}

impl Default for BoxConfig {
    fn default() -> Self {
        Self { name: "gtv-edge".to_owned(), prefeitura: "demo".to_owned(), site: String::new() }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Syntax of `RUST_LOG`.
    pub filter: String,
    pub format: Format,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info,ort=warn".to_owned(), format: Format::Auto }
    }
}
