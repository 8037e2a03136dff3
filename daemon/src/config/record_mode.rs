//! `[camera.record_main]` and `[camera.record_sub]`: when a recorded stream is recorded.

use chrono::{Datelike, Local, TimeZone, Timelike};
use serde::{Deserialize, Serialize};

use super::units::HumanDuration;
use crate::base::time::UtcMicros;

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
const MINUTE_US: i64 = 60_000_000;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What makes a stream be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordMode {
    #[default]
    Continuous,
    /// Something moves in the picture.
    Motion,
    /// A plate was read.
    Detection,
    /// The weekly times of `schedule`.
    Schedule,
}

/// `[camera.record_main]`, `[camera.record_sub]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamRecord {
    pub mode: RecordMode,
    /// Kept from before and after what happened; for `motion` and `detection`.
    pub pre_roll: HumanDuration,
    pub post_roll: HumanDuration,
    /// Weekly times such as `mon-fri 07:00-19:00`, by the box's local clock; empty: always.
    pub schedule: Vec<String>,
}

impl Default for StreamRecord {
    fn default() -> Self {
        Self {
            mode: RecordMode::Continuous,
            pre_roll: HumanDuration::secs(5),
            post_roll: HumanDuration::secs(10),
            schedule: Vec::new(),
        }
    }
}

impl StreamRecord {
    pub const SCHEDULE_MAX: usize = 32;

    /// Recorded all the time, whatever happens.
    pub fn is_continuous(&self) -> bool {
        matches!(self.mode, RecordMode::Continuous | RecordMode::Schedule) && self.schedule.is_empty()
    }

    /// The weekly times; entries that cannot be read are left out (validation refuses them).
    pub fn schedule(&self) -> Schedule {
        let entries = self.schedule.iter().filter_map(|text| parse(text).ok());
        Schedule { allowed: entries.flatten().collect(), always: self.schedule.is_empty() }
    }

    /// What is wrong with it: key and remedy.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        let longest = std::time::Duration::from_secs(60);
        if *self.pre_roll > longest {
            problems.push(("pre_roll", "choose 60s or less: it is kept in memory"));
        }
        if *self.post_roll > 10 * longest {
            problems.push(("post_roll", "choose 10min or less"));
        }
        if self.schedule.len() > Self::SCHEDULE_MAX {
            problems.push(("schedule", "write at most 32 entries"));
        }
        if self.schedule.iter().any(|text| parse(text).is_err()) {
            problems.push(("schedule", "write entries such as \"mon-fri 07:00-19:00\", \"sat,sun 22:00-06:00\""));
        }
        if self.mode == RecordMode::Schedule && self.schedule.is_empty() {
            problems.push(("schedule", "mode `schedule` needs weekly times; write them or choose another mode"));
        }
        problems
    }
}

/// Weekly times. Minutes count from Monday 00:00 local time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// First minute and the one after the last; past the end of the week it goes on with Monday.
    allowed: Vec<(u32, u32)>,
    always: bool,
}

impl Schedule {
    /// Of weekly times; `None` where one of them cannot be read. Without any it is always.
    pub fn of(entries: &[String]) -> Option<Self> {
        let spans: Result<Vec<_>, ()> = entries.iter().map(|text| parse(text)).collect();
        Some(Self { allowed: spans.ok()?.concat(), always: entries.is_empty() })
    }

    pub fn is_always(&self) -> bool {
        self.always
    }

    pub fn allows(&self, time: UtcMicros) -> bool {
        self.always || self.allows_minute(minute_of_week(time))
    }

    fn allows_minute(&self, minute: u32) -> bool {
        let within = |at: u32| self.allowed.iter().any(|(from, to)| (*from..*to).contains(&at));
        within(minute) || within(minute + WEEK)
    }

    /// The allowed parts of `[from, to)`.
    pub fn spans(&self, from: UtcMicros, to: UtcMicros) -> Vec<(UtcMicros, UtcMicros)> {
        if to <= from {
            return Vec::new();
        }
        if self.always {
            return vec![(from, to)];
        }
        let mut spans: Vec<(UtcMicros, UtcMicros)> = Vec::new();
        let mut at = from;
        while at < to {
            // Offsets of time zones are whole minutes, so a local minute is one of UTC.
            let next = UtcMicros((at.0.div_euclid(MINUTE_US) + 1) * MINUTE_US).min(to);
            if self.allows_minute(minute_of_week(at)) {
                match spans.last_mut() {
                    Some(last) if last.1 == at => last.1 = next,
                    _ => spans.push((at, next)),
                }
            }
            at = next;
        }
        spans
    }
}

/// By the box's time zone.
fn minute_of_week(time: UtcMicros) -> u32 {
    match Local.timestamp_micros(time.0).single() {
        Some(local) => local.weekday().num_days_from_monday() * DAY + local.hour() * 60 + local.minute(),
        None => 0,
    }
}

/// `mon-fri 07:00-19:00`, `sat,sun 22:00-06:00`, `daily 00:00-24:00`.
fn parse(text: &str) -> Result<Vec<(u32, u32)>, ()> {
    let (days, times) = text.trim().split_once(' ').ok_or(())?;
    let (from, to) = times.trim().split_once('-').ok_or(())?;
    let (from, to) = (minute_of_day(from)?, minute_of_day(to)?);
    // Over midnight.
    let to = if to <= from { to + DAY } else { to };
    let mut spans = Vec::new();
    for part in days.split(',') {
        let (first, last) = match (part, part.split_once('-')) {
            ("daily", _) => (0, 6),
            (_, Some((first, last))) => (day(first)?, day(last)?),
            (one, None) => (day(one)?, day(one)?),
        };
        let last = if last < first { last + 7 } else { last };
        spans.extend((first..=last).map(|day| (day % 7 * DAY + from, day % 7 * DAY + to)));
    }
    Ok(spans)
}

fn day(text: &str) -> Result<u32, ()> {
    DAYS.iter().position(|day| *day == text.to_ascii_lowercase()).map(|index| index as u32).ok_or(())
}

fn minute_of_day(text: &str) -> Result<u32, ()> {
    let (hour, minute) = text.split_once(':').ok_or(())?;
    let number = |text: &str| if text.len() == 2 { text.parse::<u32>().map_err(|_| ()) } else { Err(()) };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let at = hour * 60 + minute;
    if minute < 60 && at <= DAY { Ok(at) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(entries: &[&str]) -> Schedule {
        StreamRecord { schedule: entries.iter().map(|entry| (*entry).to_owned()).collect(), ..StreamRecord::default() }
            .schedule()
    }

    #[test]
    fn weekly_times_are_read_and_kept() {
        let week = schedule(&["mon-fri 07:00-19:00", "sat,sun 22:00-06:00"]);
        let at = |day: u32, hour: u32, minute: u32| week.allows_minute(day * DAY + hour * 60 + minute);
        assert!(at(0, 7, 0) && at(4, 18, 59) && !at(4, 19, 0) && !at(2, 6, 59));
        assert!(at(5, 22, 0) && at(6, 5, 59) && at(6, 23, 0) && !at(6, 6, 0));
        assert!(at(0, 5, 59) && !at(0, 6, 0), "Sunday night reaches into Monday");
        assert!(!at(1, 3, 0));
        let around = schedule(&["fri-mon 10:00-11:00"]);
        let days: Vec<u32> = (0..7).filter(|day| around.allows_minute(day * DAY + 630)).collect();
        assert_eq!(days, [0, 4, 5, 6]);
        assert!(schedule(&["daily 00:00-24:00"]).allows_minute(WEEK - 1));
        assert!(schedule(&[]).is_always());
        for wrong in ["", "mon", "mon 7:00-8:00", "mon 07:00", "mon 24:01-25:00", "moon 07:00-08:00", "mon 07:60-09:00"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_are_cut_at_the_times() {
        // The offset of the machine's zone is unknown here: half of each day is allowed, wherever it begins.
        let half = schedule(&["daily 08:00-20:00"]);
        let start = UtcMicros(1_790_000_000_000_000);
        let day_us = 24 * 60 * MINUTE_US;
        let spans = half.spans(start, start.add_micros(2 * day_us));
        let sum: i64 = spans.iter().map(|(from, to)| to.since(*from)).sum();
        assert!((2..=3).contains(&spans.len()), "{spans:?}");
        assert_eq!(sum, day_us);
        assert_eq!(schedule(&[]).spans(start, start.add_micros(5)), [(start, start.add_micros(5))]);
        assert!(half.spans(start, start).is_empty());
    }

    #[test]
    fn every_fault_is_named() {
        let minutes = |n: u64| HumanDuration::secs(60 * n);
        let bad = StreamRecord {
            mode: RecordMode::Motion,
            pre_roll: minutes(2),
            post_roll: minutes(11),
            schedule: vec!["noon".to_owned()],
        };
        assert_eq!(
            bad.problems().iter().map(|(key, _)| *key).collect::<Vec<_>>(),
            ["pre_roll", "post_roll", "schedule"]
        );
        let empty = StreamRecord { mode: RecordMode::Schedule, ..StreamRecord::default() };
        assert_eq!(empty.problems().len(), 1);
        assert_eq!(StreamRecord::default().problems(), []);
    }
}
