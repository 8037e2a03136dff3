//! Pure. The audit by the hour: what the box says it had to tell, what is here, and what became of the rest.

use crate::db::proofs::HourRow;
use chrono::{DateTime, SecondsFormat};
use gtv_protocol::body::HOUR_US;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// An hour by its begin, microseconds since 1970, UTC; in JSON and text as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour that holds this time.
    pub fn of(us: i64) -> Self {
        Self(us.div_euclid(HOUR_US) * HOUR_US)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => write!(f, "{} us", self.0),
        }
    }
}

impl Serialize for Hour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `expected` is the sum of the others, unless the box has not said yet how much there was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub expected: Option<u64>,
    /// Here and as they were.
    pub held: u64,
    /// Still on the box.
    pub awaited: u64,
    /// Were here and are gone.
    pub missing: u64,
    pub altered: u64,
    /// Went on the box before they could be delivered, and it said so.
    pub evicted: u64,
    /// Were here and went when their time was over.
    pub expired: u64,
    /// Were here, and whether they still are could not be found out.
    pub unchecked: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expected {
            Some(expected) => write!(f, "expected {expected:>6}")?,
            None => write!(f, "expected      ?")?,
        }
        write!(f, " held {:>6} awaited {:>5}", self.held, self.awaited)?;
        write!(f, " missing {:>4} altered {:>4} evicted {:>5}", self.missing, self.altered, self.evicted)?;
        write!(f, " expired {:>6}", self.expired)?;
        if self.unchecked > 0 {
            write!(f, " unchecked {:>4}", self.unchecked)?;
        }
        Ok(())
    }
}

/// One hour of one box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HourLine {
    pub box_id: Uuid,
    pub hour: Hour,
    pub records: Counts,
    pub objects: Counts,
}

/// Numbers of a chain that are not here, between two records that are (by the time at which those were made).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub records: u64,
    pub before_us: Option<i64>,
    pub after_us: Option<i64>,
}

/// What the walks of a box's chains and the checks of its objects found, by hour where there is one.
#[derive(Debug, Default)]
pub struct Found {
    pub gaps: Vec<Gap>,
    pub altered_records: BTreeMap<Hour, u64>,
    pub missing_objects: BTreeMap<Hour, u64>,
    pub altered_objects: BTreeMap<Hour, u64>,
    /// Declared lost, and here all the same.
    pub found_objects: BTreeMap<Hour, u64>,
    pub unchecked_objects: BTreeMap<Hour, u64>,
}

pub fn lines(box_id: Uuid, rows: &BTreeMap<i64, HourRow>, found: &Found) -> Vec<HourLine> {
    let mut hours: BTreeMap<Hour, HourRow> = rows.iter().map(|(us, row)| (Hour(*us), *row)).collect();
    for hour in found.altered_records.keys().chain(found.missing_objects.keys()).chain(found.altered_objects.keys()) {
        // An hour outside the range that was asked for is not made up for a finding in it.
        if hours.range(..=*hour).next().is_some() && hours.range(*hour..).next().is_some() {
            hours.entry(*hour).or_default();
        }
    }
    let mut lines: Vec<HourLine> = hours.iter().map(|(hour, row)| line(box_id, *hour, row, found)).collect();
    for gap in &found.gaps {
        explain(&mut lines, gap);
    }
    lines
}

fn line(box_id: Uuid, hour: Hour, row: &HourRow, found: &Found) -> HourLine {
    let of = |counts: &BTreeMap<Hour, u64>| counts.get(&hour).copied().unwrap_or(0);
    let mut records = Counts {
        expected: row.stated.map(|stated| stated.records),
        altered: of(&found.altered_records),
        evicted: row.stated.map_or(0, |stated| stated.evicted),
        expired: row.expired_records,
        ..Counts::default()
    };
    records.held = row.held_records.saturating_sub(records.altered);
    let mut objects = Counts {
        expected: row.stated.map(|stated| stated.objects),
        missing: of(&found.missing_objects),
        altered: of(&found.altered_objects),
        evicted: row.lost_objects.saturating_sub(of(&found.found_objects)),
        expired: row.expired_objects,
        unchecked: of(&found.unchecked_objects),
        ..Counts::default()
    };
    objects.held = (row.held_objects + row.lost_objects - objects.evicted)
        .saturating_sub(objects.altered + objects.missing + objects.unchecked);
    for counts in [&mut records, &mut objects] {
        let here = counts.held + counts.altered + counts.unchecked;
        let known = here + counts.missing + counts.evicted + counts.expired;
        counts.awaited = counts.expected.unwrap_or(0).saturating_sub(known);
    }
    HourLine { box_id, hour, records, objects }
}

/// Numbers that are gone from the chain were here once: they are missing, not awaited. The records beside the gap tell
/// between which hours they were made.
fn explain(lines: &mut [HourLine], gap: &Gap) {
    let (Some(one), Some(other)) = (gap.before_us.or(gap.after_us), gap.after_us.or(gap.before_us)) else { return };
    let (first, last) = (Hour::of(one.min(other)), Hour::of(one.max(other)));
    let mut left = gap.records;
    for line in lines.iter_mut().filter(|line| (first..=last).contains(&line.hour)) {
        let taken = left.min(line.records.awaited);
        line.records.awaited -= taken;
        line.records.missing += taken;
        left -= taken;
    }
    // The box has not counted that hour yet: it is told all the same.
    if let Some(line) = lines.iter_mut().find(|line| line.hour == first && line.records.expected.is_none()) {
        line.records.missing += left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::proofs::Stated;

    fn row(stated: Option<(u64, u64, u64)>, held_records: u64, held_objects: u64, lost_objects: u64) -> HourRow {
        let stated = stated.map(|(records, objects, evicted)| Stated { records, objects, evicted });
        HourRow { stated, held_records, held_objects, lost_objects, ..HourRow::default() }
    }

    #[test]
    fn every_hour_adds_up() {
        let h = HOUR_US;
        let rows = BTreeMap::from([
            (0, row(Some((10, 4, 0)), 10, 4, 0)),
            (h, row(Some((10, 4, 3)), 5, 2, 1)),
            (2 * h, row(Some((8, 0, 0)), 6, 0, 0)),
            (3 * h, row(None, 7, 3, 0)),
            (4 * h, HourRow { expired_records: 5, expired_objects: 2, ..row(Some((8, 3, 1)), 2, 1, 0) }),
            (5 * h, row(Some((6, 6, 0)), 6, 3, 3)),
        ]);
        let found = Found {
            gaps: vec![
                Gap { records: 2, before_us: Some(2 * h + 5), after_us: Some(2 * h + 9) },
                Gap { records: 1, before_us: Some(3 * h + 5), after_us: None },
            ],
            altered_records: [(Hour(0), 1)].into(),
            missing_objects: [(Hour(h), 1)].into(),
            altered_objects: [(Hour(0), 1), (Hour(99 * h), 1)].into(),
            found_objects: [(Hour(5 * h), 2)].into(),
            unchecked_objects: [(Hour(3 * h), 2)].into(),
        };
        let lines = lines(Uuid::nil(), &rows, &found);
        let of = |c: &Counts| (c.expected, c.held, c.awaited, c.missing, c.altered, c.evicted);
        let records: Vec<_> = lines.iter().map(|line| of(&line.records)).collect();
        assert_eq!(
            records,
            [
                (Some(10), 9, 0, 0, 1, 0),
                (Some(10), 5, 2, 0, 0, 3),
                (Some(8), 6, 0, 2, 0, 0),
                (None, 7, 0, 1, 0, 0),
                (Some(8), 2, 0, 0, 0, 1),
                (Some(6), 6, 0, 0, 0, 0)
            ]
        );
        assert_eq!((lines[4].records.expired, lines[4].objects.expired), (5, 2));
        let objects: Vec<_> = lines.iter().map(|line| of(&line.objects)).collect();
        assert_eq!(objects[..2], [(Some(4), 3, 0, 0, 1, 0), (Some(4), 1, 1, 1, 0, 1)]);
        assert_eq!(objects[5], (Some(6), 5, 0, 0, 0, 1), "two of the three that were given up had arrived");
        assert_eq!((lines[3].objects.held, lines[3].objects.unchecked), (1, 2), "nobody saw whether they are held");
        for line in &lines {
            for counts in [line.records, line.objects] {
                let sum =
                    counts.held + counts.awaited + counts.missing + counts.altered + counts.evicted + counts.expired;
                assert!(counts.expected.is_none_or(|expected| expected == sum), "{counts:?}");
            }
        }
        assert_eq!(Hour(h).to_string(), "1970-01-01T01:00:00Z");
    }
}
