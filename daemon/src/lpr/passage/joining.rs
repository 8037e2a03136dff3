//! Pure. Which pieces are one vehicle: by what they say, and by whether one vehicle can have been at both places.

use std::collections::VecDeque;

use super::Settings;
use crate::lpr::geometry::Quad;
use crate::lpr::grammar::{self, Slots};
use crate::lpr::track::Track;

/// Two readings are alike when one gives the other's text at least this share of its own best.
const ALIKE: f64 = 0.02;
/// The same for a plate that stands where another stood: darkness, infrared and rain change what is read, while two
/// vehicles of almost the same plate seldom park at one place.
const ALIKE_PARKED: f64 = 0.001;

/// Overlap of two places that are one.
const SAME_PLACE: f32 = 0.3;
const SAME_SPOT: f32 = 0.6;

/// Two tracks seen side by side for longer than this are two vehicles, if they do not say the very same.
const TOGETHER_US: i64 = 200_000;

/// Passages remembered; a junction sees about two a second.
const RECENT_MAX: usize = 256;

/// Where a vehicle was seen last, and which way it went.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub last_us: i64,
    pub quad: Quad,
    /// Pixels a second.
    pub velocity: [f32; 2],
    pub still: bool,
}

impl Place {
    pub fn of(track: &Track) -> Self {
        Self { last_us: track.last_us, quad: track.last.quad, velocity: track.velocity(), still: track.is_still() }
    }

    /// Whether `track` begins where a vehicle that drove on cannot have come from here: behind it.
    fn was_left_behind_by(&self, track: &Track) -> bool {
        let width = self.quad.width().max(8.0);
        let speed = self.velocity[0].hypot(self.velocity[1]);
        let ([from_x, from_y], [x, y]) = (self.quad.center(), track.first.quad.center());
        let ahead = ((x - from_x) * self.velocity[0] + (y - from_y) * self.velocity[1]) / speed.max(1e-3);
        speed > 0.5 * width && ahead < -0.5 * width
    }
}

/// What a piece says.
#[derive(Clone, Debug)]
pub struct Said {
    pub slots: Slots,
    pub text: String,
}

impl Said {
    /// The same text, or two spellings of one vehicle.
    fn equals(&self, other: &Self) -> bool {
        grammar::canonical(&self.text) == grammar::canonical(&other.text)
    }

    fn is_like(&self, other: &Self, share: f64) -> bool {
        let likely = |a: &Self, b: &Self| {
            a.slots.probability_of(&b.text) >= share * a.slots.probability_of(&a.text).max(f64::MIN_POSITIVE)
        };
        likely(self, other) || likely(other, self)
    }
}

/// Whether a track that says `said` goes on with the vehicle that was last at `place` and said `before`.
pub fn is_same_vehicle(place: &Place, before: &Said, track: &Track, said: &Said) -> bool {
    if before.equals(said) {
        return true;
    }
    if track.first_us < place.last_us - TOGETHER_US || place.was_left_behind_by(track) {
        return false;
    }
    let overlap = place.quad.bounds().iou(&track.first.quad.bounds());
    let parked = place.still && track.is_still() && overlap > SAME_SPOT;
    before.is_like(said, if parked { ALIKE_PARKED } else { ALIKE })
}

#[derive(Clone, Debug)]
struct Recent {
    said: Said,
    place: Place,
}

/// The vehicles told last. It outlives the watching of a camera: a parked vehicle is not told again because the stream
/// or the camera's settings were renewed.
#[derive(Clone, Debug, Default)]
pub struct Told {
    recent: VecDeque<Recent>,
}

impl Told {
    /// Whether this track belongs to a vehicle that was told already; that one was here until now, then.
    pub fn takes(&mut self, track: &Track, said: &Said, settings: &Settings) -> bool {
        let told = self.recent.iter_mut().find(|recent| {
            let since_us = track.first_us - recent.place.last_us;
            let same_place = recent.place.quad.bounds().iou(&track.first.quad.bounds()) > SAME_PLACE;
            let soon = since_us <= if same_place { settings.parked_us } else { settings.merge_us };
            soon && is_same_vehicle(&recent.place, &recent.said, track, said)
        });
        let Some(told) = told else { return false };
        told.place = Place { last_us: told.place.last_us.max(track.last_us), ..Place::of(track) };
        true
    }

    pub fn remember(&mut self, track: &Track, said: Said) {
        let place = Place::of(track);
        if let Some(known) = self.recent.iter_mut().find(|recent| recent.said.text == said.text) {
            known.place = place;
            return;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { said, place });
    }

    pub fn forget(&mut self, time_us: i64, settings: &Settings) {
        let oldest = settings.parked_us.max(settings.merge_us);
        self.recent.retain(|recent| time_us - recent.place.last_us <= oldest);
    }
}
