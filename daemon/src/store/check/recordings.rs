//! R1 to R5: the segment files, the timeline they make, and the ledger of what is missing and what was deleted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use super::{Depth, FindingSeverity, Report};
use crate::base::time::UtcMicros;
use crate::store::StoreError;
use crate::store::coverage::{HOUR_US, TOLERATED_PAUSE_US};

/// A file this young may belong to a transaction that is still on its way.
const SETTLED: Duration = Duration::from_secs(60);
/// Rounding of frame durations in an hour of fragments.
const ROUNDING_US: i64 = 1_000_000;
/// Where the data folder has its links to other disks.
const DISKS: &str = "disks";
const DEFECT: &str = "this is a defect of the daemon: report it";

impl Report<'_> {
    /// R1: each file begins with the decoder settings that its rows were stored with. R2: a row without bytes is a
    /// fault; a closed file is exactly what its rows say.
    pub(super) fn segments(&mut self, c: &Connection) -> Result<(), StoreError> {
        const REMEDY: &str = "the video of this minute is damaged: check the disk with `smartctl`; recovery at the \
                              next start drops rows without bytes";
        let mut statement = c.prepare(
            "SELECT s.path, s.bytes, s.closed, s.sha256, count(f.offset), coalesce(min(f.offset), s.bytes),
                coalesce(sum(f.bytes), 0), coalesce(sum(f.frames), 0), s.frames, s.init_id
             FROM segments s LEFT JOIN fragments f ON f.segment_id = s.id GROUP BY s.id",
        )?;
        let mut rows = statement.query([])?;
        let (mut looked_at, mut heads) = (0, 0);
        let mut missing: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (path, bytes, closed): (String, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if let Some(disk) = missing_disk(self.dir, &path) {
                *missing.entry(disk).or_default() += 1;
                continue;
            }
            looked_at += 1;
            let sha256: Option<String> = row.get(3)?;
            let (head, sum): (i64, i64) = (row.get(5)?, row.get(6)?);
            if head + sum != bytes || row.get::<_, i64>(7)? != row.get::<_, i64>(8)? {
                let message = format!("{bytes} bytes by its row, {} by its fragments", head + sum);
                self.error("R2", path.clone(), message, DEFECT);
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
            } else if closed && sha256.is_none() {
                self.error("R2", path, "the closed file has no digest".to_owned(), DEFECT);
            } else if closed && self.depth == Depth::Deep {
                heads += 1;
                let init_id: String = row.get(9)?;
                // Without a fragment nobody knows where the head ends.
                let head = if row.get::<_, i64>(4)? > 0 { head as u64 } else { 0 };
                self.contents(path, &file, sha256.as_deref(), (head, &init_id));
            }
        }
        for (disk, files) in missing {
            let message = format!("is not there: {files} segment files on it could not be looked at");
            self.error("R2", format!("disk {disk}"), message, "plug it in and mount it: it is known by its id");
        }
        let what = "segment files begin with the decoder settings they were stored with (--deep)";
        self.verified("R1", what, heads);
        let what = match self.depth {
            Depth::Quick => "segment files are there, as long as their rows say",
            Depth::Deep => "segment files are there, as long as their rows say, and have their SHA-256",
        };
        self.verified("R2", what, looked_at);
        Ok(())
    }

    fn contents(&mut self, path: String, file: &Path, sha256: Option<&str>, (head, init_id): (u64, &str)) {
        const REMEDY: &str = "the bytes changed after they were written: check the disk with `smartctl`";
        match self.pace.digests(file, head) {
            Ok(found) if sha256.is_some_and(|expected| expected != found.whole) => {
                self.error("R2", path, format!("the digest of the file is {}", found.whole), REMEDY);
            }
            Ok(found) => {
                // The id of decoder settings is their digest.
                let differs = found.head.is_some_and(|found| hex::encode(found) != init_id);
                if differs && init_id.len() == 64 {
                    let message = "begins with other decoder settings than its row names".to_owned();
                    self.error("R1", path, message, DEFECT);
                }
            }
            Err(error) => self.error("R2", path, format!("cannot be read: {error}"), REMEDY),
        }
    }

    pub(super) fn digest(&mut self, invariant: &'static str, thing: String, file: &Path, expected: Option<&str>) {
        let remedy = "the bytes changed after they were written: check the disk with `smartctl`";
        match self.pace.digests(file, 0) {
            Ok(found) if expected.is_some_and(|expected| expected != found.whole) => {
                self.error(invariant, thing, format!("the digest of the file is {}", found.whole), remedy);
            }
            Ok(_) => {}
            Err(error) => self.error(invariant, thing, format!("cannot be read: {error}"), remedy),
        }
    }

    /// R3: no overlap within a stream.
    pub(super) fn timeline(&mut self, c: &Connection) -> Result<(), StoreError> {
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
            self.error("R3", format!("{path} byte {offset}"), message, DEFECT);
        }
        let fragments: i64 = c.query_one("SELECT count(*) FROM fragments", [], |row| row.get(0))?;
        self.verified("R3", "no group of pictures begins before the end of the one before it", fragments as u64);
        Ok(())
    }

    /// R4: what is missing has an entry in the ledger. R5: what was stored is there, or was counted when it was deleted.
    pub(super) fn ledger(&mut self, c: &Connection) -> Result<(), StoreError> {
        const REMEDY: &str = "compare with the log of that time; outages leave entries";
        let mut statement = c.prepare(
            "SELECT camera || '/' || stream, hour, expected_us, stored_us, closed,
                (SELECT coalesce(sum(min(g.\"end\", hour + ?1) - max(g.start, hour)), 0) FROM gaps g
                 WHERE g.camera = coverage.camera AND g.stream = coverage.stream
                    AND g.start < hour + ?1 AND g.\"end\" > hour)
             FROM coverage",
        )?;
        let mut rows = statement.query([HOUR_US])?;
        let mut hours = 0;
        while let Some(row) = rows.next()? {
            hours += 1;
            let (thing, hour): (String, UtcMicros) = (row.get(0)?, row.get(1)?);
            let (expected, stored, gaps): (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(5)?);
            // Pauses within the tolerance add up.
            let unexplained = expected - stored - gaps;
            if row.get(4)? && unexplained > TOLERATED_PAUSE_US + expected / 100 {
                let message = format!(
                    "{:.1} s of the hour from {hour} are neither stored nor is there an entry that says why",
                    unexplained as f64 / 1e6
                );
                self.add(FindingSeverity::Warning, "R4", thing, message, REMEDY);
            }
        }
        self.pauses(c)?;
        self.verified("R4", "what is missing of an hour has an entry that says why", hours);
        self.evictions(c)?;
        self.verified("R5", "what an hour's video lacks was counted when it was deleted", hours);
        Ok(())
    }

    /// Pauses in hours of which nobody kept what had been expected.
    fn pauses(&mut self, c: &Connection) -> Result<(), StoreError> {
        let mut paused = c.prepare(
            "SELECT camera, stream, previous, start FROM (
                SELECT camera, stream, start,
                    lag(\"end\") OVER (PARTITION BY camera, stream ORDER BY start) previous
                FROM segments) p
             WHERE start - previous > ?1 AND EXISTS (
                SELECT 1 FROM coverage v WHERE v.camera = p.camera AND v.stream = p.stream
                    AND v.hour = previous - previous % ?2 AND v.expected_us = 0 AND v.evicted_us = 0)",
        )?;
        let mut covered = c.prepare(
            "SELECT coalesce(sum(min(\"end\", ?4) - max(start, ?3)), 0) FROM gaps
             WHERE camera = ?1 AND stream = ?2 AND start < ?4 AND \"end\" > ?3",
        )?;
        let mut rows = paused.query([TOLERATED_PAUSE_US, HOUR_US])?;
        while let Some(row) = rows.next()? {
            let (camera, stream): (String, String) = (row.get(0)?, row.get(1)?);
            let (from, to): (UtcMicros, UtcMicros) = (row.get(2)?, row.get(3)?);
            let explained: i64 = covered.query_one((&camera, &stream, from, to), |row| row.get(0))?;
            if to.since(from) - explained > TOLERATED_PAUSE_US {
                let message = format!("nothing recorded from {from} to {to} and no entry in the ledger says why");
                let remedy = "compare with the log of that time; outages leave entries";
                self.add(FindingSeverity::Warning, "R4", format!("{camera}/{stream}"), message, remedy);
            }
        }
        Ok(())
    }

    fn evictions(&mut self, c: &Connection) -> Result<(), StoreError> {
        let mut statement = c.prepare(
            "WITH held AS (
                SELECT camera, stream, hour, sum(us) AS us FROM (
                    SELECT s.camera, s.stream, f.start - f.start % ?1 AS hour,
                        min(max(f.duration_us, 1), ?1 - f.start % ?1) AS us
                    FROM segments s JOIN fragments f ON f.segment_id = s.id
                    UNION ALL
                    SELECT s.camera, s.stream, f.start - f.start % ?1 + ?1,
                        max(f.start % ?1 + max(f.duration_us, 1) - ?1, 0)
                    FROM segments s JOIN fragments f ON f.segment_id = s.id
                    WHERE f.start % ?1 + f.duration_us > ?1)
                GROUP BY camera, stream, hour)
             SELECT v.camera || '/' || v.stream, v.hour, v.stored_us - v.evicted_us, coalesce(held.us, 0)
             FROM coverage v LEFT JOIN held USING (camera, stream, hour)
             WHERE abs(v.stored_us - v.evicted_us - coalesce(held.us, 0)) > ?2",
        )?;
        let mut rows = statement.query([HOUR_US, ROUNDING_US])?;
        while let Some(row) = rows.next()? {
            let (thing, hour): (String, UtcMicros) = (row.get(0)?, row.get(1)?);
            let (kept, held): (i64, i64) = (row.get(2)?, row.get(3)?);
            let message = format!(
                "the hour from {hour} should hold {:.1} s, its rows hold {:.1} s",
                kept as f64 / 1e6,
                held as f64 / 1e6
            );
            let remedy = "somebody changed the database outside the daemon: keep a copy and find out who";
            self.error("R5", thing, message, remedy);
        }
        Ok(())
    }

    /// Files in the folders of segments that no row names.
    pub(super) fn orphans(&mut self, c: &Connection) -> Result<(), StoreError> {
        let mut statement = c.prepare("SELECT DISTINCT substr(path, 1, instr(path, '/') - 1) FROM segments")?;
        let tops: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut named = c.prepare("SELECT 1 FROM segments WHERE path = ?1")?;
        let roots = tops.iter().filter(|top| !top.is_empty()).flat_map(|top| match top.as_str() {
            // Links to the folders of this box on other disks.
            DISKS => fs::read_dir(self.dir.join(top)).into_iter().flatten().flatten().map(|link| link.path()).collect(),
            top => vec![self.dir.join(top)],
        });
        for root in roots.collect::<Vec<PathBuf>>() {
            for file in files_below(&root) {
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
}

/// The id of the disk that a file lies on, where that disk is not there.
fn missing_disk(dir: &Path, path: &str) -> Option<String> {
    let (id, _) = path.strip_prefix(DISKS)?.strip_prefix('/')?.split_once('/')?;
    (!dir.join(DISKS).join(id).is_dir()).then(|| id.to_owned())
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
