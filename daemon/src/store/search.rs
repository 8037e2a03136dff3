//! Pure. What a plate can be found by, and how a typed part becomes a question to the trigram index.

/// The shortest part that the trigram index can answer.
pub(super) const TRIGRAM: usize = 3;

/// Letters and digits in upper case, as plates are stored.
pub(super) fn normalize(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// Every text that should find this detection: the plate, its other readings, and of each the same vehicle's plate in
/// the other Brazilian layout; without repetition, parted by spaces.
pub(super) fn words(plate: &str, alternatives: &[(String, f64)]) -> String {
    let mut words: Vec<String> = Vec::new();
    for text in std::iter::once(plate).chain(alternatives.iter().map(|(text, _)| text.as_str())) {
        let text = normalize(text);
        let twin = twin(&text);
        for word in std::iter::once(text).chain(twin) {
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words.join(" ")
}

/// A Brazilian plate in its other layout: the fifth character is digit d or letter 'A' + d (Resolução CONTRAN 729/2018).
fn twin(plate: &str) -> Option<String> {
    let bytes = plate.as_bytes();
    let letters = bytes.len() == 7 && bytes[..3].iter().all(u8::is_ascii_uppercase);
    if !letters || !bytes[3].is_ascii_digit() || !bytes[5].is_ascii_digit() || !bytes[6].is_ascii_digit() {
        return None;
    }
    let fifth = match bytes[4] {
        digit @ b'0'..=b'9' => b'A' + (digit - b'0'),
        letter @ b'A'..=b'J' => b'0' + (letter - b'A'),
        _ => return None,
    };
    Some(format!("{}{}{}", &plate[..4], char::from(fifth), &plate[5..]))
}

/// The FTS5 expression for "contains all trigrams of `part`"; `part` is normalized and long enough.
pub(super) fn trigrams(part: &str) -> String {
    let starts = 0..=part.len().saturating_sub(TRIGRAM);
    let terms: Vec<String> = starts.map(|i| format!("\"{}\"", &part[i..i + TRIGRAM])).collect();
    terms.join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_brazilian_layouts_find_the_vehicle() {
        assert_eq!(words("ABC1234", &[]), "ABC1234 ABC1C34");
        assert_eq!(words("ABC1C34", &[("ABC1C84".to_owned(), 0.1)]), "ABC1C34 ABC1234 ABC1C84 ABC1284");
        assert_eq!(words("AB123CD", &[]), "AB123CD");
        assert_eq!(words("ABC1K34", &[]), "ABC1K34");
    }

    #[test]
    fn a_part_becomes_its_trigrams() {
        assert_eq!(trigrams("ABC12"), "\"ABC\" AND \"BC1\" AND \"C12\"");
        assert_eq!(normalize("abc-1d23 ç"), "ABC1D23");
    }
}
