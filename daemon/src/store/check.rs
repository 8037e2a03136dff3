//! Verifies the invariants of a data folder, also of a running daemon: reads only, and judges what is committed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gtv_protocol::{Hash, Position};
use rusqlite::Connection;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::{DATABASE, audit, migrate, objects, outbox, readers, state};
use crate::base::ids::BoxId;
use crate::base::time::UtcMicros;

/// Pauses between recorded segments that need no entry in the coverage ledger.
const TOLERATED_PAUSE_US: i64 = 2_000_000;
/// A file this young may belong to a transaction that is still on its way.
const SETTLED: Duration = Duration::from_secs(60);
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

/// Checks the store of the data folder `dir`. `box_id` is needed to verify the hashes of the chain.
pub fn check(dir: &Path, box_id: Option<BoxId>, depth: Depth) -> Result<Vec<Finding>, StoreError> {
    let path = dir.join(DATABASE);
    if !path.exists() {
        return Err(StoreError::not_found(format!("database {}", path.display())));
    }
    let place = |e: StoreError| e.during("check", &path);
    let connection = readers::open(&path).map_err(place)?;
    let version = migrate::verify(&connection, &path)?;
    let mut report = Report { dir, depth, findings: Vec::new(), counts: BTreeMap::new() };
    if version != migrate::NEWEST {
        let message = format!("schema version {version}, this program writes {}", migrate::NEWEST);
        report.add(FindingSeverity::Warning, "schema", DATABASE.to_owned(), message, "start the daemon: it upgrades");
        return Ok(report.findings);
    }
    // One snapshot, so that rows of a running daemon agree with each other.
    connection.execute_batch("BEGIN").map_err(|e| place(e.into()))?;
    report.database(&connection).map_err(place)?;
    report.segments(&connection).map_err(place)?;
    report.timeline(&connection).map_err(place)?;
    report.orphans(&connection).map_err(place)?;
    report.objects(&connection).map_err(place)?;
    report.chain(&connection, box_id).map_err(place)?;
    report.audit(&connection).map_err(place)?;
    Ok(report.close())
}

struct Report<'a> {
    dir: &'a Path,
    depth: Depth,
    findings: Vec<Finding>,
    counts: BTreeMap<&'static str, usize>,
}

impl Report<'_> {
    fn add(
        &mut self,
        severity: FindingSeverity,
        invariant: &'static str,
        thing: String,
        message: String,
        remedy: &'static str,
    ) {
        let count = self.counts.entry(invariant).or_default();
        *count += 1;
        if *count <= SHOWN {
            self.findings.push(Finding { severity, invariant, thing, message, remedy });
        }
    }

    fn error(&mut self, invariant: &'static str, thing: String, message: String, remedy: &'static str) {
        self.add(FindingSeverity::Error, invariant, thing, message, remedy);
    }

    fn close(mut self) -> Vec<Finding> {
        for (invariant, count) in self.counts {
            if count > SHOWN {
                self.findings.push(Finding {
                    severity: FindingSeverity::Error,
                    invariant,
                    thing: "more".to_owned(),
                    message: format!("{} more findings of this kind", count - SHOWN),
                    remedy: "mend what is listed and check again",
                });
            }
        }
        self.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.invariant.cmp(b.invariant)));
        self.findings
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
        Ok(())
    }

    /// R2: a row without bytes is a fault; a closed file is exactly what its rows say.
    fn segments(&mut self, c: &Connection) -> Result<(), StoreError> {
        const REMEDY: &str = "the video of this minute is damaged: check the disk with `smartctl`; recovery at the \
                              next start drops rows without bytes";
        let mut statement = c.prepare(
            "SELECT s.path, s.bytes, s.closed, s.sha256, count(f.offset), coalesce(min(f.offset), s.bytes),
                coalesce(sum(f.bytes), 0), coalesce(sum(f.frames), 0), s.frames
             FROM segments s LEFT JOIN fragments f ON f.segment_id = s.id GROUP BY s.id",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (path, bytes, closed): (String, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let sha256: Option<String> = row.get(3)?;
            let (head, sum): (i64, i64) = (row.get(5)?, row.get(6)?);
            if head + sum != bytes || row.get::<_, i64>(7)? != row.get::<_, i64>(8)? {
                let message = format!("{bytes} bytes by its row, {} by its fragments", head + sum);
                self.error("R2", path.clone(), message, "this is a defect of the daemon: report it");
            }
            let file = self.dir.join(&path);
            let length = match fs::metadata(&file) {
                Ok(metadata) => metadata.len() as i64,
                Err(error) => {
                    self.error("R2", path, format!("the file cannot be read: {error}"), REMEDY);
                    continue;
                }
            };
            if length < bytes {
                self.error("R2", path, format!("the file has {length} bytes, its rows {bytes}"), REMEDY);
            } else if closed && length != bytes {
                let message = format!("the closed file has {length} bytes, its rows {bytes}: a tail without a row");
                self.error("R2", path, message, "recovery at the next start cuts the tail");
            } else if closed && self.depth == Depth::Deep {
                self.digest("R2", path, &file, sha256.as_deref());
            }
        }
        Ok(())
    }

    /// R3: no overlap within a stream. R4: what is missing has an entry in the ledger.
    fn timeline(&mut self, c: &Connection) -> Result<(), StoreError> {
        let mut overlapping = c.prepare(
            "SELECT path, offset, start, previous FROM (
                SELECT s.path, f.offset, f.start,
                    lag(f.start + f.duration_us) OVER (PARTITION BY s.camera, s.stream ORDER BY s.start, f.offset) previous
                FROM segments s JOIN fragments f ON f.segment_id = s.id)
             WHERE start < previous",
        )?;
        let mut rows = overlapping.query([])?;
        while let Some(row) = rows.next()? {
            let (path, offset): (String, i64) = (row.get(0)?, row.get(1)?);
            let (start, previous): (UtcMicros, UtcMicros) = (row.get(2)?, row.get(3)?);
            let message = format!("begins at {start}, before the end of what is before it, {previous}");
            self.error("R3", format!("{path} byte {offset}"), message, "this is a defect of the daemon: report it");
        }
        let mut paused = c.prepare(
            "SELECT camera, stream, previous, start FROM (
                SELECT camera, stream, start,
                    lag(\"end\") OVER (PARTITION BY camera, stream ORDER BY start) previous
                FROM segments)
             WHERE start - previous > ?1",
        )?;
        let mut covered = c.prepare(
            "SELECT coalesce(sum(min(\"end\", ?4) - max(start, ?3)), 0) FROM gaps
             WHERE camera = ?1 AND stream = ?2 AND start < ?4 AND \"end\" > ?3",
        )?;
        let mut rows = paused.query([TOLERATED_PAUSE_US])?;
        while let Some(row) = rows.next()? {
            let (camera, stream): (String, String) = (row.get(0)?, row.get(1)?);
            let (from, to): (UtcMicros, UtcMicros) = (row.get(2)?, row.get(3)?);
            let explained: i64 = covered.query_one((&camera, &stream, from, to), |row| row.get(0))?;
            if to.since(from) - explained > TOLERATED_PAUSE_US {
                let message = format!("nothing recorded from {from} to {to} and no entry in the ledger says why");
                let remedy = "compare with the log of that time; evictions and outages leave entries";
                self.add(FindingSeverity::Warning, "R4", format!("{camera}/{stream}"), message, remedy);
            }
        }
        Ok(())
    }

    /// Files in the folders of segments that no row names.
    fn orphans(&mut self, c: &Connection) -> Result<(), StoreError> {
        let mut statement = c.prepare("SELECT DISTINCT substr(path, 1, instr(path, '/') - 1) FROM segments")?;
        let tops: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut named = c.prepare("SELECT 1 FROM segments WHERE path = ?1")?;
        for top in tops.iter().filter(|top| !top.is_empty()) {
            for file in files_below(&self.dir.join(top)) {
                let Ok(relative) = file.strip_prefix(self.dir) else { continue };
                let relative = relative.to_string_lossy().into_owned();
                if !named.exists([&relative])? && settled(&file) {
                    let message = "no row names this file".to_owned();
                    let remedy = "recovery at the next start removes it";
                    self.add(FindingSeverity::Warning, "R2", relative, message, remedy);
                }
            }
        }
        Ok(())
    }

    /// S1: local objects stay until they are delivered, whole.
    fn objects(&mut self, c: &Connection) -> Result<(), StoreError> {
        let mut statement = c.prepare(
            "SELECT sha256, bytes, uploaded_at IS NOT NULL FROM objects WHERE deleted_at IS NULL AND lost IS NULL",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
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
        Ok(())
    }

    fn digest(&mut self, invariant: &'static str, thing: String, file: &Path, expected: Option<&str>) {
        let remedy = "the bytes changed after they were written: check the disk with `smartctl`";
        match sha256_of(file) {
            Ok(found) if expected.is_some_and(|expected| expected != found) => {
                self.error(invariant, thing, format!("the digest of the file is {found}"), remedy);
            }
            Ok(_) => {}
            Err(error) => self.error(invariant, thing, format!("cannot be read: {error}"), remedy),
        }
    }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..read]);
    }
}

fn settled(file: &Path) -> bool {
    let modified = fs::metadata(file).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > SETTLED))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What cannot be listed shows up as segments whose file cannot be read.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}
