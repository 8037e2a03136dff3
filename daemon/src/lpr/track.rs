//! Pure. Which plate of this frame is which plate of the last: constant-velocity prediction and greedy assignment.

use super::direction::Path;
use super::geometry::{Quad, Rect, distance};

/// A plate found in one frame, in pixels of the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    pub quad: Quad,
    /// Detector score, 0 to 1.
    pub score: f32,
    /// Probability of two rows of characters.
    pub two_rows: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u64);

/// The path of one plate.
#[derive(Clone, Debug)]
pub struct Track {
    pub id: TrackId,
    pub first: Observation,
    pub first_us: i64,
    pub last: Observation,
    pub last_us: i64,
    /// Frames in which it was found.
    pub hits: u32,
    pub path: Path,
    /// Pixels a second, smoothed.
    velocity: [f32; 2],
}

impl Track {
    /// Where the plate's center should be at `time_us`; coasts for half a second at most.
    pub fn predicted_center(&self, time_us: i64) -> [f32; 2] {
        let dt = seconds(time_us - self.last_us).min(0.5);
        let [x, y] = self.last.quad.center();
        [x + self.velocity[0] * dt, y + self.velocity[1] * dt]
    }

    pub fn expected(&self, time_us: i64) -> Expected {
        let moved = self.speed() * seconds(time_us - self.last_us);
        // The velocity of a plate seen twice may be half wrong, and its surroundings show it up to a width aside.
        let sure = self.hits > 1 && moved <= 1.5 * self.last.quad.width();
        let ([from_x, from_y], [x, y]) = (self.last.quad.center(), self.predicted_center(time_us));
        Expected { bounds: self.last.quad.translate(x - from_x, y - from_y).bounds(), sure }
    }

    /// Pixels a second.
    pub fn velocity(&self) -> [f32; 2] {
        self.velocity
    }

    pub fn speed(&self) -> f32 {
        self.velocity[0].hypot(self.velocity[1])
    }

    /// Moves less than a twentieth of the plate's width a second.
    pub fn is_still(&self) -> bool {
        self.hits > 3 && self.speed() < 0.05 * self.last.quad.width().max(20.0)
    }

    /// Whether the prediction says that the plate has left the picture or touches its border.
    pub fn is_leaving(&self, time_us: i64, width: f32, height: f32) -> bool {
        let [x, y] = self.predicted_center(time_us);
        let (w, h) = (self.last.quad.width() * 0.75, self.last.quad.height() * 0.75);
        x < w || y < h || x > width - w || y > height - h
    }

    fn take(&mut self, observation: Observation, time_us: i64) {
        let dt = seconds(time_us - self.last_us);
        if dt > 0.0 {
            let (from, to) = (self.last.quad.center(), observation.quad.center());
            // The first step is all that is known; later ones are smoothed over about three frames.
            let share = if self.hits == 1 { 1.0 } else { 0.5 };
            for axis in 0..2 {
                let measured = (to[axis] - from[axis]) / dt;
                self.velocity[axis] += share * (measured - self.velocity[axis]);
            }
        }
        self.last = observation;
        self.last_us = time_us;
        self.hits += 1;
        self.path.add(time_us, &observation.quad);
    }

    /// How badly an observation fits, lower is better; `None` when it cannot be the same plate.
    fn misfit(&self, observation: &Observation, time_us: i64) -> Option<f32> {
        let (mine, theirs) = (self.last.quad, observation.quad);
        let width = mine.width().max(theirs.width()).max(8.0);
        let stretch = (theirs.width().max(1.0) / mine.width().max(1.0)).ln().abs();
        let dt = seconds(time_us - self.last_us);
        // A vehicle nears fast: at 10 frames a second its plate grows up to a quarter between frames.
        if stretch > 0.3 + 1.5 * dt.min(0.5) {
            return None;
        }
        let away = distance(self.predicted_center(time_us), theirs.center());
        // Without a known velocity the plate may be two of its widths further on: 60 km/h across a narrow view.
        let reach = if self.hits == 1 { 2.5 * width } else { 1.2 * width + 0.4 * self.speed() * dt };
        (away <= reach).then(|| away / width + stretch)
    }
}

/// Where a plate should be by now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub bounds: Rect,
    /// A closer look there will show it. Otherwise it is too new or too fast to say.
    pub sure: bool,
}

/// All plates in view of one camera.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    issued: u64,
}

/// Plates tracked at once; a picture with more is noise, and the rest is ignored by score.
pub const TRACKS_MAX: usize = 64;

impl Tracker {
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    pub fn get(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().find(|t| t.id == id)
    }

    /// Assigns every observation to a known or a new track; the answer has one entry an observation, `None` where
    /// [`TRACKS_MAX`] are in view already.
    pub fn update(&mut self, time_us: i64, observations: &[Observation]) -> Vec<Option<TrackId>> {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (t, track) in self.tracks.iter().enumerate() {
            for (o, observation) in observations.iter().enumerate() {
                if let Some(misfit) = track.misfit(observation, time_us) {
                    pairs.push((misfit, t, o));
                }
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut assigned = vec![None; observations.len()];
        let mut used = vec![false; self.tracks.len()];
        for (_, t, o) in pairs {
            if !used[t] && assigned[o].is_none() {
                used[t] = true;
                assigned[o] = Some(self.tracks[t].id);
                self.tracks[t].take(observations[o], time_us);
            }
        }
        for (observation, slot) in observations.iter().zip(&mut assigned) {
            if slot.is_none() && self.tracks.len() < TRACKS_MAX {
                self.issued += 1;
                let id = TrackId(self.issued);
                *slot = Some(id);
                let mut path = Path::default();
                path.add(time_us, &observation.quad);
                self.tracks.push(Track {
                    id,
                    first: *observation,
                    first_us: time_us,
                    last: *observation,
                    last_us: time_us,
                    hits: 1,
                    path,
                    velocity: [0.0; 2],
                });
            }
        }
        assigned
    }

    /// The scene stood still since the last frame: plates found then are still there.
    pub fn hold(&mut self, found_since_us: i64, time_us: i64) {
        for track in &mut self.tracks {
            if track.last_us >= found_since_us && time_us > track.last_us {
                track.last_us = time_us;
                track.velocity = [0.0; 2];
            }
        }
    }

    /// Takes out the tracks that `over` says have ended.
    pub fn remove(&mut self, over: impl Fn(&Track) -> bool) -> Vec<Track> {
        let (ended, kept) = std::mem::take(&mut self.tracks).into_iter().partition(over);
        self.tracks = kept;
        ended
    }
}

fn seconds(us: i64) -> f32 {
    (us.max(0) as f64 / 1e6) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, y: f32, width: f32) -> Observation {
        let quad = Quad::from_rect(&Rect::new(x, y, x + width, y + width * 0.33));
        Observation { quad, score: 0.9, two_rows: 0.1 }
    }

    #[test]
    fn two_vehicles_that_cross_keep_their_tracks() {
        let mut tracker = Tracker::default();
        let mut first = Vec::new();
        for i in 0..20 {
            let t = i as f32;
            let ids =
                tracker.update(i * 100_000, &[at(100.0 + 40.0 * t, 300.0, 90.0), at(860.0 - 40.0 * t, 330.0, 90.0)]);
            if i == 0 {
                first = ids;
            } else {
                assert_eq!(ids, first, "frame {i}");
            }
        }
        assert_eq!(tracker.tracks().len(), 2);
    }

    #[test]
    fn a_miss_of_three_frames_is_bridged() {
        let mut tracker = Tracker::default();
        let id = tracker.update(0, &[at(100.0, 100.0, 80.0)])[0];
        for i in 1..12_i64 {
            let seen = [at(100.0 + 50.0 * i as f32, 100.0, 80.0)];
            let seen: &[Observation] = if (5..8).contains(&i) { &[] } else { &seen };
            for assigned in tracker.update(i * 100_000, seen) {
                assert_eq!(assigned, id);
            }
        }
    }

    #[test]
    fn a_plate_of_another_size_or_place_is_another() {
        let mut tracker = Tracker::default();
        let a = tracker.update(0, &[at(100.0, 100.0, 80.0)])[0];
        let b = tracker.update(100_000, &[at(100.0, 100.0, 200.0)])[0];
        let c = tracker.update(200_000, &[at(900.0, 500.0, 80.0)])[0];
        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn a_plate_is_expected_where_it_goes_once_that_is_known() {
        let mut tracker = Tracker::default();
        tracker.update(0, &[at(100.0, 100.0, 80.0)]);
        assert!(!tracker.tracks()[0].expected(100_000).sure, "seen once");
        tracker.update(100_000, &[at(140.0, 110.0, 80.0)]);
        let Expected { bounds, sure } = tracker.tracks()[0].expected(200_000);
        assert!(sure && (bounds.x1 - 180.0).abs() < 1.0 && (bounds.y1 - 120.0).abs() < 1.0, "{bounds:?}");
        tracker.update(200_000, &[at(290.0, 110.0, 80.0)]);
        assert!(!tracker.tracks()[0].expected(400_000).sure, "too fast");
    }

    #[test]
    fn the_number_of_tracks_is_bounded() {
        let many: Vec<_> = (0..TRACKS_MAX + 5).map(|i| at(i as f32 * 1000.0, 0.0, 50.0)).collect();
        let mut tracker = Tracker::default();
        assert_eq!(tracker.update(0, &many).iter().filter(|a| a.is_none()).count(), 5);
    }
}
