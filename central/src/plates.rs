//! Pure. What a plate can be found by. `ai.search_key` and `ai.search_keys` in the database say the same; the audit
//! compares the two.

use std::collections::BTreeSet;

/// Characters that look alike, and what stands for each group.
const ALIKE: [(char, char); 9] =
    [('O', '0'), ('Q', '0'), ('D', '0'), ('I', '1'), ('L', '1'), ('Z', '2'), ('S', '5'), ('G', '6'), ('B', '8')];

/// The old layout of a Mercosul plate (ABC1C34 -> ABC1234), other texts as they are: equal for one vehicle.
pub fn plate_key(plate: &str) -> String {
    let bytes = plate.as_bytes();
    let mercosul = bytes.len() == 7
        && bytes.iter().zip(*b"LLLNJNN").all(|(c, class)| match class {
            b'L' => c.is_ascii_uppercase(),
            b'J' => (b'A'..=b'J').contains(c),
            _ => c.is_ascii_digit(),
        });
    if !mercosul {
        return plate.to_owned();
    }
    plate.char_indices().map(|(at, c)| if at == 4 { char::from(c as u8 - b'A' + b'0') } else { c }).collect()
}

/// `plate_key` with characters that look alike made the same.
pub fn search_key(plate: &str) -> String {
    fold(&plate_key(plate))
}

fn fold(text: &str) -> String {
    text.chars().map(|c| ALIKE.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to)).collect()
}

/// The keys of all readings of a passage, sorted, each once.
pub fn search_keys<'a>(readings: impl Iterator<Item = &'a str>) -> Vec<String> {
    readings.map(search_key).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Letters and digits in upper case, as plates are stored.
pub fn normalize(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// The keys under which a passage of the vehicle with this (normalized) plate may be stored: in both layouts, whether
/// or not the reader took a letter for a digit where the layout is told by it.
pub fn asked_keys(plate: &str) -> Vec<String> {
    let old = plate_key(plate);
    let mut keys = BTreeSet::from([search_key(plate), fold(plate), fold(&old)]);
    let bytes = old.as_bytes();
    if bytes.len() == 7 && bytes[4].is_ascii_digit() && old.is_ascii() {
        let letter = char::from(bytes[4] - b'0' + b'A');
        keys.insert(fold(&format!("{}{letter}{}", &old[..4], &old[5..])));
    }
    keys.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_and_look_alikes_have_one_key() {
        assert_eq!(plate_key("ABC1C34"), "ABC1234");
        assert_eq!(plate_key("ABC1234"), "ABC1234");
        assert_eq!(plate_key("ABC1K34"), "ABC1K34", "K is no digit in disguise");
        assert_eq!(plate_key("ÄBC1C3"), "ÄBC1C3");
        assert_eq!(search_key("ABC1C34"), search_key("A8C1234"));
        assert_ne!(search_key("ABC1C34"), search_key("ABC1D34"));
        assert_eq!(search_keys(["ABC1C34", "ABC1234", "A8C1C34"].into_iter()), ["A8C1234", "A8C1C34"]);
    }

    #[test]
    fn a_question_finds_what_a_reader_may_have_made_of_the_plate() {
        for (asked, read) in [
            ("ABC1234", "ABC1C34"),
            ("ABC1C34", "ABC1234"),
            ("ABC1C34", "A8C1C34"),
            ("ABC1234", "A8C1C34"),
            ("OIS5B00", "0155800"),
            ("ABC1B34", "ABC1834"),
        ] {
            assert!(asked_keys(asked).contains(&search_key(read)), "{asked} {read}");
        }
        assert!(!asked_keys("ABC1234").contains(&search_key("ABC1235")));
        assert_eq!(normalize("abc-1c34 "), "ABC1C34");
    }
}
