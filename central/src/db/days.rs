//! Partitions of `ai.detections`: one a UTC day, made before its first passage comes. What has none goes to the default
//! partition, so that a passage never waits for one.

use super::detections::Passage;
use super::{Database, DbError};
use chrono::{Days as Span, NaiveDate, Utc};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::error::SqlState;
use tracing::warn;

/// A clock may be ahead by a time zone and a bit; what is further ahead goes to the default partition.
const AHEAD: Span = Span::new(2);
/// Older passages come from a clock that was wrong: boxes keep far less than this.
const BEHIND: Span = Span::new(400);
/// A partition needs the default one for itself. Whoever reads that (pg_dump does for hours) is waited for this long, and
/// so is this long what others wait behind.
const LIMITS: &str = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '20s'";
/// After it could not be made, batches do without for this long.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What this service knows of the days, so that a batch asks for each once.
#[derive(Default)]
pub struct Days(Mutex<Known>);

#[derive(Default)]
struct Known {
    made: BTreeSet<NaiveDate>,
    /// Until then no batch tries to make one.
    postponed: Option<Instant>,
}

impl Days {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self, passages: &[Passage<'_>]) -> BTreeSet<NaiveDate> {
        let today = Utc::now().date_naive();
        let known = self.known();
        if known.postponed.is_some_and(|until| Instant::now() < until) {
            return BTreeSet::new();
        }
        passages.iter().map(|p| p.day).filter(|day| is_plausible(today, *day) && !known.made.contains(day)).collect()
    }
}

fn is_plausible(today: NaiveDate, day: NaiveDate) -> bool {
    today.checked_sub_days(BEHIND).is_none_or(|first| day > first)
        && today.checked_add_days(AHEAD).is_none_or(|last| day <= last)
}

impl Database {
    /// Makes the partitions that `passages` belong to, before their transaction begins. Where that cannot be done soon
    /// they go to the default partition, and from there into their day when `make_days` is called.
    pub async fn ensure_days(&self, passages: &[Passage<'_>]) -> Result<(), DbError> {
        for day in self.days.missing(passages) {
            if !self.make_day(day).await? {
                break;
            }
        }
        Ok(())
    }

    /// Makes the partitions of the coming days and those of days that the default partition has passages of; `false` if
    /// that has to wait.
    pub async fn make_days(&self) -> Result<bool, DbError> {
        let today = Utc::now().date_naive();
        let sql = "SELECT DISTINCT (first_seen AT TIME ZONE 'UTC')::date FROM ai.detections_other
                   WHERE first_seen > now() - interval '401 days' AND first_seen < now() + interval '4 days'";
        let rows = self.client().await?.query(sql, &[]).await?;
        // Those of the coming passages first.
        let mut days: Vec<NaiveDate> = today.iter_days().take(3).collect();
        for row in rows {
            days.push(row.try_get(0)?);
        }
        for day in days.into_iter().filter(|day| is_plausible(today, *day)) {
            if !self.make_day(day).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn make_day(&self, day: NaiveDate) -> Result<bool, DbError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        tx.batch_execute(LIMITS).await?;
        match tx.query_one("SELECT ai.ensure_day($1)", &[&day]).await {
            Ok(_) => tx.commit().await?,
            Err(error) if is_busy(&error) => {
                let problem = super::chain_of(&error);
                warn!(%day, problem, "no partition for this day now; its passages go to ai.detections_other until there is");
                self.days.known().postponed = Some(Instant::now() + RETRY_AFTER);
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        self.days.known().made.insert(day);
        Ok(true)
    }
}

/// Somebody else had the table for too long.
pub fn is_busy(error: &tokio_postgres::Error) -> bool {
    let busy = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| busy.contains(code))
}
