//! The vehicles on a watchlist, one by one and by import.
//!
//! An import comes in pieces, each a transaction, so that a million lines do not hold up the passages of that minute.
//! Every entry remembers the import that touched it last; one that replaces removes the others at its very end, so
//! that a cut in between leaves too much on the list, never too little.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::hits::Watch;
use super::rows::WatchEntry;
use super::watchlists::{count, number_of};
use super::{Store, StoreError};
use crate::base::plate::{Plate, VehicleKey};

/// Of all lists together: twice what a box is made for.
pub const ENTRIES_MAX: u64 = 2_000_000;
/// Characters of a reason.
pub const REASON_MAX: usize = 256;
/// Entries that a page of a list looks at; a page that looks for a part may be short although more follows.
const LOOKED_AT_MAX: usize = 100_000;
const REMOVED_AT_ONCE: i64 = 5000;

/// What a piece of an import changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub added: u64,
    pub changed: u64,
}

/// The columns of an entry, as they are stored.
const COLUMNS: &str = "plate, reason, valid_from, valid_until";

impl Store {
    /// By plate, after the plate `after`; with `part` only those that contain it. The second value is where the next
    /// page begins.
    pub async fn watch_entries(
        &self,
        list: Uuid,
        part: Option<String>,
        after: Option<Plate>,
        limit: usize,
    ) -> Result<(Vec<WatchEntry>, Option<Plate>), StoreError> {
        self.read("list entries of a watchlist", move |c| {
            let list = number_of(c, list)?;
            let after = after.as_ref().map_or("", Plate::as_str);
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM watch_entries WHERE list = ?1 AND plate > ?2 ORDER BY plate"
            ))?;
            let mut rows = statement.query(params![list, after])?;
            let mut found = Vec::new();
            let mut looked_at = 0;
            while let Some(row) = rows.next()? {
                looked_at += 1;
                let plate = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
                if part.as_deref().is_none_or(|part| plate.contains(part)) {
                    found.push(read(row)?);
                }
                if found.len() >= limit || looked_at == LOOKED_AT_MAX {
                    let next = Plate::normalize(plate);
                    return Ok((found, Some(next)));
                }
            }
            Ok((found, None))
        })
        .await
    }

    /// True where it was not on the list before.
    pub async fn put_watch_entry(&self, list: Uuid, entry: WatchEntry) -> Result<bool, StoreError> {
        let watch = self.inner.watch.clone();
        self.write("keep an entry of a watchlist", move |tx| {
            let list = number_of(tx, list)?;
            let import: i64 =
                tx.prepare_cached("SELECT imports FROM watchlists WHERE n = ?1")?.query_one([list], |r| r.get(0))?;
            let done = put(tx, &watch, list, import, std::slice::from_ref(&entry))?;
            Ok(done.added > 0)
        })
        .await
    }

    pub async fn delete_watch_entry(&self, list: Uuid, plate: Plate) -> Result<(), StoreError> {
        self.write("delete an entry of a watchlist", move |tx| {
            let list = number_of(tx, list)?;
            let removed = tx
                .prepare_cached("DELETE FROM watch_entries WHERE list = ?1 AND plate = ?2")?
                .execute(params![list, plate])?;
            count(tx, list, -(removed as i64))?;
            if removed == 0 { Err(StoreError::not_found(format!("{plate} on this watchlist"))) } else { Ok(()) }
        })
        .await
    }

    /// The number under which the pieces of an import come.
    pub async fn begin_import(&self, list: Uuid) -> Result<i64, StoreError> {
        self.write("begin an import", move |tx| {
            let list = number_of(tx, list)?;
            let mut statement =
                tx.prepare_cached("UPDATE watchlists SET imports = imports + 1 WHERE n = ?1 RETURNING imports")?;
            let mut rows = statement.query([list])?;
            let number = rows.next()?.map(|row| row.get(0)).transpose()?;
            number.ok_or_else(|| StoreError::not_found("watchlist"))
        })
        .await
    }

    /// One piece. `kept` are plates whose line cannot be used: what the list has of them stays as it is.
    pub async fn import_entries(
        &self,
        list: Uuid,
        import: i64,
        entries: Vec<WatchEntry>,
        kept: Vec<Plate>,
    ) -> Result<Imported, StoreError> {
        let watch = self.inner.watch.clone();
        self.write("import entries of a watchlist", move |tx| {
            let list = number_of(tx, list)?;
            for plate in kept {
                tx.prepare_cached("UPDATE watch_entries SET import = ?3 WHERE list = ?1 AND plate = ?2")?
                    .execute(params![list, plate, import])?;
            }
            put(tx, &watch, list, import, &entries)
        })
        .await
    }

    /// The end of an import that replaces: removes what it did not touch. Returns how many.
    pub async fn finish_replacing(&self, list: Uuid, import: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        let mut from = String::new();
        loop {
            let after = std::mem::take(&mut from);
            let (gone, next) = self
                .write("remove what an import replaces", move |tx| {
                    remove_untouched(tx, number_of(tx, list)?, import, &after)
                })
                .await?;
            removed += gone;
            let Some(next) = next else { break };
            from = next;
        }
        if removed > 0 {
            let watch = self.inner.watch.clone();
            self.write("load the watchlists", move |tx| watch.reload(tx)).await?;
        }
        Ok(removed)
    }
}

fn put(c: &Connection, watch: &Watch, list: i64, import: i64, entries: &[WatchEntry]) -> Result<Imported, StoreError> {
    let total: i64 = c.prepare_cached("SELECT sum(entries) FROM watchlists")?.query_one([], |row| row.get(0))?;
    let mut same = c.prepare_cached(
        "UPDATE watch_entries SET import = ?6 WHERE list = ?1 AND plate = ?2 AND reason = ?3 AND valid_from IS ?4
            AND valid_until IS ?5",
    )?;
    let mut other = c.prepare_cached(
        "UPDATE watch_entries SET reason = ?3, valid_from = ?4, valid_until = ?5, import = ?6
         WHERE list = ?1 AND plate = ?2",
    )?;
    let mut new = c.prepare_cached(
        "INSERT INTO watch_entries (list, plate, reason, valid_from, valid_until, import, vehicle)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut done = Imported::default();
    for entry in entries {
        let Some(key) = VehicleKey::of(entry.plate.as_str()) else {
            let detail = format!("a plate has 1 to {} letters and digits", Plate::MAX_LEN);
            return Err(StoreError::invalid("entry of a watchlist", detail));
        };
        let values = params![list, entry.plate, entry.reason, entry.valid_from, entry.valid_until, import];
        if same.execute(values)? > 0 {
            continue;
        }
        if other.execute(values)? > 0 {
            done.changed += 1;
            continue;
        }
        if total as u64 + done.added >= ENTRIES_MAX {
            let detail = format!("{ENTRIES_MAX} entries are on the lists of this box already: remove some");
            return Err(StoreError::conflict("watchlists", detail));
        }
        watch.add(key);
        let key = key.0 as i64;
        new.execute(params![list, entry.plate, entry.reason, entry.valid_from, entry.valid_until, import, key])?;
        done.added += 1;
    }
    count(c, list, done.added as i64)?;
    Ok(done)
}

/// Among the entries after `after`; the second value is where to go on.
fn remove_untouched(c: &Connection, list: i64, import: i64, after: &str) -> Result<(u64, Option<String>), StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT plate FROM watch_entries WHERE list = ?1 AND plate > ?2 ORDER BY plate LIMIT 1 OFFSET ?3",
    )?;
    let upto: Option<String> =
        statement.query_one(params![list, after, REMOVED_AT_ONCE], |row| row.get(0)).optional()?;
    let removed = c
        .prepare_cached(
            "DELETE FROM watch_entries WHERE list = ?1 AND plate > ?2 AND (?3 IS NULL OR plate <= ?3) AND import < ?4",
        )?
        .execute(params![list, after, upto, import])?;
    count(c, list, -(removed as i64))?;
    Ok((removed as u64, upto))
}

fn read(row: &Row<'_>) -> rusqlite::Result<WatchEntry> {
    Ok(WatchEntry { plate: row.get(0)?, reason: row.get(1)?, valid_from: row.get(2)?, valid_until: row.get(3)? })
}
