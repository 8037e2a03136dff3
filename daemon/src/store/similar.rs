//! Pure. How likely a stored passage was of a plate that somebody asks for, by the probabilities that the reader gave.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::base::plate::{Plate, VehicleKey, other_spelling};

/// Passages below this are other vehicles, not unclear readings.
pub(super) const SCORE_MIN: f64 = 0.001;
/// A character beyond those that a slot lists has at least this probability.
const UNLISTED_MIN: f64 = 1e-4;
/// What the characters that a slot does not list share its rest among.
const UNLISTED: f64 = 34.0;
/// In a reader's slot: nothing here.
const PAD: &str = "_";
/// One glyph on the old Brazilian face.
const SAME_GLYPH: [(u8, u8); 4] = [(b'O', b'0'), (b'0', b'O'), (b'I', b'1'), (b'1', b'I')];
/// Texts shorter than this have too many neighbors to mean anything.
const NEIGHBORS_FROM: usize = 5;

/// The vehicles whose plate differs from `plate`, in either spelling, in at most one character; `plate` itself first.
pub(super) fn neighbors(plate: &str) -> Vec<VehicleKey> {
    let mut found: Vec<VehicleKey> = VehicleKey::of(plate).into_iter().collect();
    if !(NEIGHBORS_FROM..=Plate::MAX_LEN).contains(&plate.len()) {
        return found;
    }
    let mut keys = BTreeSet::new();
    for spelling in std::iter::once(plate.to_owned()).chain(other_spelling(plate)) {
        for at in 0..spelling.len() {
            let mut changed = spelling.clone().into_bytes();
            for c in (b'0'..=b'9').chain(b'A'..=b'Z') {
                changed[at] = c;
                keys.extend(std::str::from_utf8(&changed).ok().and_then(VehicleKey::of));
            }
        }
    }
    found.extend(keys.into_iter().filter(|key| VehicleKey::of(plate) != Some(*key)));
    found
}

/// What is stored of one passage.
pub(super) struct Stored<'a> {
    pub plate: &'a str,
    pub confidence: f64,
    pub alternatives: &'a [(String, f64)],
    pub slots: &'a Value,
}

/// The probability that the passage was of `wanted` (normalized), 0 to 1: as the grammar ranked it, or the product of
/// its characters' probabilities in the slots, whichever says more; in the likelier of both spellings.
pub(super) fn score(wanted: &str, stored: &Stored<'_>) -> f64 {
    let twin = other_spelling(wanted);
    let spelled = |text: &str| text.contains(wanted) || twin.as_deref() == Some(text);
    let readings = std::iter::once((stored.plate, stored.confidence))
        .chain(stored.alternatives.iter().map(|(text, p)| (text.as_str(), *p)));
    let ranked = readings.filter(|(text, _)| spelled(text) || other_spelling(text).is_some_and(|t| spelled(&t)));
    let ranked = ranked.map(|(_, p)| p).fold(0.0, f64::max);
    let by_slots = std::iter::once(wanted).chain(twin.as_deref()).filter_map(|text| in_slots(stored.slots, text));
    by_slots.fold(ranked, f64::max).clamp(0.0, 1.0)
}

/// Sum of the logarithms, as a probability. `None` where nothing usable is stored.
fn in_slots(slots: &Value, text: &str) -> Option<f64> {
    let slots = slots.as_array().filter(|slots| slots.len() >= text.len() && !text.is_empty())?;
    let mut log = 0.0;
    for (at, slot) in slots.iter().enumerate() {
        let listed = slot.as_object()?;
        let p_of = |name: &str| listed.get(name).and_then(Value::as_f64);
        let rest = 1.0 - listed.values().filter_map(Value::as_f64).sum::<f64>();
        let unlisted = (rest / UNLISTED).max(UNLISTED_MIN);
        let p = match text.as_bytes().get(at) {
            Some(c) => {
                let twin = SAME_GLYPH.iter().find(|(a, _)| a == c).map(|(_, b)| *b);
                let both = std::iter::once(*c).chain(twin);
                both.filter_map(|c| p_of(char::from(c).encode_utf8(&mut [0; 4]))).fold(unlisted, f64::max)
            }
            None => p_of(PAD).unwrap_or(unlisted),
        };
        log += p.clamp(UNLISTED_MIN, 1.0).ln();
    }
    Some(log.exp())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn neighbors_differ_in_one_character_of_either_spelling() {
        let found = neighbors("ABC1234");
        let key = |text: &str| VehicleKey::of(text).unwrap();
        assert_eq!(found[0], key("ABC1234"));
        for near in ["ABC1284", "A8C1234", "ABC1C84", "ABC1Q34", "OBC1234"] {
            assert!(found.contains(&key(near)), "{near}");
        }
        assert!(!found.contains(&key("A8C1284")));
        assert!((300..600).contains(&found.len()), "{}", found.len());
        assert_eq!(neighbors("ABC").len(), 1);
        assert!(neighbors("").is_empty() && neighbors(&"A".repeat(13)).is_empty());
    }

    #[test]
    fn the_stored_probabilities_decide() {
        let certain = |c: &str| json!({ c: 0.99 });
        let slots = json!([
            certain("A"), certain("B"), certain("C"), certain("1"), certain("2"),
            { "8": 0.7, "B": 0.2, "3": 0.1 }, certain("4"), certain("_"), certain("_")
        ]);
        let alternatives = [("ABC1234".to_owned(), 0.12)];
        let stored = Stored { plate: "ABC1284", confidence: 0.8, alternatives: &alternatives, slots: &slots };
        assert!((score("ABC1284", &stored) - 0.8).abs() < 1e-9);
        assert!((score("ABC1C84", &stored) - 0.8).abs() < 1e-9, "the other spelling is the same vehicle");
        assert!((score("ABC1234", &stored) - 0.12).abs() < 1e-9, "an alternative, as it was ranked");
        let unranked = Stored { alternatives: &[], ..stored };
        let by_slots = score("ABC1234", &unranked);
        assert!((0.08..0.1).contains(&by_slots), "{by_slots}");
        assert!(score("ABC1294", &unranked) < SCORE_MIN, "nothing speaks for a 9");
        assert!((score("C128", &unranked) - 0.8).abs() < 1e-9, "a part");
        let nothing = Stored { slots: &json!([[0.9, "A"]]), ..unranked };
        assert!(score("ABC1234", &nothing) < SCORE_MIN);
    }
}
