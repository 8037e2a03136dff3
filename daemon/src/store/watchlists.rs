//! Watchlists: their names, severities and whether they are on. Their entries are in `watch_entries`.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::rows::{Severity, WatchlistRow};
use super::sql::{Text, unsigned};
use super::{Store, StoreError};
use crate::base::time::UtcMicros;

pub const LISTS_MAX: usize = 200;
/// Characters of a name.
pub const NAME_MAX: usize = 64;
/// Entries removed in one transaction, so that passages are kept meanwhile.
const REMOVED_AT_ONCE: i64 = 5000;

const COLUMNS: &str = "id, name, severity, reason, enabled, entries, created_at, created_by";

/// What can be changed about a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchlistChange {
    pub name: String,
    pub severity: Severity,
    pub reason: String,
    pub enabled: bool,
}

impl Store {
    /// By name.
    pub async fn watchlists(&self) -> Result<Vec<WatchlistRow>, StoreError> {
        self.read("list watchlists", |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM watchlists ORDER BY name"))?;
            let rows = statement.query_map([], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub async fn watchlist(&self, id: Uuid) -> Result<Option<WatchlistRow>, StoreError> {
        self.read("read a watchlist", move |c| get(c, id)).await
    }

    pub async fn create_watchlist(&self, new: WatchlistChange, by: &str) -> Result<WatchlistRow, StoreError> {
        let by = by.to_owned();
        self.write("make a watchlist", move |tx| {
            let mut count = tx.prepare_cached("SELECT count(*) FROM watchlists")?;
            if count.query_one([], |row| unsigned(row, 0))? >= LISTS_MAX as u64 {
                let detail = format!("there are {LISTS_MAX} already: delete one, or put the entries into another list");
                return Err(StoreError::conflict("watchlists", detail));
            }
            must_be_free(tx, &new.name, None)?;
            let id = Uuid::now_v7();
            tx.prepare_cached(
                "INSERT INTO watchlists (id, name, severity, reason, enabled, created_at, created_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                Text(id),
                new.name,
                new.severity,
                new.reason,
                new.enabled,
                UtcMicros::now(),
                by
            ])?;
            get(tx, id)?.ok_or_else(|| missing(id))
        })
        .await
    }

    pub async fn change_watchlist(&self, id: Uuid, change: WatchlistChange) -> Result<WatchlistRow, StoreError> {
        self.write("change a watchlist", move |tx| {
            must_be_free(tx, &change.name, Some(id))?;
            tx.prepare_cached(
                "UPDATE watchlists SET name = ?2, severity = ?3, reason = ?4, enabled = ?5 WHERE id = ?1",
            )?
            .execute(params![Text(id), change.name, change.severity, change.reason, change.enabled])?;
            get(tx, id)?.ok_or_else(|| missing(id))
        })
        .await
    }

    /// With its entries, some thousand a transaction; a cut in between leaves a list that is off.
    pub async fn delete_watchlist(&self, id: Uuid) -> Result<(), StoreError> {
        let n = self
            .write("turn a watchlist off", move |tx| {
                let n = number_of(tx, id)?;
                tx.prepare_cached("UPDATE watchlists SET enabled = 0 WHERE n = ?1")?.execute([n])?;
                Ok(n)
            })
            .await?;
        while self.write("delete entries of a watchlist", move |tx| remove_some(tx, n)).await? > 0 {}
        let watch = self.inner.watch.clone();
        self.write("delete a watchlist", move |tx| {
            tx.prepare_cached("DELETE FROM watchlists WHERE n = ?1")?.execute([n])?;
            watch.reload(tx)
        })
        .await
    }
}

fn remove_some(c: &Connection, list: i64) -> Result<usize, StoreError> {
    let removed = c
        .prepare_cached(
            "DELETE FROM watch_entries WHERE list = ?1 AND plate IN
             (SELECT plate FROM watch_entries WHERE list = ?1 LIMIT ?2)",
        )?
        .execute([list, REMOVED_AT_ONCE])?;
    count(c, list, -(removed as i64))?;
    Ok(removed)
}

/// Adds to the number of entries that is kept with the list.
pub(super) fn count(c: &Connection, list: i64, added: i64) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE watchlists SET entries = max(0, entries + ?2) WHERE n = ?1")?.execute([list, added])?;
    Ok(())
}

/// The internal number of a list.
pub(super) fn number_of(c: &Connection, id: Uuid) -> Result<i64, StoreError> {
    let mut statement = c.prepare_cached("SELECT n FROM watchlists WHERE id = ?1")?;
    statement.query_one([Text(id)], |row| row.get(0)).optional()?.ok_or_else(|| missing(id))
}

fn missing(id: Uuid) -> StoreError {
    StoreError::not_found(format!("watchlist {id}"))
}

fn get(c: &Connection, id: Uuid) -> Result<Option<WatchlistRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM watchlists WHERE id = ?1"))?;
    Ok(statement.query_one([Text(id)], read).optional()?)
}

fn must_be_free(c: &Connection, name: &str, except: Option<Uuid>) -> Result<(), StoreError> {
    let mut statement = c.prepare_cached("SELECT id FROM watchlists WHERE name = ?1")?;
    let taken = statement.query_one([name], |row| row.get::<_, Text<Uuid>>(0)).optional()?;
    if taken.is_some_and(|taken| Some(taken.0) != except) {
        return Err(StoreError::conflict(format!("watchlist `{name}`"), "exists already: choose another name"));
    }
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<WatchlistRow> {
    Ok(WatchlistRow {
        id: row.get::<_, Text<Uuid>>(0)?.0,
        name: row.get(1)?,
        severity: row.get(2)?,
        reason: row.get(3)?,
        enabled: row.get(4)?,
        entries: unsigned(row, 5)?,
        created_at: row.get(6)?,
        created_by: row.get(7)?,
    })
}
