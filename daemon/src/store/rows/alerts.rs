//! Alerts, and the watchlists that raise them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::ids::{CameraId, DetectionId};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;
use crate::store::error::StoreError;

/// In rising order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for Severity {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        match text {
            "info" => Ok(Self::Info),
            "warning" => Ok(Self::Warning),
            "critical" => Ok(Self::Critical),
            _ => Err(StoreError::invalid(format!("severity `{text}`"), "use info, warning or critical")),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRow {
    pub id: Uuid,
    pub at: UtcMicros,
    /// For example `watchlist-hit` or `camera-lost`.
    pub kind: String,
    pub severity: Severity,
    pub camera: Option<CameraId>,
    pub detection: Option<DetectionId>,
    /// For people; never a plate.
    pub title: String,
    pub detail: serde_json::Value,
    pub acknowledged_at: Option<UtcMicros>,
    pub acknowledged_by: Option<String>,
}

// The detail of a watchlist hit has plates, so a derived Debug would leak them (T2).
impl fmt::Debug for AlertRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertRow")
            .field("id", &self.id)
            .field("at", &self.at)
            .field("kind", &self.kind)
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}

/// A list of vehicles somebody looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchlistRow {
    pub id: Uuid,
    /// Unique on the box, whatever the case of its letters.
    pub name: String,
    pub severity: Severity,
    /// For entries that have none of their own.
    pub reason: String,
    /// A list that is off raises nothing.
    pub enabled: bool,
    pub entries: u64,
    pub created_at: UtcMicros,
    pub created_by: String,
}

/// One vehicle of a list; the plate in either Brazilian spelling means the same vehicle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEntry {
    pub plate: Plate,
    /// Empty: the list's.
    pub reason: String,
    /// Passages before this time raise nothing.
    pub valid_from: Option<UtcMicros>,
    /// Passages from this time on raise nothing.
    pub valid_until: Option<UtcMicros>,
}
