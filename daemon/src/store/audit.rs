//! The audit log: append-only, each entry hashed over the one before (invariant T3), so a removed or altered entry
//! is found by whoever knows a later hash.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::rows::{AuditEntry, AuditRow};
use super::sql::Json;
use super::{Store, StoreError};
use crate::base::time::UtcMicros;

const COLUMNS: &str = "seq, at, actor, action, subject, detail, remote, hash";
/// What the first entry continues.
const GENESIS: &str = "gtv-audit-v1";

/// Newest first. Absent fields do not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub actor: Option<String>,
    pub action: Option<String>,
    /// Only entries before this one: the cursor of the next page.
    pub before: Option<i64>,
    pub limit: usize,
}

impl Store {
    pub async fn append_audit(&self, entry: AuditEntry) -> Result<AuditRow, StoreError> {
        self.write("append to the audit log", move |tx| append(tx, entry)).await
    }

    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        self.read("read the audit log", move |c| {
            let limit = if query.limit == 0 { 100 } else { query.limit.min(1000) };
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM audit WHERE seq < ?1 AND (?2 IS NULL OR actor = ?2)
                    AND (?3 IS NULL OR action = ?3) ORDER BY seq DESC LIMIT ?4"
            ))?;
            let before = query.before.unwrap_or(i64::MAX);
            let rows = statement.query_map(params![before, query.actor, query.action, limit as i64], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// Appends from another process than the daemon, also while that runs: a command of the console is written down as
/// well. The daemon holds its transactions for milliseconds; this waits for them.
pub fn append_audit_beside(dir: &Path, entry: AuditEntry) -> Result<AuditRow, StoreError> {
    let path = dir.join(super::DATABASE);
    let run = || -> Result<AuditRow, StoreError> {
        let mut connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(super::BUSY)?;
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
        let version = super::migrate::verify(&connection, &path)?;
        if version != super::migrate::NEWEST {
            let detail = format!("has schema version {version}: start the daemon once, it upgrades the schema");
            return Err(StoreError::conflict(format!("database {}", path.display()), detail));
        }
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let row = append(&tx, entry)?;
        tx.commit()?;
        Ok(row)
    };
    run().map_err(|e| e.during("append to the audit log", &path))
}

fn append(c: &Connection, entry: AuditEntry) -> Result<AuditRow, StoreError> {
    let mut last = c.prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?;
    let last: Option<(i64, String)> = last.query_one([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (seq, previous) = last.unwrap_or_else(|| (0, GENESIS.to_owned()));
    let mut row = AuditRow {
        seq: seq + 1,
        at: UtcMicros::now(),
        actor: entry.actor,
        action: entry.action,
        subject: entry.subject,
        detail: entry.detail,
        remote: entry.remote,
        hash: String::new(),
    };
    let detail = serde_json::to_string(&row.detail)?;
    row.hash = hash(&previous, &row, &detail);
    c.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(params![
        row.seq,
        row.at,
        row.actor,
        row.action,
        row.subject,
        detail,
        row.remote,
        row.hash
    ])?;
    Ok(row)
}

/// Follows the whole log; the first entry that does not continue the one before it, if any.
pub(super) fn first_break(c: &Connection) -> Result<Option<(i64, String)>, StoreError> {
    let mut statement = c.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
    let mut previous = (0, GENESIS.to_owned());
    // The detail enters as the text that was written, never a re-serialization of it.
    for row in statement.query_map([], |row| Ok((read(row)?, row.get::<_, String>(5)?)))? {
        let (row, detail) = row?;
        if row.seq != previous.0 + 1 {
            return Ok(Some((row.seq, format!("entries {} to {} are missing", previous.0 + 1, row.seq - 1))));
        }
        if hash(&previous.1, &row, &detail) != row.hash {
            return Ok(Some((row.seq, "does not match its hash: it or an entry before it was altered".to_owned())));
        }
        previous = (row.seq, row.hash);
    }
    Ok(None)
}

/// SHA-256 over the previous hash and the fields, each with its length, so that no two entries read the same.
fn hash(previous: &str, row: &AuditRow, detail: &str) -> String {
    let mut digest = Sha256::new();
    let (seq, at) = (row.seq.to_string(), row.at.0.to_string());
    for field in [previous, &seq, &at, &row.actor, &row.action, &row.subject, detail, &row.remote] {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field.as_bytes());
    }
    hex::encode(digest.finalize())
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        seq: row.get(0)?,
        at: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        detail: row.get::<_, Json<_>>(5)?.0,
        remote: row.get(6)?,
        hash: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_altered_or_removed_entry_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for i in 0..5 {
            let entry = AuditEntry {
                actor: "ana".to_owned(),
                action: "login".to_owned(),
                subject: format!("{i}"),
                detail: serde_json::json!({ "b": 1.5, "a": [i] }),
                remote: "10.0.0.1".to_owned(),
            };
            store.append_audit(entry).await.unwrap();
        }
        let newest = store.audit(AuditQuery { before: Some(5), limit: 2, ..AuditQuery::default() }).await.unwrap();
        assert_eq!(newest.iter().map(|row| row.seq).collect::<Vec<_>>(), [4, 3]);
        drop(store);
        let c = Connection::open(folder.path().join("gtv.db")).unwrap();
        assert_eq!(first_break(&c).unwrap(), None);
        assert!(c.execute("UPDATE audit SET actor = 'eve' WHERE seq = 3", []).is_err());
        c.execute_batch("DROP TRIGGER audit_is_append_only; UPDATE audit SET actor = 'eve' WHERE seq = 3").unwrap();
        assert_eq!(first_break(&c).unwrap().unwrap().0, 3);
        c.execute("DELETE FROM audit WHERE seq IN (2, 3)", []).unwrap();
        assert_eq!(first_break(&c).unwrap().unwrap().1, "entries 2 to 3 are missing");
    }
}
