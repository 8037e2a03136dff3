//! Alerts on their way to receivers outside (webhooks, the broker): a row an alert and receiver, written with the
//! alert, so that no restart forgets one. Bounded per receiver; what is given up is counted with the reason.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::rows::AlertRow;
use super::sql::{Text, unsigned};
use super::{AlertPolicy, Store, StoreError, alerts};
use crate::base::time::UtcMicros;

/// Alerts that may wait for one receiver; beyond that the oldest go.
pub const WAITING_MAX: i64 = 10_000;
/// A delivery that is not due for longer than any retry waits: the clock was set back.
const LONGEST_WAIT_US: i64 = 3_600_000_000;

/// Somebody outside who is told of alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertTarget {
    /// For example `webhook/police`; the name under which its deliveries are kept.
    pub name: String,
    /// Kinds of alerts it wants; empty: all.
    pub kinds: Vec<String>,
}

/// An alert that a receiver has not confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: i64,
    pub alert: AlertRow,
    pub queued_at: UtcMicros,
    /// Tries that failed so far.
    pub tries: u32,
}

/// How delivery to one receiver stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatus {
    pub name: String,
    pub waiting: u64,
    pub oldest_queued_at: Option<UtcMicros>,
    pub delivered: u64,
    /// Not delivered and not tried any more.
    pub given_up: u64,
    pub delivered_at: Option<UtcMicros>,
    /// The newest failure; nothing since the last success.
    pub error: Option<String>,
    pub error_at: Option<UtcMicros>,
}

impl Store {
    /// Takes effect with the next passage. What waits for receivers that are no longer among the targets is given up.
    pub async fn set_alert_policy(&self, policy: AlertPolicy) -> Result<(), StoreError> {
        let watch = self.inner.watch.clone();
        self.write("take over who is told of alerts", move |tx| {
            let waiting: Vec<String> = tx
                .prepare_cached("SELECT DISTINCT target FROM alert_deliveries")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for name in waiting.iter().filter(|name| !policy.targets.iter().any(|target| target.name == **name)) {
                let gone = tx.prepare_cached("DELETE FROM alert_deliveries WHERE target = ?1")?.execute([name])?;
                given_up(tx, name, gone as i64, "the receiver is no longer configured")?;
            }
            *watch.policy() = policy;
            Ok(())
        })
        .await
    }

    /// What is due for `target` at `now`, oldest first.
    pub async fn due_deliveries(
        &self,
        target: &str,
        now: UtcMicros,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let target = target.to_owned();
        self.read("list alerts to deliver", move |c| {
            let mut statement = c.prepare_cached(
                "SELECT id, alert, queued_at, tries FROM alert_deliveries
                 WHERE target = ?1 AND (not_before <= ?2 OR not_before > ?3) ORDER BY id LIMIT ?4",
            )?;
            let rows = statement
                .query_map(params![target, now, now.add_micros(LONGEST_WAIT_US), limit as i64], |row: &Row<'_>| {
                    Ok((row.get(0)?, row.get::<_, Text<Uuid>>(1)?.0, row.get(2)?, row.get(3)?))
                })?;
            let mut due = Vec::new();
            for row in rows {
                let (id, alert, queued_at, tries) = row?;
                // A foreign key holds the alert; it cannot be missing.
                if let Some(alert) = alerts::get(c, alert)? {
                    due.push(Delivery { id, alert, queued_at, tries });
                }
            }
            Ok(due)
        })
        .await
    }

    pub async fn delivered(&self, id: i64) -> Result<(), StoreError> {
        self.write("note a delivered alert", move |tx| {
            let Some(target) = remove(tx, id)? else { return Ok(()) };
            tx.prepare_cached(
                "INSERT INTO alert_targets (name, delivered, delivered_at) VALUES (?1, 1, ?2) ON CONFLICT (name)
                 DO UPDATE SET delivered = delivered + 1, delivered_at = ?2, error = NULL, error_at = NULL",
            )?
            .execute(params![target, UtcMicros::now()])?;
            metrics::counter!("gtv_alert_deliveries_total", "target" => target, "outcome" => "delivered").increment(1);
            Ok(())
        })
        .await
    }

    /// Tried again from `retry_at` on, or, without that, given up.
    pub async fn delivery_failed(&self, id: i64, error: &str, retry_at: Option<UtcMicros>) -> Result<(), StoreError> {
        let error = error.to_owned();
        self.write("note a failed delivery", move |tx| {
            let Some(retry_at) = retry_at else {
                return match remove(tx, id)? {
                    Some(target) => given_up(tx, &target, 1, &error),
                    None => Ok(()),
                };
            };
            let mut statement = tx.prepare_cached(
                "UPDATE alert_deliveries SET tries = tries + 1, not_before = ?2 WHERE id = ?1 RETURNING target",
            )?;
            let target: Vec<String> =
                statement.query_map(params![id, retry_at], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for target in target {
                note_error(tx, &target, 0, &error)?;
            }
            Ok(())
        })
        .await
    }

    /// Gives up what `target` was queued before `before` and has not taken. Returns how many.
    pub async fn give_up_deliveries(&self, target: &str, before: UtcMicros, reason: &str) -> Result<usize, StoreError> {
        let (target, reason) = (target.to_owned(), reason.to_owned());
        self.write("give up old deliveries", move |tx| {
            let gone = tx
                .prepare_cached("DELETE FROM alert_deliveries WHERE target = ?1 AND queued_at < ?2")?
                .execute(params![target, before])?;
            given_up(tx, &target, gone as i64, &reason)?;
            Ok(gone)
        })
        .await
    }

    /// Of the receivers that are told of alerts now.
    pub async fn alert_targets(&self) -> Result<Vec<TargetStatus>, StoreError> {
        let names: Vec<String> = self.inner.watch.policy().targets.iter().map(|target| target.name.clone()).collect();
        self.read("read how delivery of alerts stands", move |c| {
            let mut targets = Vec::new();
            for name in names {
                let mut waiting =
                    c.prepare_cached("SELECT count(*), min(queued_at) FROM alert_deliveries WHERE target = ?1")?;
                let (waiting, oldest) = waiting.query_one([&name], |row| Ok((unsigned(row, 0)?, row.get(1)?)))?;
                let mut kept = c.prepare_cached(
                    "SELECT delivered, given_up, delivered_at, error, error_at FROM alert_targets WHERE name = ?1",
                )?;
                let mut status = TargetStatus { name, waiting, oldest_queued_at: oldest, ..TargetStatus::default() };
                let mut rows = kept.query([&status.name])?;
                if let Some(row) = rows.next()? {
                    (status.delivered, status.given_up) = (unsigned(row, 0)?, unsigned(row, 1)?);
                    (status.delivered_at, status.error, status.error_at) = (row.get(2)?, row.get(3)?, row.get(4)?);
                }
                drop(rows);
                targets.push(status);
            }
            Ok(targets)
        })
        .await
    }
}

/// Queues an alert for everybody who wants its kind.
pub(super) fn queue(c: &Connection, policy: &AlertPolicy, alert: &AlertRow) -> Result<(), StoreError> {
    for target in &policy.targets {
        if !target.kinds.is_empty() && !target.kinds.contains(&alert.kind) {
            continue;
        }
        c.prepare_cached("INSERT INTO alert_deliveries (target, alert, queued_at, not_before) VALUES (?1, ?2, ?3, 0)")?
            .execute(params![target.name, Text(alert.id), alert.at])?;
        let excess = c
            .prepare_cached(
                "DELETE FROM alert_deliveries WHERE target = ?1 AND id <=
                 (SELECT id FROM alert_deliveries WHERE target = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![target.name, WAITING_MAX])?;
        given_up(c, &target.name, excess as i64, "more than 10000 alerts waited: the oldest went")?;
    }
    Ok(())
}

fn remove(c: &Connection, id: i64) -> Result<Option<String>, StoreError> {
    let mut statement = c.prepare_cached("DELETE FROM alert_deliveries WHERE id = ?1 RETURNING target")?;
    let target = statement.query_map([id], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(target.into_iter().next())
}

fn given_up(c: &Connection, target: &str, count: i64, reason: &str) -> Result<(), StoreError> {
    if count == 0 {
        return Ok(());
    }
    tracing::warn!(target_name = target, count, reason, "alerts given up");
    metrics::counter!("gtv_alert_deliveries_total", "target" => target.to_owned(), "outcome" => "given_up")
        .increment(count as u64);
    note_error(c, target, count, &format!("given up: {reason}"))
}

fn note_error(c: &Connection, target: &str, given_up: i64, error: &str) -> Result<(), StoreError> {
    c.prepare_cached(
        "INSERT INTO alert_targets (name, given_up, error, error_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name)
         DO UPDATE SET given_up = given_up + ?2, error = ?3, error_at = ?4",
    )?
    .execute(params![target, given_up, error, UtcMicros::now()])?;
    Ok(())
}
