//! Pure. Which way a vehicle went, from the path of its plate: how it grew and where its center moved.

use super::geometry::Quad;

/// Seen from the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Approaching,
    Leaving,
    LeftToRight,
    RightToLeft,
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approaching => "approaching",
            Self::Leaving => "leaving",
            Self::LeftToRight => "left_to_right",
            Self::RightToLeft => "right_to_left",
        }
    }
}

/// In plate widths: a plate that moved and grew less than this stood.
const LEAST_MOVE: f64 = 0.5;
/// Growth counts this much against movement: a plate that doubles came as far as one that moved two widths down.
const GROWTH: f64 = 3.0;
/// Sideways must outweigh depth by this: cameras look along the road rather than across it.
const SIDEWAYS: f64 = 1.5;

/// Center x, center y and logarithm of the width of a plate over time, as the sums of a least-squares line each: a corner
/// that jumped in the first or last frame does not turn the vehicle around.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Path {
    count: f64,
    /// Times count from the first sight.
    base_us: i64,
    span_s: f64,
    sum_t: f64,
    sum_tt: f64,
    sum: [f64; 3],
    sum_t_by: [f64; 3],
    sum_width: f64,
}

impl Path {
    pub fn add(&mut self, time_us: i64, plate: &Quad) {
        if self.count < 1.0 {
            self.base_us = time_us;
        }
        let t = (time_us - self.base_us) as f64 / 1e6;
        let width = f64::from(plate.width().max(1.0));
        let [x, y] = plate.center().map(f64::from);
        self.count += 1.0;
        self.span_s = self.span_s.max(t);
        self.sum_t += t;
        self.sum_tt += t * t;
        self.sum_width += width;
        for (axis, value) in [x, y, width.ln()].into_iter().enumerate() {
            self.sum[axis] += value;
            self.sum_t_by[axis] += t * value;
        }
    }

    /// Takes over a later piece of the same path.
    pub fn extend(&mut self, later: &Self) {
        if self.count < 1.0 {
            *self = *later;
            return;
        }
        let shift = (later.base_us - self.base_us) as f64 / 1e6;
        self.sum_tt += later.sum_tt + 2.0 * shift * later.sum_t + shift * shift * later.count;
        self.sum_t += later.sum_t + shift * later.count;
        for axis in 0..3 {
            self.sum_t_by[axis] += later.sum_t_by[axis] + shift * later.sum[axis];
            self.sum[axis] += later.sum[axis];
        }
        self.count += later.count;
        self.sum_width += later.sum_width;
        self.span_s = self.span_s.max(later.span_s + shift);
    }

    /// `None` for a plate that hardly moved. One that comes nearer grows and, with a camera above the road, moves down.
    pub fn direction(&self) -> Option<Direction> {
        let spread = self.count * self.sum_tt - self.sum_t * self.sum_t;
        if self.count < 2.0 || spread <= 1e-9 {
            return None;
        }
        let moved = |axis: usize| {
            let slope = (self.count * self.sum_t_by[axis] - self.sum_t * self.sum[axis]) / spread;
            slope * self.span_s
        };
        let width = self.sum_width / self.count;
        let (sideways, depth) = (moved(0) / width, moved(1) / width + GROWTH * moved(2));
        if sideways.abs().max(depth.abs()) < LEAST_MOVE {
            return None;
        }
        Some(if sideways.abs() > SIDEWAYS * depth.abs() {
            if sideways > 0.0 { Direction::LeftToRight } else { Direction::RightToLeft }
        } else if depth > 0.0 {
            Direction::Approaching
        } else {
            Direction::Leaving
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpr::geometry::Rect;

    type Sight = (f32, f32, f32);

    fn path(from: Sight, to: Sight, frames: usize, first_us: i64) -> Path {
        let mut path = Path::default();
        for i in 0..frames {
            let share = i as f32 / (frames.max(2) - 1) as f32;
            let at = |a: f32, b: f32| a + share * (b - a);
            let (x, y, width) = (at(from.0, to.0), at(from.1, to.1), at(from.2, to.2));
            let rect = Rect::new(x - width / 2.0, y, x + width / 2.0, y + width / 3.0);
            path.add(first_us + i as i64 * 100_000, &Quad::from_rect(&rect));
        }
        path
    }

    #[test]
    fn directions_by_growth_and_movement() {
        use Direction::{Approaching, Leaving, LeftToRight, RightToLeft};
        let cases: [(Sight, Sight, Option<Direction>); 8] = [
            ((900.0, 100.0, 40.0), (950.0, 900.0, 140.0), Some(Approaching)),
            ((950.0, 900.0, 140.0), (900.0, 100.0, 40.0), Some(Leaving)),
            // A camera at the height of the plates: nothing moves down, it only grows.
            ((900.0, 500.0, 50.0), (880.0, 505.0, 120.0), Some(Approaching)),
            ((100.0, 500.0, 80.0), (1800.0, 520.0, 85.0), Some(LeftToRight)),
            ((1800.0, 500.0, 80.0), (100.0, 480.0, 78.0), Some(RightToLeft)),
            // Oblique: it crosses the picture, but mostly comes nearer.
            ((300.0, 100.0, 40.0), (700.0, 900.0, 120.0), Some(Approaching)),
            ((900.0, 500.0, 80.0), (915.0, 502.0, 80.5), None),
            ((900.0, 500.0, 80.0), (900.0, 500.0, 80.0), None),
        ];
        for (from, to, direction) in cases {
            for frames in [2, 3, 20] {
                assert_eq!(path(from, to, frames, 1_790_000_000_000_000).direction(), direction, "{from:?} {to:?}");
            }
        }
        assert_eq!(path((0.0, 0.0, 50.0), (500.0, 0.0, 50.0), 1, 0).direction(), None, "seen once");
        assert_eq!(Path::default().direction(), None);
    }

    #[test]
    fn a_jump_at_the_end_does_not_turn_it_around() {
        let mut path = path((900.0, 200.0, 50.0), (920.0, 800.0, 120.0), 12, 0);
        path.add(1_200_000, &Quad::from_rect(&Rect::new(880.0, 300.0, 935.0, 320.0)));
        assert_eq!(path.direction(), Some(Direction::Approaching));
    }

    #[test]
    fn two_pieces_are_one_path() {
        let whole = path((100.0, 500.0, 80.0), (1900.0, 500.0, 80.0), 19, 0);
        let mut joined = path((100.0, 500.0, 80.0), (900.0, 500.0, 80.0), 9, 0);
        joined.extend(&path((1000.0, 500.0, 80.0), (1900.0, 500.0, 80.0), 10, 900_000));
        assert!((whole.sum_tt - joined.sum_tt).abs() < 1e-6 && (whole.span_s - joined.span_s).abs() < 1e-9);
        assert_eq!(joined.direction(), Some(Direction::LeftToRight));
        let mut empty = Path::default();
        empty.extend(&whole);
        assert_eq!(empty, whole);
    }
}
