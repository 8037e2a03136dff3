//! Answers that may be a few minutes old, kept in Redis: registers and sums, never personal data and never what is alive
//! now. Each prefeitura has keys of its own, and without Redis every question goes to PostgreSQL.

use super::questions::Filter;
use super::{Answer, ApiError};
use crate::live::Live;
use crate::metrics;
use ::metrics::counter;
use gtv_protocol::hex_bytes::HexBytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::debug;
use uuid::Uuid;

pub const SECONDS: u64 = 300;
/// Longer answers are not kept: whoever asks many different ones must not fill Redis.
const BYTES_MAX: usize = 1 << 20;

/// Whether an answer was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is never kept.
    Live,
    /// It was asked now, and is kept for the next one.
    Miss,
    /// It is as old as this, in seconds.
    Hit(u64),
}

/// What of the cache a question takes part in.
pub struct Cache<'a> {
    pub live: Option<&'a Live>,
    pub tenant: Uuid,
    /// The asker wants to know how it is now.
    pub fresh: bool,
}

impl Cache<'_> {
    /// The kept answer to the question `path` with `filter`, or the one of `ask`.
    pub async fn answer(
        &self,
        path: &str,
        filter: &Filter,
        ask: impl Future<Output = Answer>,
    ) -> Result<(Value, Origin), ApiError> {
        let Some(live) = self.live else { return Ok((ask.await?, Origin::Miss)) };
        let key = key(self.tenant, path, filter);
        let recalled = if self.fresh { Ok(None) } else { live.recall(&key).await };
        let outcome = match &recalled {
            Ok(Some((text, left))) => {
                if let Ok(value) = serde_json::from_str(text) {
                    count("hit");
                    return Ok((value, Origin::Hit(SECONDS.saturating_sub(*left))));
                }
                "miss"
            }
            Ok(None) if self.fresh => "fresh",
            Ok(None) => "miss",
            Err(problem) => {
                debug!(problem, "Redis cannot be asked for a kept answer");
                "down"
            }
        };
        count(outcome);
        let value = ask.await?;
        if recalled.is_ok() {
            let text = value.to_string();
            if text.len() <= BYTES_MAX {
                live.keep(&key, &text, SECONDS).await;
            }
        }
        Ok((value, Origin::Miss))
    }
}

fn count(outcome: &'static str) {
    counter!(metrics::API_CACHE, "outcome" => outcome).increment(1);
}

/// The same for the same question, in whatever order its conditions are written.
fn key(tenant: Uuid, path: &str, filter: &Filter) -> String {
    let mut hash = Sha256::new();
    hash.update(path.as_bytes());
    hash.update(b"?");
    hash.update(serde_json::to_vec(filter).unwrap_or_default());
    format!("gtv:cache:{tenant}:{}", HexBytes::<32>(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_paths_and_conditions_are_kept_apart() {
        let filter = |query: &str| super::super::filter_of("streaming/coverage", query).unwrap();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let coverage = |tenant, query| key(tenant, "streaming/coverage", &filter(query));
        assert_eq!(
            coverage(one, "camera=a&to=2026-01-01T00:00:00Z"),
            coverage(one, "to=2026-01-01T00:00:00Z&camera=a")
        );
        assert_ne!(coverage(one, "camera=a"), coverage(other, "camera=a"));
        assert_ne!(coverage(one, "camera=a"), coverage(one, "camera=b"));
        assert_ne!(coverage(one, ""), key(one, "cidades/cameras", &filter("")));
    }
}
