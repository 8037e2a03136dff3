//! Pure. Watchlists as CSV: what spreadsheets write (separator, quotes, byte order mark, dates of the country) comes in,
//! and what goes out cannot run as a formula in one.

use std::io::BufRead;

use chrono::{NaiveDate, NaiveDateTime};
use csv::{ByteRecord, Position, ReaderBuilder, Terminator};

use super::problem::{HeaderProblem, LineProblem, PLATE_MIN};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;
use crate::store::{REASON_MAX, WatchEntry};

/// Lines of one record; more means that a quote was never closed.
const RECORD_LINES_MAX: u64 = 20;

/// A local time of day as a time; `None` where the clock skips it.
pub type Local = fn(NaiveDateTime) -> Option<UtcMicros>;

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Entry(WatchEntry),
    /// Cannot be used; `plate` where at least that could be read.
    Bad {
        line: u64,
        problem: LineProblem,
        plate: Option<Plate>,
    },
}

/// Where the columns are; only `plate` must be there.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    plate: usize,
    reason: Option<usize>,
    valid_from: Option<usize>,
    valid_until: Option<usize>,
}

/// The lines after the header.
pub struct Lines<R> {
    reader: csv::Reader<R>,
    columns: Columns,
    local: Local,
    record: ByteRecord,
}

impl<R: BufRead> Lines<R> {
    /// `Err` says what is wrong with the header.
    pub fn new(mut input: R, local: Local) -> Result<Self, HeaderProblem> {
        let start = input.fill_buf().map_err(|e| HeaderProblem::Unreadable(e.to_string()))?;
        let separator = separator(start.split(|b| *b == b'\n').next().unwrap_or_default());
        // Ended by the line feed alone: after a carriage return the reader would count the next line one too low. What
        // is left of it is white space at the end of a field.
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(input);
        let mut record = ByteRecord::new();
        let found = reader.read_byte_record(&mut record).map_err(|e| HeaderProblem::Unreadable(e.to_string()))?;
        if !found {
            return Err(HeaderProblem::Empty);
        }
        let columns = columns(&record)?;
        Ok(Self { reader, columns, local, record })
    }

    fn entry(&self) -> Result<WatchEntry, (LineProblem, Option<Plate>)> {
        let field = |column: Option<usize>| column.and_then(|i| self.record.get(i)).map(text).unwrap_or_default();
        let written = field(Some(self.columns.plate));
        let plate = Plate::normalize(&written);
        if !(PLATE_MIN..=Plate::MAX_LEN).contains(&plate.as_str().len()) {
            return Err((LineProblem::Plate, None));
        }
        let bad = |problem: LineProblem| (problem, Some(plate.clone()));
        let reason = clean_reason(&field(self.columns.reason)).map_err(bad)?;
        let time = |column, end, name: &'static str| match field(column).trim() {
            "" => Ok(None),
            text => moment(text, end, self.local).map(Some).ok_or_else(|| bad(LineProblem::Time(name))),
        };
        let valid_from = time(self.columns.valid_from, false, "valid_from")?;
        let valid_until = time(self.columns.valid_until, true, "valid_until")?;
        if matches!((valid_from, valid_until), (Some(from), Some(until)) if until <= from) {
            return Err(bad(LineProblem::Order));
        }
        Ok(WatchEntry { plate, reason, valid_from, valid_until })
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = std::io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(std::io::Error::other(error))),
            }
            let line = self.record.position().map_or(0, Position::line);
            if self.reader.position().line().saturating_sub(line) > RECORD_LINES_MAX {
                return Some(Ok(Line::Bad { line, problem: LineProblem::OpenQuote, plate: None }));
            }
            if self.record.iter().all(|field| field.trim_ascii().is_empty()) {
                continue;
            }
            let entry = self.entry();
            return Some(Ok(match entry {
                Ok(entry) => Line::Entry(entry),
                Err((problem, plate)) => Line::Bad { line, problem, plate },
            }));
        }
    }
}

/// The one that the header has most of.
fn separator(header: &[u8]) -> u8 {
    let count = |separator: u8| header.split(|b| *b == separator).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

fn columns(header: &ByteRecord) -> Result<Columns, HeaderProblem> {
    let names: Vec<String> = header.iter().map(|field| text(field).trim().to_lowercase()).collect();
    let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let plate = find(&["plate", "placa"]).ok_or(HeaderProblem::Columns)?;
    Ok(Columns {
        plate,
        reason: find(&["reason", "motivo"]),
        valid_from: find(&["valid_from", "valido_de", "válido_de"]),
        valid_until: find(&["valid_until", "valido_ate", "válido_até"]),
    })
}

/// UTF-8, or what older spreadsheets write instead (ISO 8859-1).
fn text(field: &[u8]) -> String {
    std::str::from_utf8(field).map_or_else(|_| field.iter().map(|b| char::from(*b)).collect(), str::to_owned)
}

/// A reason as it is kept: without what [`write_row`] puts before a formula. `Err` says what is wrong with it.
pub fn clean_reason(text: &str) -> Result<String, LineProblem> {
    let text = text.trim();
    let text = text.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(text);
    if text.chars().count() > REASON_MAX || text.chars().any(char::is_control) {
        return Err(LineProblem::Reason);
    }
    Ok(text.to_owned())
}

/// A time as people write it. A day alone begins at its midnight; as an `end` it includes the whole day. What has no
/// zone is `local`.
fn moment(text: &str, end: bool, local: Local) -> Option<UtcMicros> {
    if let Ok(time) = UtcMicros::parse_rfc3339(text) {
        return Some(time);
    }
    for format in ["%Y-%m-%d", "%d/%m/%Y"] {
        if let Ok(day) = NaiveDate::parse_from_str(text, format) {
            let day = if end { day.succ_opt()? } else { day };
            return local(day.and_hms_opt(0, 0, 0)?);
        }
    }
    let formats = [
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%d/%m/%Y %H:%M:%S",
        "%d/%m/%Y %H:%M",
    ];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())?;
    local(time)
}

fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

pub fn write_header(out: &mut Vec<u8>) {
    out.extend_from_slice(b"plate,reason,valid_from,valid_until\r\n");
}

/// One line. A spreadsheet would run a text that begins like a formula, so it gets an apostrophe, which spreadsheets
/// hide and [`clean_reason`] takes away again.
pub fn write_row(out: &mut Vec<u8>, entry: &WatchEntry) {
    let guard = if is_formula(&entry.reason) { "'" } else { "" };
    let time = |time: Option<UtcMicros>| time.map(UtcMicros::to_rfc3339).unwrap_or_default();
    let quoted = entry.reason.replace('"', "\"\"");
    let line = format!(
        "{},\"{guard}{quoted}\",{},{}\r\n",
        entry.plate.as_str(),
        time(entry.valid_from),
        time(entry.valid_until)
    );
    out.extend_from_slice(line.as_bytes());
}

/// The fuzz target of this file; see `crate::fuzz`.
#[cfg(any(test, fuzzing))]
pub fn fuzz_sheet(data: &[u8], local: Local) {
    let Ok(lines) = Lines::new(data, local) else { return };
    let mut out = Vec::new();
    for line in lines.flatten() {
        if let Line::Entry(entry) = line {
            write_row(&mut out, &entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, TimeZone};

    use super::*;

    fn brasilia(time: NaiveDateTime) -> Option<UtcMicros> {
        let local = FixedOffset::west_opt(3 * 3600)?.from_local_datetime(&time).earliest();
        local.map(|time| UtcMicros(time.timestamp_micros()))
    }

    fn read(file: &[u8]) -> Vec<Line> {
        Lines::new(file, brasilia).unwrap().map(Result::unwrap).collect()
    }

    fn at(text: &str) -> UtcMicros {
        UtcMicros::parse_rfc3339(text).unwrap()
    }

    fn entry(plate: &str, reason: &str) -> WatchEntry {
        WatchEntry { plate: Plate::normalize(plate), reason: reason.to_owned(), valid_from: None, valid_until: None }
    }

    #[test]
    fn what_spreadsheets_write() {
        let semicolons =
            "\u{feff}Placa;Motivo;valido_ate\r\nabc-1234;\"furto; \"\"azul\"\"\";31/12/2026\r\n\r\nBRA2E19;;\r\n";
        let stolen =
            WatchEntry { valid_until: Some(at("2027-01-01T03:00:00Z")), ..entry("ABC1234", "furto; \"azul\"") };
        assert_eq!(read(semicolons.as_bytes()), [Line::Entry(stolen), Line::Entry(entry("BRA2E19", ""))]);
        let latin1 = b"reason,plate\nSuspei\xe7\xe3o,BRA2E19\n";
        assert_eq!(read(latin1), [Line::Entry(entry("BRA2E19", "Suspeição"))]);
        let tabs = "plate\tvalid_from\nBRA2E19\t2026-01-31T10:00\n";
        let from = WatchEntry { valid_from: Some(at("2026-01-31T13:00:00Z")), ..entry("BRA2E19", "") };
        assert_eq!(read(tabs.as_bytes()), [Line::Entry(from)]);
    }

    #[test]
    fn bad_lines_are_named_and_the_others_kept() {
        let file = "plate,reason,valid_from,valid_until\n\
                    ABC1234,a,,\n\
                    !,b,,\n\
                    ABC1235,c,soon,\n\
                    ABC1236,d,2026-02-02,2026-02-01\n\
                    ABC1237\n\
                    AAAAAAAAAAAAA,e,,\n";
        let lines = read(file.as_bytes());
        let bad: Vec<(u64, LineProblem, bool)> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Bad { line, problem, plate } => Some((*line, *problem, plate.is_some())),
                Line::Entry(_) => None,
            })
            .collect();
        let time = LineProblem::Time("valid_from");
        let expected = [(3, LineProblem::Plate, false), (4, time, true), (5, LineProblem::Order, true)];
        assert_eq!(bad, [&expected[..], &[(7, LineProblem::Plate, false)]].concat());
        assert!(time.to_string().starts_with("valid_from is not a time"), "{time}");
        assert_eq!(lines.len() - bad.len(), 2);
        let windows = read(file.replace('\n', "\r\n").as_bytes());
        assert_eq!(windows, lines, "line numbers whatever ends them");
        assert!(matches!(Lines::new(&b"a,b\n"[..], brasilia), Err(HeaderProblem::Columns)));
        assert!(matches!(Lines::new(&b""[..], brasilia), Err(HeaderProblem::Empty)));
    }

    #[test]
    fn an_open_quote_is_one_bad_line() {
        let after: Vec<String> = (0..50).map(|i| format!("ABC{i:04},x\n")).collect();
        let file = format!("plate,reason\nABC1234,\"open\n{}", after.concat());
        let lines = read(file.as_bytes());
        let open = LineProblem::OpenQuote;
        assert!(matches!(&lines[..], [Line::Bad { line: 2, problem, .. }] if *problem == open), "{lines:?}");
    }

    #[test]
    fn what_goes_out_comes_in_again_and_runs_nowhere() {
        let mut file = Vec::new();
        write_header(&mut file);
        let entries = [
            WatchEntry {
                valid_from: Some(at("2026-01-01T00:00:00Z")),
                valid_until: Some(at("2026-01-02T00:00:00.5Z")),
                ..entry("ABC1234", "=HYPERLINK(\"http://x\")")
            },
            entry("BRA2E19", "+1, \"two\"; -3"),
            entry("BRA2E20", "'quoted'"),
        ];
        for entry in &entries {
            write_row(&mut file, entry);
        }
        let text = String::from_utf8(file.clone()).unwrap();
        assert!(text.contains(",\"'=HYPERLINK") && text.contains(",\"'+1"), "{text}");
        assert_eq!(read(&file), entries.map(Line::Entry));
    }
}
