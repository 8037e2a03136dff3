//! Wall-clock time as a newtype: microseconds, UTC. Monotonic time stays `std::time::Instant`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcMicros(pub i64);

impl UtcMicros {
    /// The box's wall clock; a clock before 1970 reads as 0.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    pub fn add_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to `self`; negative where `self` is before it.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `None` outside chrono's range (about 262,000 years either way).
    pub fn to_datetime(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }

    /// `2026-01-31T12:00:00.000000Z`, or the bare number where the calendar has no such date.
    pub fn to_rfc3339(self) -> String {
        self.to_datetime().map_or_else(|| self.0.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    pub fn parse_rfc3339(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|time| Self(time.timestamp_micros()))
    }
}

impl fmt::Display for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_there_and_back() {
        let time = UtcMicros(1_790_000_000_123_456);
        assert_eq!(UtcMicros::parse_rfc3339(&time.to_rfc3339()).unwrap(), time);
        assert_eq!(UtcMicros(i64::MAX).to_rfc3339(), i64::MAX.to_string());
    }
}
