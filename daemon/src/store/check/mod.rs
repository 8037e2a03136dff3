//! Verifies the invariants of a data folder, also of a running daemon: reads only, and judges what is committed.

mod pace;
mod recordings;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gtv_protocol::{Hash, Position};
use rusqlite::Connection;
use serde::Serialize;

use super::error::StoreError;
use super::{DATABASE, audit, migrate, objects, outbox, readers, state};
use crate::base::ids::BoxId;
use pace::Pace;

/// Findings of one kind after which the rest is only counted: a lost disk must not fill the terminal.
const SHOWN: usize = 50;
const PAGE: usize = 1000;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Rows, sizes, chains.
    Quick,
    /// Also the bytes of every file against their digests, and every page of the database.
    Deep,
}

/// How a check goes about it.
#[derive(Clone, Copy, Debug)]
pub struct CheckOptions {
    pub depth: Depth,
    /// Bytes of files read a second at most; 0: as fast as the disk gives them.
    pub bytes_per_second: u64,
}

/// What was verified, whether or not something was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvariantReport {
    pub invariant: &'static str,
    pub what: &'static str,
    /// Things that were looked at.
    pub looked_at: u64,
    pub errors: usize,
    pub warnings: usize,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub invariants: Vec<InvariantReport>,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingSeverity {
    Warning,
    Error,
}

/// Something that is not as the invariants say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: FindingSeverity,
    /// For example `R2`; `docs/store.md` lists them.
    pub invariant: &'static str,
    pub thing: String,
    pub message: String,
    pub remedy: &'static str,
}

/// Checks the store of the data folder `dir` as fast as it goes.
pub fn check(dir: &Path, box_id: Option<BoxId>, depth: Depth) -> Result<Vec<Finding>, StoreError> {
    check_with(dir, box_id, CheckOptions { depth, bytes_per_second: 0 }).map(|checked| checked.findings)
}

/// Checks the store of the data folder `dir`. `box_id` is needed to verify the hashes of the chain.
pub fn check_with(dir: &Path, box_id: Option<BoxId>, options: CheckOptions) -> Result<Checked, StoreError> {
    let path = dir.join(DATABASE);
    if !path.exists() {
        return Err(StoreError::not_found(format!("database {}", path.display())));
    }
    let place = |e: StoreError| e.during("check", &path);
    let connection = readers::open(&path).map_err(place)?;
    let version = migrate::verify(&connection, &path)?;
    let mut report = Report {
        dir,
        depth: options.depth,
        pace: Pace::new(options.bytes_per_second),
        findings: Vec::new(),
        counts: BTreeMap::new(),
        invariants: Vec::new(),
    };
    if version != migrate::NEWEST {
        let message = format!("schema version {version}, this program writes {}", migrate::NEWEST);
        report.add(FindingSeverity::Warning, "schema", DATABASE.to_owned(), message, "start the daemon: it upgrades");
        return Ok(report.close());
    }
    // One snapshot, so that rows of a running daemon agree with each other.
    connection.execute_batch("BEGIN").map_err(|e| place(e.into()))?;
    report.database(&connection).map_err(place)?;
    report.segments(&connection).map_err(place)?;
    report.timeline(&connection).map_err(place)?;
    report.ledger(&connection).map_err(place)?;
    report.orphans(&connection).map_err(place)?;
    report.objects(&connection).map_err(place)?;
    report.chain(&connection, box_id).map_err(place)?;
    report.audit(&connection).map_err(place)?;
    Ok(report.close())
}

struct Report<'a> {
    dir: &'a Path,
    depth: Depth,
    pace: Pace,
    findings: Vec<Finding>,
    /// Of each kind: errors and warnings.
    counts: BTreeMap<&'static str, (usize, usize)>,
    invariants: Vec<(&'static str, &'static str, u64)>,
}

impl Report<'_> {
    /// Names an invariant in the report, also where all is well.
    fn verified(&mut self, invariant: &'static str, what: &'static str, looked_at: u64) {
        self.invariants.push((invariant, what, looked_at));
    }

    fn add(
        &mut self,
        severity: FindingSeverity,
        invariant: &'static str,
        thing: String,
        message: String,
        remedy: &'static str,
    ) {
        let (errors, warnings) = self.counts.entry(invariant).or_default();
        match severity {
            FindingSeverity::Error => *errors += 1,
            FindingSeverity::Warning => *warnings += 1,
        }
        if *errors + *warnings <= SHOWN {
            self.findings.push(Finding { severity, invariant, thing, message, remedy });
        }
    }

    fn error(&mut self, invariant: &'static str, thing: String, message: String, remedy: &'static str) {
        self.add(FindingSeverity::Error, invariant, thing, message, remedy);
    }

    fn close(mut self) -> Checked {
        for (invariant, (errors, warnings)) in &self.counts {
            let count = errors + warnings;
            if count > SHOWN {
                self.findings.push(Finding {
                    severity: if *errors > 0 { FindingSeverity::Error } else { FindingSeverity::Warning },
                    invariant,
                    thing: "more".to_owned(),
                    message: format!("{} more findings of this kind", count - SHOWN),
                    remedy: "mend what is listed and check again",
                });
            }
        }
        self.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.invariant.cmp(b.invariant)));
        let invariants = self.invariants.into_iter().map(|(invariant, what, looked_at)| {
            let (errors, warnings) = self.counts.get(invariant).copied().unwrap_or_default();
            InvariantReport { invariant, what, looked_at, errors, warnings }
        });
        Checked { invariants: invariants.collect(), findings: self.findings }
    }

    fn database(&mut self, c: &Connection) -> Result<(), StoreError> {
        let pragma = if self.depth == Depth::Deep { "integrity_check" } else { "quick_check" };
        let mut statement = c.prepare(&format!("PRAGMA {pragma}(20)"))?;
        for line in statement.query_map([], |row| row.get::<_, String>(0))? {
            let line = line?;
            if line != "ok" {
                let remedy = "stop the daemon and restore the data folder from its backup";
                self.error("database", DATABASE.to_owned(), line, remedy);
            }
        }
        let mut statement = c.prepare("PRAGMA foreign_key_check")?;
        let dangling = statement
            .query_map([], |row| Ok(format!("{} row {:?}", row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?)))?;
        for thing in dangling {
            self.error("database", thing?, "names a row that does not exist".to_owned(), "restore from the backup");
        }
        let mut statement = c.prepare(
            "SELECT t.camera || '/' || t.stream, t.segments, t.bytes, count(s.id), coalesce(sum(s.bytes), 0)
             FROM recording_totals t LEFT JOIN segments s ON s.camera = t.camera AND s.stream = t.stream
             GROUP BY t.camera, t.stream HAVING t.segments <> count(s.id) OR t.bytes <> coalesce(sum(s.bytes), 0)",
        )?;
        let wrong = statement.query_map([], |row| {
            let [kept_n, kept, real_n, real] = [row.get::<_, i64>(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
            let message = format!("totals say {kept_n} segments of {kept} bytes, the rows {real_n} of {real}");
            Ok((row.get::<_, String>(0)?, message))
        })?;
        for row in wrong {
            let (thing, message) = row?;
            self.error("database", thing, message, "this is a defect of the daemon: report it");
        }
        self.verified("database", "pages, foreign keys and sums beside the rows", 1);
        Ok(())
    }

    /// S1: local objects stay until they are delivered, whole.
    fn objects(&mut self, c: &Connection) -> Result<(), StoreError> {
        let mut statement = c.prepare(
            "SELECT sha256, bytes, uploaded_at IS NOT NULL FROM objects WHERE deleted_at IS NULL AND lost IS NULL",
        )?;
        let mut rows = statement.query([])?;
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            looked_at += 1;
            let (sha256, bytes, uploaded): (String, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let remedy = if uploaded {
                "the centre has it: nothing is lost"
            } else {
                "check the disk with `smartctl`; the record is delivered without it and says so"
            };
            let Some(file) = objects::path_of(self.dir, &sha256) else {
                self.error("S1", sha256, "is no digest".to_owned(), "this is a defect of the daemon: report it");
                continue;
            };
            match fs::metadata(&file) {
                Err(error) => self.error("S1", format!("object {sha256}"), format!("cannot be read: {error}"), remedy),
                Ok(metadata) if metadata.len() as i64 != bytes => {
                    let message = format!("the file has {} bytes instead of {bytes}", metadata.len());
                    self.error("S1", format!("object {sha256}"), message, remedy);
                }
                Ok(_) if self.depth == Depth::Deep => {
                    self.digest("S1", format!("object {sha256}"), &file, Some(&sha256));
                }
                Ok(_) => {}
            }
        }
        self.verified("S1", "crops, frames and clips are there until they are delivered, whole", looked_at);
        Ok(())
    }

    /// S2: the numbered part of the outbox is gapless and each record continues the one before it.
    fn chain(&mut self, c: &Connection, box_id: Option<BoxId>) -> Result<(), StoreError> {
        const REMEDY: &str = "the database was altered or restored: the next connection begins a new epoch";
        let Some(epoch) = outbox::number(c, outbox::EPOCH)? else { return Ok(()) };
        let acked = outbox::number(c, outbox::ACKED_SEQ)?.unwrap_or(0);
        let last = outbox::number(c, outbox::LAST_SEQ)?.unwrap_or(0);
        if acked > last {
            let message = format!("acknowledged up to {acked}, but only {last} numbers were given");
            self.error("S2", "outbox".to_owned(), message, REMEDY);
        }
        let Some(box_id) = box_id else {
            let message = "the id of the box is not known, so hashes were not verified".to_owned();
            self.add(FindingSeverity::Warning, "S2", "outbox".to_owned(), message, "restore keys/box.id");
            return Ok(());
        };
        let mut previous: Option<(u64, Hash)> = None;
        loop {
            let after = previous.as_ref().map_or(0, |(seq, _)| *seq);
            let rows = outbox::numbered_rows(c, after, PAGE)?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let record = match row.numbered(box_id, epoch as i64) {
                    Ok(record) => record,
                    Err(error) => {
                        self.error("S2", "outbox".to_owned(), error.to_string(), REMEDY);
                        return Ok(());
                    }
                };
                let expected =
                    previous.or_else(|| (record.seq == 1).then(|| (0, Position::start(box_id.0, epoch as i64).hash)));
                if let Some((seq, hash)) = expected
                    && (record.seq != seq + 1 || record.prev_hash != hash)
                {
                    let message = format!("record {} does not continue record {seq}", record.seq);
                    self.error("S2", "outbox".to_owned(), message, REMEDY);
                    return Ok(());
                }
                previous = Some((record.seq, record.hash));
            }
        }
        let records = previous.as_ref().map_or(0, |(seq, _)| *seq).min(last.saturating_sub(acked));
        self.verified("S2", "records for the centre continue each other without gaps", records);
        let kept_hash = state::get(c, outbox::LAST_HASH)?.unwrap_or_default();
        match previous {
            Some((seq, hash)) if seq != last || hash.to_string() != kept_hash => {
                let message = format!("the last record has number {seq}, the outbox says {last}");
                self.error("S2", "outbox".to_owned(), message, REMEDY);
            }
            None if acked != last => {
                let message = format!("records {} to {last} are not acknowledged and not there", acked + 1);
                self.error("S2", "outbox".to_owned(), message, REMEDY);
            }
            _ => {}
        }
        Ok(())
    }

    fn audit(&mut self, c: &Connection) -> Result<(), StoreError> {
        if let Some((seq, message)) = audit::first_break(c)? {
            let remedy = "somebody changed the database outside the daemon: keep a copy and find out who";
            self.error("T3", format!("audit entry {seq}"), message, remedy);
        }
        let entries: i64 = c.query_one("SELECT count(*) FROM audit", [], |row| row.get(0))?;
        self.verified("T3", "the audit log is complete and unaltered", entries as u64);
        Ok(())
    }
}
