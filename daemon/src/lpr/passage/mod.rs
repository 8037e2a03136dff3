//! Pure. One passage of one vehicle is one detection (invariant L1): tracks in, finished passages out.
//!
//! A passage ends when its plate has left the picture or was not found for a while, or is reported early when the
//! vehicle stays. Pieces of one passage (a lamp post in the way, a detector that blinked, a vehicle that parked) are
//! put together in `joining`; what is told, and whether, is decided in `reporting`.

mod joining;
mod reporting;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use joining::Told;
use joining::{Place, Said, is_same_vehicle};
use reporting::{Votes, best_text, said, weigh};
pub use reporting::{layout_of, rank};

use super::direction::{Direction, Path};
use super::fuse::{Fusion, weight};
use super::geometry::Quad;
use super::grammar::{Candidate, Slots};
use super::read::Read;
use super::track::{Expected, Observation, Track, TrackId, Tracker};

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A plate on its way out of the picture is gone after this long without a sight of it.
    pub leave_us: i64,
    /// One that vanished inside the picture may come back this much later.
    pub lost_us: i64,
    /// A vehicle that stays is reported after this long.
    pub report_us: i64,
    /// A plate of the same text this soon after a passage still belongs to it.
    pub merge_us: i64,
    /// The same for a plate that shows up where the other was seen last: parked, hidden by others now and then.
    pub parked_us: i64,
    /// Below this fused probability a passage is not reported.
    pub min_confidence: f64,
}

impl Settings {
    pub fn new(min_confidence: f64) -> Self {
        Self {
            leave_us: 400_000,
            lost_us: 700_000,
            report_us: 8_000_000,
            merge_us: 6_000_000,
            parked_us: 900_000_000,
            min_confidence,
        }
    }
}

/// Reads of a plate that stands still beyond this many say nothing new.
const READS_ENOUGH: u32 = 20;

/// A passage that is over, or long enough to be told about.
#[derive(Clone, Debug)]
pub struct Finished<F> {
    /// The reading and its alternatives, likeliest first; never empty.
    pub ranked: Vec<Candidate>,
    pub layout: String,
    /// See [`Reading::category`].
    pub category: Option<String>,
    pub slots: Slots,
    pub first_us: i64,
    pub last_us: i64,
    pub direction: Option<Direction>,
    pub reads: u32,
    /// Frames that were read, each for itself, as the text that is told.
    pub agreeing: u32,
    /// Frames in which the plate was found.
    pub hits: u32,
    pub best: Best<F>,
}

/// The sight that serves as evidence.
#[derive(Clone, Debug)]
pub struct Best<F> {
    pub weight: f32,
    pub at_us: i64,
    pub observation: Observation,
    pub evidence: F,
}

/// What became of a passage.
#[derive(Debug)]
pub enum Outcome<F> {
    Finished(Box<Finished<F>>),
    /// It was part of a passage that was told already.
    Merged,
    /// Too short or too unsure a text to be a plate.
    Unsure,
    /// Never read.
    Unread,
}

struct Open<F> {
    id: TrackId,
    fusion: Fusion,
    votes: Votes,
    best: Option<Best<F>>,
    earlier: Option<Earlier>,
    told: bool,
}

/// The earlier pieces of a passage that goes on.
#[derive(Clone, Copy, Debug)]
struct Earlier {
    first_us: i64,
    hits: u32,
    path: Path,
}

/// All passages in view of one camera. `F` is whatever evidence a frame is kept as.
pub struct Passages<F> {
    settings: Settings,
    tracker: Tracker,
    open: Vec<Open<F>>,
    told: Told,
    size: (f32, f32),
    looked_us: i64,
}

impl<F> Passages<F> {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            tracker: Tracker::default(),
            open: Vec::new(),
            told: Told::default(),
            size: (0.0, 0.0),
            looked_us: i64::MIN,
        }
    }

    /// The vehicles that were told before, when this camera was watched already.
    pub fn recall(&mut self, told: Told) {
        self.told = told;
    }

    /// For whoever watches this camera next.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// What the detector found in one frame of `size` pixels; per plate its track, if it got one.
    pub fn observe(&mut self, time_us: i64, size: (f32, f32), found: &[Observation]) -> Vec<Option<TrackId>> {
        self.size = size;
        self.looked_us = time_us;
        let assigned = self.tracker.update(time_us, found);
        for id in assigned.iter().flatten() {
            if !self.open.iter().any(|o| o.id == *id) {
                self.open.push(Open {
                    id: *id,
                    fusion: Fusion::default(),
                    votes: Votes::default(),
                    best: None,
                    earlier: None,
                    told: false,
                });
            }
        }
        assigned
    }

    /// Whether another reading of this plate can still tell something: a parked one was read often enough.
    pub fn wants_reading(&self, id: TrackId) -> bool {
        let Some(open) = self.open.iter().find(|o| o.id == id) else { return false };
        !(open.told || open.fusion.reads() >= READS_ENOUGH) || !self.tracker.get(id).is_some_and(Track::is_still)
    }

    /// A reading of a plate in the frame last observed.
    pub fn add(&mut self, id: TrackId, read: &Read, evidence: impl FnOnce() -> F) {
        let (Some(track), Some(open)) = (self.tracker.get(id), self.open.iter_mut().find(|o| o.id == id)) else {
            return;
        };
        let observation = track.last;
        let mut weight = weight(observation.quad.width(), read.sharpness, observation.score);
        // Half readable counts half.
        weight *= read.plate.unwrap_or(1.0);
        if self.size.0 > 0.0 && touches_border(&observation.quad, self.size) {
            // Cut off: its characters are not all there.
            weight *= 0.2;
        }
        open.fusion.add(&read.reading, weight);
        open.votes.add(&best_text(&read.reading));
        if open.best.as_ref().is_none_or(|best| weight > best.weight) {
            open.best = Some(Best { weight, at_us: track.last_us, observation, evidence: evidence() });
        }
    }

    /// Where the plates under way should be at `time_us`; those that stand still need no look of their own.
    pub fn expected(&self, time_us: i64) -> Vec<Expected> {
        let live = self.tracker.tracks().iter().filter(|t| time_us - t.last_us <= self.settings.leave_us);
        live.filter(|track| !track.is_still()).map(|track| track.expected(time_us)).collect()
    }

    /// Nothing moved since the last look: plates found then are still there.
    pub fn hold(&mut self, time_us: i64) {
        // The last look may have been at other plates only: those seen a moment before it stand there too.
        self.tracker.hold(self.looked_us.saturating_sub(self.settings.leave_us), time_us);
        self.looked_us = self.looked_us.max(time_us);
    }

    /// The passages that are over, or long enough to be told, at `time_us`.
    pub fn finish(&mut self, time_us: i64) -> Vec<Outcome<F>>
    where
        F: Clone,
    {
        let (settings, (width, height)) = (self.settings, self.size);
        let ended = self.tracker.remove(|track| {
            let patience = if track.is_leaving(time_us, width, height) { settings.leave_us } else { settings.lost_us };
            time_us - track.last_us > patience
        });
        let mut outcomes = Vec::new();
        for track in ended {
            outcomes.extend(self.end(&track, true));
        }
        let staying: Vec<Track> = self
            .tracker
            .tracks()
            .iter()
            .filter(|t| time_us - t.first_us > settings.report_us)
            .filter(|t| self.open.iter().any(|o| o.id == t.id && !o.told))
            .cloned()
            .collect();
        for track in staying {
            outcomes.extend(self.tell(&track));
        }
        self.told.forget(time_us, &settings);
        outcomes
    }

    /// Ends everything: the camera goes or the box stops.
    pub fn flush(&mut self) -> Vec<Outcome<F>>
    where
        F: Clone,
    {
        let ended = self.tracker.remove(|_| true);
        ended.iter().filter_map(|track| self.end(track, false)).collect()
    }

    fn end(&mut self, track: &Track, may_join: bool) -> Option<Outcome<F>>
    where
        F: Clone,
    {
        let open = self.open.iter().position(|o| o.id == track.id).map(|i| self.open.swap_remove(i))?;
        if open.told {
            // Told when it had stayed for long; remember where it went.
            if let Some(reading) = open.fusion.reading() {
                self.told.remember(track, said(reading));
            }
            return None;
        }
        if may_join && self.join(&open, track) {
            return None;
        }
        Some(self.conclude(&open, track))
    }

    /// The vehicle stays: told once, and its later end is not.
    fn tell(&mut self, track: &Track) -> Option<Outcome<F>>
    where
        F: Clone,
    {
        let index = self.open.iter().position(|o| o.id == track.id)?;
        let mut open = self.open.swap_remove(index);
        let outcome = match self.conclude(&open, track) {
            outcome @ (Outcome::Finished(_) | Outcome::Merged) => {
                open.told = true;
                Some(outcome)
            }
            // Perhaps it becomes readable yet.
            Outcome::Unsure | Outcome::Unread => None,
        };
        self.open.push(open);
        outcome
    }

    /// Hands a piece over to a younger track that reads alike; it will be told with that one.
    fn join(&mut self, piece: &Open<F>, track: &Track) -> bool
    where
        F: Clone,
    {
        let Some(mine) = piece.fusion.reading().map(said) else { return false };
        let (place, tracker) = (Place::of(track), &self.tracker);
        let younger = self.open.iter_mut().filter(|o| !o.told).find(|o| {
            let follows = tracker.get(o.id).filter(|t| t.first_us >= track.last_us && t.last_us > track.last_us);
            let theirs = o.fusion.reading().map(said);
            follows.zip(theirs).is_some_and(|(t, theirs)| is_same_vehicle(&place, &mine, t, &theirs))
        });
        let Some(younger) = younger else { return false };
        younger.fusion.absorb(&piece.fusion);
        younger.votes.absorb(&piece.votes);
        let mut earlier = piece.earlier.unwrap_or(Earlier { first_us: track.first_us, hits: 0, path: Path::default() });
        earlier.hits += track.hits;
        earlier.path.extend(&track.path);
        if let Some(between) = &younger.earlier {
            earlier.first_us = earlier.first_us.min(between.first_us);
            earlier.hits += between.hits;
            earlier.path.extend(&between.path);
        }
        younger.earlier = Some(earlier);
        if let Some(best) = &piece.best
            && younger.best.as_ref().is_none_or(|b| best.weight > b.weight)
        {
            younger.best = Some(best.clone());
        }
        true
    }

    fn conclude(&mut self, open: &Open<F>, track: &Track) -> Outcome<F>
    where
        F: Clone,
    {
        let finished = match weigh(open, track, self.settings.min_confidence) {
            Ok(finished) => finished,
            Err(outcome) => return outcome,
        };
        let text = finished.ranked.first().map(|c| c.text.clone()).unwrap_or_default();
        let said = Said { slots: finished.slots.clone(), text };
        if self.told.takes(track, &said, &self.settings) {
            return Outcome::Merged;
        }
        self.told.remember(track, said);
        Outcome::Finished(Box::new(finished))
    }
}

fn touches_border(quad: &Quad, (width, height): (f32, f32)) -> bool {
    let b = quad.bounds();
    b.x1 < 1.0 || b.y1 < 1.0 || b.x2 > width - 1.0 || b.y2 > height - 1.0
}
