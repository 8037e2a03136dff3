//! Partitions of `ai.detections`: one a UTC day, made when its first passage comes.

use super::detections::Passage;
use super::{Database, DbError};
use chrono::{Days as Span, NaiveDate, Utc};
use std::collections::BTreeSet;
use std::sync::Mutex;
use tracing::warn;

/// A clock may be ahead by a time zone and a bit; what is further ahead goes to the default partition.
const AHEAD: Span = Span::new(2);
/// Older passages come from a clock that was wrong: boxes keep far less than this.
const BEHIND: Span = Span::new(400);

/// Days that are known to have been taken care of, so that a batch asks for each once.
#[derive(Default)]
pub struct Days(Mutex<BTreeSet<NaiveDate>>);

impl Days {
    fn missing(&self, passages: &[Passage<'_>]) -> BTreeSet<NaiveDate> {
        let today = Utc::now().date_naive();
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let plausible = |day: &NaiveDate| {
            today.checked_sub_days(BEHIND).is_none_or(|first| *day > first)
                && today.checked_add_days(AHEAD).is_none_or(|last| *day <= last)
        };
        passages.iter().map(|p| p.day).filter(|day| plausible(day) && !known.contains(day)).collect()
    }

    fn note(&self, day: NaiveDate) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(day);
    }
}

impl Database {
    /// Makes the partitions that `passages` belong to, before their transaction begins.
    pub async fn ensure_days(&self, passages: &[Passage<'_>]) -> Result<(), DbError> {
        let missing = self.days.missing(passages);
        if missing.is_empty() {
            return Ok(());
        }
        let client = self.client().await?;
        let statement = client.prepare_cached("SELECT ai.ensure_day($1)").await?;
        for day in missing {
            if !client.query_one(&statement, &[&day]).await?.try_get::<_, bool>(0)? {
                warn!(%day, "this day has rows in ai.detections_other and gets no partition of its own");
            }
            self.days.note(day);
        }
        Ok(())
    }
}
