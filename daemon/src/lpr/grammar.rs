//! Pure. What a plate may say: Brazilian formats as evidence that re-ranks what the reader saw.
//!
//! A text's probability is a mixture over three explanations of the same slots: an old Brazilian plate
//! (`LLLNNNN`), a Mercosul one (`LLLNLNN`) and "anything". Under a format a glyph may stand for another that looks
//! like it (on the old face O and 0, I and 1 are the same glyph, so only the position decides). Nothing is ever
//! dropped: a foreign plate has little mass under the formats and stays as it was read (invariant L2).

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet};

use super::american::American;

/// Characters a plate is written with; `_` in a reader's alphabet means "nothing here" and ends the text.
pub const PAD: char = '_';

/// How many readings are kept beside the best one.
pub const ALTERNATIVES: usize = 5;

/// Weight of "anything" beside the Brazilian formats when the reader does not tell layouts apart, and the least it
/// ever gets: a box stands in Brazil, but visitors must survive.
const FREE_PRIOR: f64 = 0.10;
const FREE_PRIOR_LEAST: f64 = 0.02;

/// The same glyph on the old face, and how readily the one stands for the other: a reader that does not tell layouts
/// apart cannot know which of the two a place asks for.
const TWINS: &[(char, char)] = &[('O', '0'), ('I', '1')];
const TWIN_WEIGHT: f64 = 0.5;
/// A reader that does has learned it with the layout: on 458 Brazilian plates of which 449 characters are twins it gives
/// the wrong one 0.0001 on average. The wrong one in full is a sign of another country's plate.
const TWIN_WEIGHT_LAYOUT: f64 = 0.12;

/// Glyph pairs and how readily one is taken for the other once the format asks for the other class: the misses seen on
/// held-out Brazilian plates.
const CONFUSIONS: &[(char, char, f64)] = &[
    ('Q', '0', 0.12),
    ('D', '0', 0.12),
    ('B', '8', 0.12),
    ('S', '5', 0.12),
    ('Z', '2', 0.12),
    ('G', '6', 0.10),
    ('Z', '7', 0.04),
    ('T', '7', 0.04),
    ('A', '4', 0.04),
    ('L', '1', 0.04),
    ('J', '1', 0.02),
    ('E', '3', 0.02),
    ('B', '3', 0.02),
    ('G', '9', 0.02),
    ('C', '0', 0.02),
    ('U', '0', 0.02),
    ('Y', '7', 0.02),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `LLLNNNN`, issued until 2020.
    Old,
    /// `LLLNLNN`.
    Mercosul,
    /// Any other text.
    Free,
}

const OLD_MASK: [u8; 7] = *b"LLLNNNN";
const MERCOSUL_MASK: [u8; 7] = *b"LLLNLNN";

/// The format a finished text has.
pub fn format_of(text: &str) -> Format {
    let fits = |mask: &[u8; 7]| {
        text.len() == 7
            && text.bytes().zip(mask).all(|(c, m)| match m {
                b'L' => c.is_ascii_uppercase(),
                _ => c.is_ascii_digit(),
            })
    };
    if fits(&OLD_MASK) {
        Format::Old
    } else if fits(&MERCOSUL_MASK) {
        Format::Mercosul
    } else {
        Format::Free
    }
}

/// The other spelling of the same vehicle: a converted plate keeps its characters except the fifth, where digit
/// `d` becomes letter `'A' + d`. `None` for texts that have no other spelling.
pub fn equivalent(text: &str) -> Option<String> {
    let fifth = *text.as_bytes().get(4)?;
    let other = match format_of(text) {
        Format::Old => fifth - b'0' + b'A',
        Format::Mercosul if fifth <= b'J' => fifth - b'A' + b'0',
        _ => return None,
    };
    let mut bytes = text.as_bytes().to_vec();
    bytes[4] = other;
    String::from_utf8(bytes).ok()
}

/// One key per vehicle: the old spelling where there is one, the text itself otherwise.
pub fn canonical(text: &str) -> String {
    match format_of(text) {
        Format::Mercosul => equivalent(text).unwrap_or_else(|| text.to_owned()),
        _ => text.to_owned(),
    }
}

/// Per-slot probabilities over an alphabet, in reading order. Every slot has as many values as the alphabet.
#[derive(Clone, Debug, PartialEq)]
pub struct Slots {
    alphabet: std::sync::Arc<[char]>,
    probabilities: Vec<f32>,
}

impl Slots {
    /// `None` when the values do not fill whole slots or are not probabilities.
    pub fn new(alphabet: std::sync::Arc<[char]>, probabilities: Vec<f32>) -> Option<Self> {
        let whole =
            !alphabet.is_empty() && !probabilities.is_empty() && probabilities.len().is_multiple_of(alphabet.len());
        (whole && probabilities.iter().all(|p| p.is_finite() && *p >= 0.0)).then_some(Self { alphabet, probabilities })
    }

    pub fn alphabet(&self) -> &std::sync::Arc<[char]> {
        &self.alphabet
    }

    pub fn len(&self) -> usize {
        self.probabilities.len() / self.alphabet.len()
    }

    pub fn is_empty(&self) -> bool {
        self.probabilities.is_empty()
    }

    pub fn values(&self) -> &[f32] {
        &self.probabilities
    }

    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.probabilities.chunks_exact(self.alphabet.len())
    }

    /// The likeliest character of every slot up to the first pad, and the product of their probabilities.
    pub fn greedy(&self) -> (String, f64) {
        let mut text = String::new();
        let mut p = 1.0;
        let mut ended = false;
        for slot in self.iter() {
            let best = slot.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
            p *= f64::from(slot[best]);
            ended |= self.alphabet[best] == PAD;
            if !ended {
                text.push(self.alphabet[best]);
            }
        }
        (text, p)
    }

    /// The probability of `text` as it stands under these slots, glyph confusions included at Brazilian positions.
    pub fn probability_of(&self, text: &str) -> f64 {
        self.probability(text, TWIN_WEIGHT)
    }

    fn probability(&self, text: &str, twins: f64) -> f64 {
        let format = format_of(text);
        let mut chars = text.chars();
        self.iter()
            .map(|slot| match chars.next() {
                Some(c) if format == Format::Free => self.exact(slot, c),
                Some(c) => self.confused(slot, c, twins),
                None => self.exact(slot, PAD),
            })
            .product()
    }

    fn exact(&self, slot: &[f32], c: char) -> f64 {
        self.alphabet.iter().position(|a| *a == c).map_or(0.0, |i| f64::from(slot[i]))
    }

    /// Probability that the slot shows `c`, given that the format allows only `c`'s class here.
    fn confused(&self, slot: &[f32], c: char, twins: f64) -> f64 {
        let twins = TWINS.iter().map(|(letter, digit)| (letter, digit, &twins));
        CONFUSIONS.iter().map(|(letter, digit, weight)| (letter, digit, weight)).chain(twins).fold(
            self.exact(slot, c),
            |sum, (letter, digit, weight)| match c {
                c if c == *letter => sum + weight * self.exact(slot, *digit),
                c if c == *digit => sum + weight * self.exact(slot, *letter),
                _ => sum,
            },
        )
    }
}

/// What a reader thinks of the plate's layout, summed into the three explanations; all 0 when it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LayoutBelief {
    pub old: f64,
    pub mercosul: f64,
    pub foreign: f64,
    /// The part of `foreign` that is North American.
    pub american: f64,
}

impl LayoutBelief {
    fn sum(&self) -> f64 {
        self.old + self.mercosul + self.foreign
    }

    fn is_told(&self) -> bool {
        self.sum() > 0.0
    }
}

/// A ranked text with its posterior probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub text: String,
    pub p: f64,
}

/// The best texts for these slots, likeliest first; the first is the reading, the rest its alternatives.
/// Empty texts are left out: a plate that says nothing is no reading.
pub fn rank(slots: &Slots, layout: LayoutBelief) -> Vec<Candidate> {
    let (old, mercosul, free) = priors(layout);
    let twins = if layout.is_told() { TWIN_WEIGHT_LAYOUT } else { TWIN_WEIGHT };
    let old_options = options(slots, Some(&OLD_MASK), twins);
    let mercosul_options = options(slots, Some(&MERCOSUL_MASK), twins);
    let mut free_options = options(slots, None, twins);
    let american = American::new(if layout.is_told() { layout.american / layout.sum() } else { 0.0 });
    american.weigh(&mut free_options);
    let mass =
        |options: &[Vec<(char, f64)>]| -> f64 { options.iter().map(|o| o.iter().map(|x| x.1).sum::<f64>()).product() };
    let total = old * mass(&old_options)
        + mercosul * mass(&mercosul_options)
        + free * (mass(&free_options) + american.gained(&free_options));
    if total <= 0.0 {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut ranked: Vec<Candidate> = [&old_options, &mercosul_options, &free_options]
        .into_iter()
        .flat_map(|options| best_products(options, ALTERNATIVES + 1))
        .filter(|text| !text.is_empty() && seen.insert(text.clone()))
        .map(|text| {
            let masked = match format_of(&text) {
                Format::Old => old * slots.probability(&text, twins),
                Format::Mercosul => mercosul * slots.probability(&text, twins),
                Format::Free => 0.0,
            };
            let p = (masked + free * american.gain(&text) * product_of(&free_options, &text)) / total;
            Candidate { text, p: p.min(1.0) }
        })
        .collect();
    ranked.sort_by(|a, b| b.p.total_cmp(&a.p).then_with(|| a.text.cmp(&b.text)));
    ranked.truncate(ALTERNATIVES + 1);
    ranked
}

fn priors(layout: LayoutBelief) -> (f64, f64, f64) {
    let said = layout.sum();
    if !layout.is_told() {
        let half = (1.0 - FREE_PRIOR) / 2.0;
        return (half, half, FREE_PRIOR);
    }
    // The layout head is evidence, not a verdict: each format keeps a little whatever it says.
    let free = (layout.foreign / said).max(FREE_PRIOR_LEAST);
    let old = (layout.old / said).max(0.05);
    let mercosul = (layout.mercosul / said).max(0.05);
    let sum = free + old + mercosul;
    (old / sum, mercosul / sum, free / sum)
}

/// For every slot the characters it may show and their probability; under a mask the slots after it must be pads.
fn options(slots: &Slots, mask: Option<&[u8; 7]>, twins: f64) -> Vec<Vec<(char, f64)>> {
    let Some(mask) = mask else {
        return slots
            .iter()
            .map(|slot| slot.iter().zip(slots.alphabet.iter()).map(|(p, c)| (*c, f64::from(*p))).collect())
            .collect();
    };
    if slots.len() < mask.len() {
        return vec![Vec::new()];
    }
    slots
        .iter()
        .enumerate()
        .map(|(i, slot)| match mask.get(i) {
            Some(b'L') => ('A'..='Z').map(|c| (c, slots.confused(slot, c, twins))).collect(),
            Some(_) => ('0'..='9').map(|c| (c, slots.confused(slot, c, twins))).collect(),
            None => vec![(PAD, slots.exact(slot, PAD))],
        })
        .collect()
}

fn product_of(options: &[Vec<(char, f64)>], text: &str) -> f64 {
    let mut chars = text.chars();
    options
        .iter()
        .map(|slot| {
            let c = chars.next().unwrap_or(PAD);
            slot.iter().find(|o| o.0 == c).map_or(0.0, |o| o.1)
        })
        .product()
}

struct Partial {
    p: f64,
    picks: Vec<usize>,
    from: usize,
}

impl PartialEq for Partial {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Partial {}
impl PartialOrd for Partial {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Partial {
    fn cmp(&self, other: &Self) -> Ordering {
        self.p.total_cmp(&other.p).then_with(|| other.picks.cmp(&self.picks))
    }
}

/// The `k` texts of greatest product, exactly: slots are independent, so the next best differs from a better one by
/// one step down in one slot. A text with a pad before a character is no text and is skipped.
fn best_products(options: &[Vec<(char, f64)>], k: usize) -> Vec<String> {
    if options.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let sorted: Vec<Vec<(char, f64)>> = options
        .iter()
        .map(|o| {
            let mut o = o.clone();
            o.sort_by(|a, b| b.1.total_cmp(&a.1));
            o
        })
        .collect();
    let first = vec![0; sorted.len()];
    let mut heap = BinaryHeap::from([Partial { p: sorted.iter().map(|o| o[0].1).product(), picks: first, from: 0 }]);
    let mut texts = Vec::new();
    // Malformed texts can crowd the top when pads are uncertain; the bound keeps that finite.
    for _ in 0..64 * k {
        let Some(best) = heap.pop() else { break };
        for i in best.from..sorted.len() {
            let mut picks = best.picks.clone();
            picks[i] += 1;
            if let Some((_, p)) = sorted[i].get(picks[i]) {
                let before = sorted[i][best.picks[i]].1;
                if before > 0.0 && *p > 0.0 {
                    heap.push(Partial { p: best.p / before * p, picks, from: i });
                }
            }
        }
        let text: String = best.picks.iter().zip(&sorted).map(|(pick, o)| o[*pick].0).collect();
        let trimmed = text.trim_end_matches(PAD);
        if !trimmed.contains(PAD) {
            texts.push(trimmed.to_owned());
            if texts.len() == k {
                break;
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn alphabet() -> std::sync::Arc<[char]> {
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_".chars().collect::<Vec<_>>().into()
    }

    /// Slots that show `text` with probability `sure` a character, with named second choices.
    fn slots(text: &str, sure: f32, second: &[(usize, char, f32)]) -> Slots {
        let alphabet = alphabet();
        let mut values = Vec::new();
        for i in 0..9 {
            let c = text.chars().nth(i).unwrap_or(PAD);
            let other = second.iter().find(|s| s.0 == i);
            let rest = (1.0 - sure) / 36.0;
            values.extend(alphabet.iter().map(|a| match other {
                Some((_, o, p)) if a == o => *p,
                Some((_, _, p)) if *a == c => sure - p,
                _ if *a == c => sure,
                _ => rest,
            }));
        }
        Slots::new(alphabet, values).expect("well formed")
    }

    fn best(slots: &Slots, layout: LayoutBelief) -> String {
        rank(slots, layout)[0].text.clone()
    }

    #[test]
    fn position_decides_between_twins() {
        let none = LayoutBelief::default();
        assert_eq!(best(&slots("A0C1234", 0.98, &[]), none), "AOC1234");
        assert_eq!(best(&slots("IBC1O34", 0.98, &[]), none), "IBC1O34", "already a Mercosul plate");
        assert_eq!(best(&slots("1BCI234", 0.98, &[]), none), "IBC1234");
        let old = LayoutBelief { old: 0.97, mercosul: 0.02, foreign: 0.01, american: 0.0 };
        assert_eq!(best(&slots("8BC1234", 0.98, &[]), old), "BBC1234");
        assert_eq!(best(&slots("ABC1O34", 0.98, &[]), old), "ABC1034", "the layout head saw an old plate");
    }

    #[test]
    fn foreign_plates_stay_as_read() {
        let eu = LayoutBelief { old: 0.01, mercosul: 0.02, foreign: 0.97, american: 0.0 };
        for text in ["ZA123AB", "BA0O1CD", "6ABC123", "1234", "AB12CDE"] {
            assert_eq!(best(&slots(text, 0.97, &[]), eu), text);
            assert_eq!(best(&slots(text, 0.97, &[]), LayoutBelief::default()), text, "without a layout head");
        }
    }

    #[test]
    fn a_twin_read_for_sure_speaks_for_another_country() {
        // An American plate whose layout the reader took for an old Brazilian one: its 1 stands where a letter must.
        let doubtful = LayoutBelief { old: 0.79, foreign: 0.21, american: 0.2, ..LayoutBelief::default() };
        assert_eq!(best(&slots("R1O7555", 0.99, &[]), doubtful), "R1O7555");
        assert_eq!(best(&slots("RIO7555", 0.99, &[(1, '1', 0.4)]), doubtful), "RIO7555");
        let sure = LayoutBelief { old: 0.97, mercosul: 0.02, foreign: 0.01, american: 0.0 };
        assert_eq!(best(&slots("R1O7555", 0.99, &[]), sure), "RIO7555", "the layout head is sure of itself");
    }

    #[test]
    fn an_american_i_must_be_sure() {
        let american = LayoutBelief { old: 0.01, foreign: 0.99, american: 0.98, ..LayoutBelief::default() };
        let unsure = slots("CJIP5G", 0.99, &[(2, '1', 0.35)]);
        assert_eq!(best(&unsure, american), "CJ1P5G");
        assert_eq!(
            best(&unsure, LayoutBelief { american: 0.0, ..american }),
            "CJIP5G",
            "elsewhere it is as good as any"
        );
        assert_eq!(best(&slots("LINUX", 0.95, &[]), american), "LINUX");
        assert_eq!(best(&slots("R8Z0503", 0.99, &[(2, '2', 0.4)]), american), "R820503", "a form that series have");
    }

    #[test]
    fn alternatives_carry_probabilities_that_sum_to_at_most_one() {
        let read = slots("ABC1D23", 0.98, &[(4, '0', 0.3), (6, '8', 0.4)]);
        let ranked = rank(&read, LayoutBelief::default());
        assert_eq!(ranked[0].text, "ABC1D23");
        assert!(ranked.iter().any(|c| c.text == "ABC1D28"));
        assert!(ranked.iter().any(|c| c.text == "ABC1023"));
        assert!(ranked.iter().map(|c| c.p).sum::<f64>() <= 1.0 + 1e-6);
        assert!(ranked.windows(2).all(|w| w[0].p >= w[1].p));
    }

    #[test]
    fn converted_plates_are_the_same_vehicle() {
        assert_eq!(equivalent("ABC1234").as_deref(), Some("ABC1C34"));
        assert_eq!(equivalent("ABC1C34").as_deref(), Some("ABC1234"));
        assert_eq!(equivalent("ABC1K34"), None, "K stands for no digit");
        assert_eq!(canonical("ABC1C34"), canonical("ABC1234"));
        assert_eq!(canonical("ZA123AB"), "ZA123AB");
        assert_eq!(equivalent("ÀBC1"), None);
    }

    #[test]
    fn best_products_are_exact_and_ordered() {
        let options = vec![vec![('A', 0.6), ('B', 0.4)], vec![('C', 0.7), ('D', 0.3)]];
        assert_eq!(best_products(&options, 4), ["AC", "BC", "AD", "BD"]);
        assert!(best_products(&[vec![('A', 1.0)], vec![]], 3).is_empty());
    }

    #[test]
    fn malformed_slots_are_refused_and_flat_ones_do_not_loop() {
        assert!(Slots::new(alphabet(), vec![0.1; 40]).is_none());
        assert!(Slots::new(alphabet(), vec![f32::NAN; 37]).is_none());
        let flat = Slots::new(alphabet(), vec![1.0 / 37.0; 37 * 9]).expect("well formed");
        assert!(rank(&flat, LayoutBelief::default()).len() <= ALTERNATIVES + 1);
        let silent = slots("", 1.0, &[]);
        assert!(rank(&silent, LayoutBelief::default()).iter().all(|c| !c.text.is_empty()));
    }
}
