//! Pure. Candidates that need no second look: places that a closer look found to be no plate (lettering, grilles,
//! windows; a camera does not move), and those outside the camera's zones.

use std::sync::Arc;

use super::geometry::Rect;
use super::track::Observation;
use super::zones::{Excluded, Zones};

/// A place is looked at again after this long: a vehicle may have stopped there.
const FORGET_US: i64 = 2_000_000;

/// A candidate that scores this much higher than what was rejected is something else.
const SURER: f32 = 0.15;

/// A first look this sure saw a plate: counted when it lies outside the zones.
const SURE: f32 = 0.5;

const OVERLAP: f32 = 0.5;
const PLACES_MAX: usize = 64;

struct Place {
    bounds: Rect,
    score: f32,
    until_us: i64,
}

/// Of one camera.
#[derive(Default)]
pub struct Clutter {
    places: Vec<Place>,
    zones: Arc<Zones>,
    /// Of the picture, in pixels.
    size: (f32, f32),
    excluded: Vec<Excluded>,
}

impl Clutter {
    /// Where candidates of the next frame, of `size` pixels, count.
    pub fn look_within(&mut self, zones: &Arc<Zones>, size: (f32, f32)) {
        self.zones = Arc::clone(zones);
        self.size = size;
    }

    /// Why sure candidates did not count since the last call.
    pub fn take_excluded(&mut self) -> Vec<Excluded> {
        std::mem::take(&mut self.excluded)
    }

    pub fn forget(&mut self, time_us: i64) {
        // A clock that jumped back must not make a place eternal.
        self.places.retain(|p| (time_us..=time_us.saturating_add(FORGET_US)).contains(&p.until_us));
    }

    pub fn is_known(&mut self, candidate: &Observation) -> bool {
        let bounds = candidate.quad.bounds();
        if let Some(excluded) = self.zones.excludes_surely(&bounds, self.size) {
            if candidate.score >= SURE {
                self.excluded.push(excluded);
            }
            return true;
        }
        self.places.iter().any(|p| candidate.score < p.score + SURER && p.bounds.iou(&bounds) > OVERLAP)
    }

    pub fn reject(&mut self, candidate: &Observation, time_us: i64) {
        if self.places.len() == PLACES_MAX {
            self.places.remove(0);
        }
        let until_us = time_us.saturating_add(FORGET_US);
        self.places.push(Place { bounds: candidate.quad.bounds(), score: candidate.score, until_us });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CameraConfig, ZoneConfig};
    use crate::lpr::geometry::Quad;

    #[test]
    fn a_rejected_place_stays_so_for_a_while_unless_something_surer_shows_up() {
        let at = |x: f32, score| Observation {
            quad: Quad::from_rect(&Rect::new(x, 0.0, x + 60.0, 20.0)),
            score,
            two_rows: 0.0,
        };
        let mut clutter = Clutter::default();
        clutter.reject(&at(100.0, 0.2), 0);
        assert!(clutter.is_known(&at(103.0, 0.25)));
        assert!(!clutter.is_known(&at(103.0, 0.4)), "surer");
        assert!(!clutter.is_known(&at(160.0, 0.2)), "elsewhere");
        clutter.forget(1_900_000);
        assert!(clutter.is_known(&at(100.0, 0.2)));
        clutter.forget(2_100_000);
        assert!(!clutter.is_known(&at(100.0, 0.2)));
        for i in 0..200 {
            clutter.reject(&at(i as f32 * 100.0, 0.2), 0);
        }
        assert_eq!(clutter.places.len(), PLACES_MAX);
        let points = vec![[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]];
        let zones = vec![ZoneConfig { points, ..ZoneConfig::default() }];
        let zones = Arc::new(Zones::of(&CameraConfig { zones, ..CameraConfig::default() }));
        clutter.look_within(&zones, (10_000.0, 500.0));
        for (x, score, known) in [(7000.0, 0.9, true), (7000.0, 0.2, true), (50.0, 0.9, false)] {
            assert_eq!(clutter.is_known(&at(x, score)), known, "{x}");
        }
        assert_eq!(clutter.take_excluded(), [Excluded::OutsideZones]);
        assert!(clutter.take_excluded().is_empty());
        clutter.forget(-5_000_000);
        assert!(clutter.places.is_empty(), "the clock went back");
    }
}
