//! Pure. How much of a camera's frame the detector looks at. A plate that is under way is found again in a small window
//! around the place where it should be, at a fifth of the cost of the whole picture; the whole picture is for plates
//! that are new.

use super::track::Expected;

/// New plates are looked for this often while others are followed: every second frame at ten a second.
const WHOLE_US: i64 = 180_000;

/// Far, small plates are looked for this often, at the size for still images.
const WIDE_US: i64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The whole picture at the size for still images.
    Wide,
    /// The whole picture at the smaller size for video.
    Whole,
    /// Only where plates are expected.
    Windows,
}

impl Look {
    pub fn name(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Whole => "whole",
            Self::Windows => "windows",
        }
    }
}

/// Of one camera.
#[derive(Debug, Default)]
pub struct Looks {
    whole_us: Option<i64>,
    wide_us: Option<i64>,
}

impl Looks {
    /// The look for the frame of `time_us`; `expected`: where the plates under way should be.
    pub fn next(&mut self, time_us: i64, expected: &[Expected]) -> Look {
        // A clock that jumped back makes everything due.
        let due = |last: Option<i64>, every_us| last.is_none_or(|l| !(0..every_us).contains(&(time_us - l)));
        if due(self.wide_us, WIDE_US) {
            (self.wide_us, self.whole_us) = (Some(time_us), Some(time_us));
            return Look::Wide;
        }
        if !expected.is_empty() && expected.iter().all(|e| e.sure) && !due(self.whole_us, WHOLE_US) {
            return Look::Windows;
        }
        self.whole_us = Some(time_us);
        Look::Whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpr::geometry::Rect;

    fn plate(sure: bool) -> [Expected; 1] {
        [Expected { bounds: Rect::new(0.0, 0.0, 60.0, 20.0), sure }]
    }

    #[test]
    fn followed_plates_save_every_second_look_at_the_whole() {
        let mut looks = Looks::default();
        let seen: Vec<Look> = (0..12).map(|i| looks.next(i * 100_000, &plate(true))).collect();
        assert_eq!(seen[0], Look::Wide);
        assert_eq!(seen[10], Look::Wide, "{seen:?}");
        assert_eq!(seen.iter().filter(|l| **l == Look::Whole).count(), 4, "{seen:?}");
        assert_eq!(seen.iter().filter(|l| **l == Look::Windows).count(), 6, "{seen:?}");
        assert_eq!(looks.next(-5_000_000, &plate(true)), Look::Wide, "the clock went back");
    }

    #[test]
    fn without_a_plate_to_follow_every_frame_is_looked_at_whole() {
        let mut looks = Looks::default();
        let seen: Vec<Look> = (0..10).map(|i| looks.next(i * 100_000, &[])).collect();
        assert!(seen[1..].iter().all(|l| *l == Look::Whole), "{seen:?}");
        assert_eq!(looks.next(950_000, &plate(false)), Look::Whole, "too fast to be followed");
    }
}
