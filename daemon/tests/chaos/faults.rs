//! What goes wrong in the chaos test, and how often.

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::proxy::Weather;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    BoxKilled,
    /// The whole daemon, which records a camera; in the long form.
    RecorderKilled,
    CentreKilled,
    BothKilled,
    DatabaseKilled,
    DatabaseRestarted,
    ObjectStoreKilled,
    ObjectStoreRestarted,
    Uplink(Weather),
    Uploads(Weather),
    DiskFull,
    ClockStep,
    /// No upload for so long that pictures have to go, then a power cut.
    SpoolFull,
    /// No centre for so long that records have to go, then a power cut.
    OutboxFull,
    /// Files that wait for their upload are damaged on the box's disk.
    FilesDamaged,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::BoxKilled => "box_killed",
            Self::RecorderKilled => "recorder_killed",
            Self::CentreKilled => "centre_killed",
            Self::BothKilled => "both_killed",
            Self::DatabaseKilled => "database_killed",
            Self::DatabaseRestarted => "database_restarted",
            Self::ObjectStoreKilled => "object_store_killed",
            Self::ObjectStoreRestarted => "object_store_restarted",
            Self::Uplink(weather) => return write!(f, "uplink_{}", weather.name()),
            Self::Uploads(weather) => return write!(f, "uploads_{}", weather.name()),
            Self::DiskFull => "disk_full",
            Self::ClockStep => "clock_step",
            Self::SpoolFull => "spool_full",
            Self::OutboxFull => "outbox_full",
            Self::FilesDamaged => "files_damaged",
        };
        f.write_str(name)
    }
}

/// Faults as cards: each comes as often as there are cards of it before any comes again.
pub struct Deck {
    cards: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    /// The long form also cuts the power of the whole daemon, and has more kills among the rest.
    pub fn new(long: bool) -> Self {
        let mut cards = Vec::new();
        let mut add = |count, fault| cards.extend(std::iter::repeat_n(fault, count));
        let times = if long { 4 } else { 1 };
        add(3 * times, Fault::BoxKilled);
        add(3 * times, Fault::CentreKilled);
        add(times, Fault::BothKilled);
        add(if long { 2 } else { 0 }, Fault::RecorderKilled);
        for fault in [
            Fault::DatabaseKilled,
            Fault::DatabaseRestarted,
            Fault::ObjectStoreKilled,
            Fault::ObjectStoreRestarted,
            Fault::DiskFull,
            Fault::ClockStep,
            Fault::SpoolFull,
            Fault::OutboxFull,
            Fault::FilesDamaged,
        ] {
            add(1, fault);
        }
        for weather in Weather::BAD {
            add(1, Fault::Uplink(weather));
        }
        for weather in [Weather::Hole, Weather::Cut, Weather::Short, Weather::Twice] {
            add(1, Fault::Uploads(weather));
        }
        Self { cards, left: Vec::new() }
    }

    pub fn cards(&self) -> u64 {
        self.cards.len() as u64
    }

    pub fn draw(&mut self, random: &mut StdRng) -> Fault {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
            self.left.shuffle(random);
        }
        self.left.pop().expect("a deck has cards")
    }
}
