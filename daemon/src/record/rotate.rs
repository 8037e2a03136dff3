//! Pure. Decides which segment file a group of pictures goes to.

use crate::base::time::UtcMicros;

/// A pause up to this long is still the same piece of video.
pub const JOINS_US: i64 = 1_000_000;
/// A file of so many bytes ends with its group: it may go to the centre as one object, which has its bound.
pub const FULL_BYTES: u64 = gtv_protocol::limits::OBJECT_BYTES_MAX / 2;
const DAY_US: i64 = 86_400_000_000;

/// The file being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    pub start: UtcMicros,
    pub end: UtcMicros,
    pub bytes: u64,
    pub init_id: &'a [u8; 32],
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next<'a> {
    pub start: UtcMicros,
    pub key: bool,
    pub init_id: &'a [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Append,
    /// Close the file, if one is open, and begin another.
    Rotate,
    /// It cannot be decoded without what is missing before it.
    Skip,
}

/// Files begin with key frames. They change at multiples of `segment_us` of the wall clock, at midnight UTC, when the
/// codec settings change, after a pause and when they are large.
pub fn decide(open: Option<Open<'_>>, next: Next<'_>, segment_us: i64) -> Decision {
    let fresh = if next.key { Decision::Rotate } else { Decision::Skip };
    let Some(open) = open else { return fresh };
    if open.init_id != next.init_id || next.start.since(open.end) > JOINS_US {
        return fresh;
    }
    let period = |time: UtcMicros, length: i64| time.0.div_euclid(length.max(1));
    let due = open.bytes >= FULL_BYTES
        || period(next.start, segment_us) != period(open.start, segment_us)
        || period(next.start, DAY_US) != period(open.start, DAY_US);
    if due && next.key { Decision::Rotate } else { Decision::Append }
}

/// Where a segment lies below the data folder: one folder a camera, a stream and a day of UTC.
pub fn path(camera: &str, stream: &str, start: UtcMicros) -> String {
    let text = start.to_rfc3339();
    let (day, time) = text.split_once('T').unwrap_or(("undated", &text));
    let time: String = time.trim_end_matches('Z').replace(':', "").replace('.', "-");
    format!("recordings/{camera}/{stream}/{day}/{time}.mp4")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn open(start: i64, end: i64) -> Open<'static> {
        Open { start: UtcMicros(start), end: UtcMicros(end), bytes: 9, init_id: &[1; 32] }
    }

    fn next(start: i64, key: bool) -> Next<'static> {
        Next { start: UtcMicros(start), key, init_id: &[1; 32] }
    }

    #[test]
    fn files_change_on_the_minute_at_a_key_frame() {
        assert_eq!(decide(None, next(5, true), MINUTE), Decision::Rotate);
        assert_eq!(decide(None, next(5, false), MINUTE), Decision::Skip);
        let current = open(MINUTE + 5, 2 * MINUTE - 1);
        assert_eq!(decide(Some(current), next(2 * MINUTE - 1, true), MINUTE), Decision::Append);
        assert_eq!(decide(Some(current), next(2 * MINUTE + 1, false), MINUTE), Decision::Append);
        assert_eq!(decide(Some(current), next(2 * MINUTE + 1, true), MINUTE), Decision::Rotate);
        let full = Open { bytes: FULL_BYTES, ..current };
        assert_eq!(decide(Some(full), next(2 * MINUTE - 1, true), MINUTE), Decision::Rotate);
        assert_eq!(decide(Some(full), next(2 * MINUTE - 1, false), MINUTE), Decision::Append);
    }

    #[test]
    fn files_change_with_the_codec_settings_and_after_a_pause() {
        let other = Next { init_id: &[2; 32], ..next(40, true) };
        assert_eq!(decide(Some(open(0, 40)), other, MINUTE), Decision::Rotate);
        assert_eq!(decide(Some(open(0, 40)), next(41 + JOINS_US, true), MINUTE), Decision::Rotate);
        assert_eq!(decide(Some(open(0, 40)), next(41 + JOINS_US, false), MINUTE), Decision::Skip);
        let long = 7 * DAY_US;
        assert_eq!(decide(Some(open(DAY_US - 9, DAY_US - 1)), next(DAY_US + 1, true), long), Decision::Rotate);
    }

    #[test]
    fn paths_sort_by_time() {
        let first = path("gate", "main", UtcMicros(1_790_000_000_123_456));
        assert_eq!(first, "recordings/gate/main/2026-09-21/141320-123456.mp4");
        assert!(first < path("gate", "main", UtcMicros(1_790_000_000_123_457)));
    }
}
