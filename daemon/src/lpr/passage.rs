//! Pure. One passage of one vehicle is one detection (invariant L1): tracks in, finished passages out.
//!
//! A passage ends when its plate has left the picture or was not found for a while, or is reported early when the
//! vehicle stays. Pieces of one passage (a lamp post in the way, a detector that blinked, a vehicle that parked) are
//! joined by what they say: two plates that may well be the same text within a few seconds are the same vehicle.

use std::collections::VecDeque;

use super::fuse::{Fusion, Reading, weight};
use super::geometry::Quad;
use super::grammar::{self, Candidate, Format, Slots};
use super::read::Read;
use super::track::{Direction, Expected, Observation, Track, TrackId, Tracker};

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

/// A plate found in a single frame must be this sure to count: noise rarely repeats, but it does happen once.
const SINGLE_SCORE: f32 = 0.6;
const SINGLE_CONFIDENCE: f64 = 0.75;

/// Shorter texts are lettering, not plates.
const CHARACTERS_MIN: usize = 4;

/// Two readings are the same vehicle when one gives the other's text at least this share of its own best.
const SAME_SHARE: f64 = 0.02;

/// Passages remembered for joining; a junction sees about two a second.
const RECENT_MAX: usize = 256;

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
    best: Option<Best<F>>,
    /// Of the earlier pieces that were joined to this one.
    earlier: Option<(i64, Quad, u32)>,
    told: bool,
}

struct Recent {
    slots: Slots,
    text: String,
    last_us: i64,
    quad: Quad,
}

/// All passages in view of one camera. `F` is whatever evidence a frame is kept as.
pub struct Passages<F> {
    settings: Settings,
    tracker: Tracker,
    open: Vec<Open<F>>,
    recent: VecDeque<Recent>,
    size: (f32, f32),
    looked_us: i64,
}

impl<F> Passages<F> {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            tracker: Tracker::default(),
            open: Vec::new(),
            recent: VecDeque::new(),
            size: (0.0, 0.0),
            looked_us: i64::MIN,
        }
    }

    /// What the detector found in one frame of `size` pixels; per plate its track, if it got one.
    pub fn observe(&mut self, time_us: i64, size: (f32, f32), found: &[Observation]) -> Vec<Option<TrackId>> {
        self.size = size;
        self.looked_us = time_us;
        let assigned = self.tracker.update(time_us, found);
        for id in assigned.iter().flatten() {
            if !self.open.iter().any(|o| o.id == *id) {
                self.open.push(Open { id: *id, fusion: Fusion::default(), best: None, earlier: None, told: false });
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
        self.tracker.hold(self.looked_us, time_us);
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
        let oldest = settings.parked_us.max(settings.merge_us);
        self.recent.retain(|r| time_us - r.last_us <= oldest);
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
            self.remember(&open, track);
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
        let Some(mine) = piece.fusion.reading() else { return false };
        let text = best_text(&mine);
        let tracker = &self.tracker;
        let younger = self.open.iter_mut().filter(|o| !o.told).find(|o| {
            let follows = tracker.get(o.id).is_some_and(|t| t.first_us >= track.last_us && t.last_us > track.last_us);
            follows && o.fusion.reading().is_some_and(|r| same_vehicle(&mine.slots, &text, &r.slots, &best_text(&r)))
        });
        let Some(younger) = younger else { return false };
        younger.fusion.absorb(&piece.fusion);
        let (first_us, first, hits) = piece.earlier.unwrap_or((track.first_us, track.first.quad, 0));
        let (_, _, more) = younger.earlier.unwrap_or((0, first, 0));
        younger.earlier = Some((first_us, first, hits + track.hits + more));
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
        let (Some(reading), Some(best)) = (open.fusion.reading(), open.best.as_ref()) else { return Outcome::Unread };
        let ranked = rank(&reading);
        let Some(top) = ranked.first() else { return Outcome::Unread };
        let (first_us, first, earlier_hits) = open.earlier.unwrap_or((track.first_us, track.first.quad, 0));
        let hits = track.hits + earlier_hits;
        let single = hits == 1 && (best.observation.score < SINGLE_SCORE || top.p < SINGLE_CONFIDENCE);
        if single || top.p < self.settings.min_confidence || top.text.chars().count() < CHARACTERS_MIN {
            return Outcome::Unsure;
        }
        if self.was_told(&reading.slots, &top.text, track) {
            return Outcome::Merged;
        }
        self.remember(open, track);
        Outcome::Finished(Box::new(Finished {
            layout: layout_of(&reading, &top.text, best.observation.two_rows),
            category: reading.category.as_ref().and_then(|c| c.sure()).map(str::to_owned),
            slots: reading.slots,
            first_us,
            last_us: track.last_us,
            direction: Direction::between(&first, &track.last.quad),
            reads: open.fusion.reads(),
            hits,
            best: best.clone(),
            ranked,
        }))
    }

    fn was_told(&mut self, slots: &Slots, text: &str, track: &Track) -> bool {
        let settings = self.settings;
        let told = self.recent.iter_mut().find(|r| {
            let since = track.first_us - r.last_us;
            let parked = r.quad.bounds().iou(&track.first.quad.bounds()) > 0.3;
            let soon = since <= if parked { settings.parked_us } else { settings.merge_us };
            soon && same_vehicle(slots, text, &r.slots, &r.text)
        });
        let Some(told) = told else { return false };
        told.last_us = told.last_us.max(track.last_us);
        told.quad = track.last.quad;
        true
    }

    fn remember(&mut self, open: &Open<F>, track: &Track) {
        let Some(reading) = open.fusion.reading() else { return };
        let text = best_text(&reading);
        if let Some(known) = self.recent.iter_mut().find(|r| r.text == text) {
            known.last_us = track.last_us;
            known.quad = track.last.quad;
            return;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { slots: reading.slots, text, last_us: track.last_us, quad: track.last.quad });
    }
}

/// The likeliest texts of a reading.
pub fn rank(reading: &Reading) -> Vec<Candidate> {
    let belief = reading.layout.as_ref().map(super::fuse::Classes::belief).unwrap_or_default();
    grammar::rank(&reading.slots, belief)
}

fn best_text(reading: &Reading) -> String {
    rank(reading).into_iter().next().map(|c| c.text).unwrap_or_default()
}

/// The layout that fits the text: the likeliest of those the reader names, or what the format and the rows say.
pub fn layout_of(reading: &Reading, text: &str, two_rows: f32) -> String {
    let prefix = match grammar::format_of(text) {
        Format::Old => "br-old",
        Format::Mercosul => "br-mercosul",
        Format::Free => "",
    };
    let named = reading.layout.as_ref().and_then(|layout| {
        let fits = |name: &str| prefix.is_empty() || !name.starts_with("br-") || name.starts_with(prefix);
        let candidates = layout.names.iter().zip(&layout.probabilities).filter(|(name, _)| fits(name));
        candidates.max_by(|a, b| a.1.total_cmp(b.1)).map(|(name, _)| name.clone())
    });
    named.unwrap_or_else(|| match prefix {
        "" => "other".to_owned(),
        prefix if two_rows > 0.5 => format!("{prefix}-moto"),
        prefix => prefix.to_owned(),
    })
}

fn same_vehicle(a: &Slots, a_text: &str, b: &Slots, b_text: &str) -> bool {
    let likely = |slots: &Slots, own: &str, other: &str| {
        slots.probability_of(other) >= SAME_SHARE * slots.probability_of(own).max(f64::MIN_POSITIVE)
    };
    grammar::canonical(a_text) == grammar::canonical(b_text) || likely(a, a_text, b_text) || likely(b, b_text, a_text)
}

fn touches_border(quad: &Quad, (width, height): (f32, f32)) -> bool {
    let b = quad.bounds();
    b.x1 < 1.0 || b.y1 < 1.0 || b.x2 > width - 1.0 || b.y2 > height - 1.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lpr::geometry::Rect;

    const SIZE: (f32, f32) = (1920.0, 1080.0);

    fn plate(x: f32, y: f32) -> Observation {
        let quad = Quad::from_rect(&Rect::new(x, y, x + 110.0, y + 36.0));
        Observation { quad, score: 0.9, two_rows: 0.1 }
    }

    fn read(text: &str, sure: f32) -> Read {
        let alphabet: Arc<[char]> = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_".chars().collect::<Vec<_>>().into();
        let values = (0..9).flat_map(|i| {
            let c = text.chars().nth(i).unwrap_or('_');
            alphabet.iter().map(|a| if *a == c { sure } else { (1.0 - sure) / 36.0 }).collect::<Vec<_>>()
        });
        let slots = Slots::new(alphabet.clone(), values.collect()).unwrap();
        Read { reading: Reading { slots, layout: None, category: None }, sharpness: 0.2, plate: None, readable: true }
    }

    struct Scene {
        passages: Passages<i64>,
        outcomes: Vec<Outcome<i64>>,
        now_us: i64,
    }

    impl Scene {
        fn new() -> Self {
            Self { passages: Passages::new(Settings::new(0.5)), outcomes: Vec::new(), now_us: 0 }
        }

        /// One frame, 100 ms after the last.
        fn frame(&mut self, plates: &[(Observation, Read)]) {
            self.now_us += 100_000;
            let found: Vec<_> = plates.iter().map(|p| p.0).collect();
            let ids = self.passages.observe(self.now_us, SIZE, &found);
            for (id, (_, read)) in ids.into_iter().zip(plates) {
                let now_us = self.now_us;
                self.passages.add(id.unwrap(), read, || now_us);
            }
            self.outcomes.extend(self.passages.finish(self.now_us));
        }

        fn empty(&mut self, frames: usize) {
            (0..frames).for_each(|_| self.frame(&[]));
        }

        fn told(&self) -> Vec<&Finished<i64>> {
            self.outcomes.iter().filter_map(|o| if let Outcome::Finished(f) = o { Some(&**f) } else { None }).collect()
        }
    }

    #[test]
    fn one_passage_is_told_once_and_within_a_second_of_leaving() {
        let mut scene = Scene::new();
        for i in 0..17 {
            let text = if i == 5 { "ABC1D28" } else { "ABC1D23" };
            scene.frame(&[(plate(100.0 + 100.0 * i as f32, 500.0), read(text, 0.9))]);
        }
        let left_us = scene.now_us;
        while scene.told().is_empty() {
            scene.empty(1);
        }
        assert!(scene.now_us - left_us <= 600_000, "{} us", scene.now_us - left_us);
        scene.empty(30);
        let told = scene.told();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].ranked[0].text, "ABC1D23");
        assert_eq!((told[0].reads, told[0].hits, told[0].layout.as_str()), (17, 17, "br-mercosul"));
        assert_eq!(told[0].direction, Some(Direction::LeftToRight));
        assert_eq!((told[0].first_us, told[0].last_us), (100_000, left_us));
        assert!(scene.passages.open.is_empty());
    }

    #[test]
    fn a_parked_vehicle_is_told_once_however_long_it_stays() {
        let mut scene = Scene::new();
        for i in 0..600 {
            // The detector misses it now and then, and a truck hides it for five seconds.
            if i % 13 == 0 || (300..350).contains(&i) {
                scene.empty(1);
            } else {
                scene.frame(&[(plate(800.0, 500.0), read("ABC1234", 0.9))]);
            }
        }
        scene.empty(30);
        assert_eq!(scene.told().len(), 1);
    }

    #[test]
    fn a_held_scene_keeps_its_plates_and_tells_them_in_time() {
        let mut scene = Scene::new();
        (0..5).for_each(|_| scene.frame(&[(plate(800.0, 500.0), read("ABC1234", 0.9))]));
        for _ in 0..100 {
            scene.now_us += 1_000_000;
            scene.passages.hold(scene.now_us);
            let finished = scene.passages.finish(scene.now_us);
            scene.outcomes.extend(finished);
        }
        assert_eq!(scene.told().len(), 1);
        scene.frame(&[(plate(800.0, 500.0), read("ABC1234", 0.9))]);
        scene.empty(30);
        assert_eq!(scene.told().len(), 1, "its end is not told again");
    }

    #[test]
    fn pieces_of_a_passage_are_joined_by_what_they_say() {
        let mut scene = Scene::new();
        (0..6).for_each(|i| scene.frame(&[(plate(100.0 + 30.0 * i as f32, 300.0), read("ABC1D23", 0.8))]));
        scene.empty(4);
        // It comes out from behind a lorry, further on and larger than a prediction would allow.
        (0..6).for_each(|i| scene.frame(&[(plate(900.0 + 30.0 * i as f32, 500.0), read("ABC1D2B", 0.5))]));
        scene.empty(20);
        let told = scene.told();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].ranked[0].text.as_str(), told[0].first_us, told[0].hits), ("ABC1D23", 100_000, 12));
    }

    #[test]
    fn followers_with_sure_plates_stay_two_vehicles() {
        let mut scene = Scene::new();
        (0..8).for_each(|i| scene.frame(&[(plate(100.0 + 60.0 * i as f32, 300.0), read("ABC1D23", 0.97))]));
        scene.empty(12);
        (0..8).for_each(|i| scene.frame(&[(plate(100.0 + 60.0 * i as f32, 300.0), read("ABC1D24", 0.97))]));
        scene.empty(20);
        assert_eq!(scene.told().len(), 2);
        let mut scene = Scene::new();
        for i in 0..12 {
            let x = 100.0 + 60.0 * i as f32;
            scene.frame(&[(plate(x, 300.0), read("AAA1111", 0.95)), (plate(x, 700.0), read("BBB2B22", 0.95))]);
        }
        scene.empty(20);
        assert_eq!(scene.told().len(), 2, "side by side");
    }

    #[test]
    fn noise_is_not_told() {
        let mut scene = Scene::new();
        scene.frame(&[(Observation { score: 0.4, ..plate(100.0, 100.0) }, read("ABC1234", 0.9))]);
        scene.empty(20);
        for i in 0..10 {
            scene.frame(&[(plate(500.0 + i as f32, 100.0), read("X", 0.9))]);
        }
        scene.empty(20);
        for i in 0..10 {
            scene.frame(&[(plate(900.0 + i as f32, 700.0), read("ABC1234", 0.1))]);
        }
        scene.empty(20);
        assert!(scene.told().is_empty());
        assert_eq!(scene.outcomes.len(), 3, "{:?}", scene.outcomes);
    }

    #[test]
    fn what_is_open_is_told_when_the_camera_goes() {
        let mut scene = Scene::new();
        (0..5).for_each(|i| scene.frame(&[(plate(100.0 + 60.0 * i as f32, 300.0), read("ABC1D23", 0.9))]));
        assert_eq!(scene.passages.flush().len(), 1);
        assert!(scene.passages.open.is_empty() && scene.passages.flush().is_empty());
    }
}
