//! Pure. What a passage is told as: its text with alternatives, its layout, and whether it is worth telling at all.

use super::joining::Said;
use super::{Finished, Open, Outcome};
use crate::lpr::fuse::{Classes, Reading};
use crate::lpr::grammar::{self, Candidate, Format};
use crate::lpr::track::Track;

/// A plate found in a single frame must be this sure to count: noise rarely repeats, but it does happen once.
const SINGLE_SCORE: f32 = 0.6;
const SINGLE_CONFIDENCE: f64 = 0.75;

/// Shorter texts are lettering, not plates.
const CHARACTERS_MIN: usize = 4;

/// The likeliest texts of a reading.
pub fn rank(reading: &Reading) -> Vec<Candidate> {
    let belief = reading.layout.as_ref().map(Classes::belief).unwrap_or_default();
    grammar::rank(&reading.slots, belief)
}

pub fn best_text(reading: &Reading) -> String {
    rank(reading).into_iter().next().map(|c| c.text).unwrap_or_default()
}

pub fn said(reading: Reading) -> Said {
    Said { text: best_text(&reading), slots: reading.slots }
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

/// How often each text was read, to tell a reading that repeated from one that did not.
#[derive(Clone, Debug, Default)]
pub struct Votes {
    texts: Vec<(String, u32)>,
}

/// Different texts counted; a plate that is read in more ways agrees with none of them.
const TEXTS_MAX: usize = 12;

impl Votes {
    pub fn add(&mut self, text: &str) {
        self.add_many(text, 1);
    }

    pub fn absorb(&mut self, other: &Self) {
        for (text, count) in &other.texts {
            self.add_many(text, *count);
        }
    }

    /// Frames that were read as this vehicle.
    pub fn of(&self, text: &str) -> u32 {
        let canonical = grammar::canonical(text);
        self.texts.iter().filter(|(t, _)| grammar::canonical(t) == canonical).map(|(_, count)| count).sum()
    }

    fn add_many(&mut self, text: &str, count: u32) {
        if let Some(known) = self.texts.iter_mut().find(|(t, _)| t == text) {
            known.1 += count;
        } else if self.texts.len() < TEXTS_MAX {
            self.texts.push((text.to_owned(), count));
        }
    }
}

/// The passage as it would be told; `Err` says why it is not worth telling.
pub fn weigh<F: Clone>(open: &Open<F>, track: &Track, min_confidence: f64) -> Result<Finished<F>, Outcome<F>> {
    let (Some(reading), Some(best)) = (open.fusion.reading(), open.best.as_ref()) else { return Err(Outcome::Unread) };
    let ranked = rank(&reading);
    let Some(top) = ranked.first() else { return Err(Outcome::Unread) };
    let (first_us, earlier_hits) = open.earlier.as_ref().map_or((track.first_us, 0), |e| (e.first_us, e.hits));
    let hits = track.hits + earlier_hits;
    let lone = hits == 1 && (best.observation.score < SINGLE_SCORE || top.p < SINGLE_CONFIDENCE);
    if lone || top.p < min_confidence || top.text.chars().count() < CHARACTERS_MIN {
        return Err(Outcome::Unsure);
    }
    let mut path = open.earlier.as_ref().map(|earlier| earlier.path).unwrap_or_default();
    path.extend(&track.path);
    Ok(Finished {
        layout: layout_of(&reading, &top.text, best.observation.two_rows),
        category: reading.category.as_ref().and_then(Classes::sure).map(str::to_owned),
        agreeing: open.votes.of(&top.text),
        slots: reading.slots,
        first_us,
        last_us: track.last_us,
        direction: path.direction(),
        reads: open.fusion.reads(),
        hits,
        best: best.clone(),
        ranked,
    })
}
