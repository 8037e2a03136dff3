//! Pure. What a plate can be found by, and how a question becomes one to the trigram index.

use std::collections::BTreeSet;

use crate::base::plate::{VehicleKey, other_spelling};

const TRIGRAM: usize = 3;
const CHARACTERS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

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
        let twin = other_spelling(&text);
        for word in std::iter::once(text).chain(twin) {
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words.join(" ")
}

/// The vehicles that `words` name, as numbers, each once.
pub(super) fn keys(words: &str) -> BTreeSet<u64> {
    words.split(' ').filter_map(VehicleKey::of).map(|key| key.0).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Is(u8),
    /// Any one character.
    One,
    /// Any number of characters.
    Any,
}

/// What a whole word must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// Any word with this part; `None` where `text` has no letter or digit.
    pub fn part(text: &str) -> Option<Self> {
        let middle = normalize(text);
        let tokens = middle.bytes().map(Token::Is);
        let all: Vec<Token> = std::iter::once(Token::Any).chain(tokens).chain(std::iter::once(Token::Any)).collect();
        (!middle.is_empty()).then_some(Self(all))
    }

    /// `?` is any one character and `*` any number of them; `None` where `text` has nothing of a plate.
    pub fn wildcard(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        for c in text.chars() {
            match c {
                '?' => tokens.push(Token::One),
                '*' if tokens.last() != Some(&Token::Any) => tokens.push(Token::Any),
                c if c.is_ascii_alphanumeric() => tokens.push(Token::Is(c.to_ascii_uppercase() as u8)),
                _ => {}
            }
        }
        (!tokens.is_empty()).then_some(Self(tokens))
    }

    /// Whether one of `words` looks so.
    pub fn accepts(&self, words: &str) -> bool {
        words.split(' ').any(|word| fits(&self.0, word.as_bytes()))
    }

    /// An FTS5 expression that every row with such a word satisfies; `None` where the index cannot help.
    pub fn expression(&self) -> Option<String> {
        let segments = self.segments();
        let mut terms = BTreeSet::new();
        let mut spelled_out: Vec<Vec<String>> = Vec::new();
        for segment in &segments {
            for window in segment.tokens.windows(TRIGRAM) {
                let unknown = window.iter().filter(|token| **token == Token::One).count();
                match unknown {
                    0 => {
                        terms.insert(quoted(window, b' '));
                    }
                    1 => spelled_out.push(CHARACTERS.iter().map(|c| quoted(window, *c)).collect()),
                    _ => {}
                }
            }
            // Two characters alone: one more on either side, where the pattern leaves room for it.
            if let [Token::Is(a), Token::Is(b)] = segment.tokens[..] {
                let (first, second) = (Token::Is(a), Token::Is(b));
                let before = CHARACTERS.iter().filter(|_| segment.open_before);
                let after = CHARACTERS.iter().filter(|_| segment.open_after);
                let longer = before.map(|c| quoted(&[Token::One, first, second], *c));
                spelled_out.push(longer.chain(after.map(|c| quoted(&[first, second, Token::One], *c))).collect());
            }
        }
        spelled_out.retain(|group| !group.is_empty());
        if terms.is_empty() {
            // One unknown character: with a second one the index would walk its longest lists to the end.
            return spelled_out.first().map(|group| group.join(" OR "));
        }
        Some(terms.into_iter().collect::<Vec<_>>().join(" AND "))
    }

    fn segments(&self) -> Vec<Segment<'_>> {
        let pieces: Vec<&[Token]> = self.0.split(|token| *token == Token::Any).collect();
        let last = pieces.len().saturating_sub(1);
        let segment = |(i, tokens)| Segment { tokens, open_before: i > 0, open_after: i < last };
        pieces.into_iter().enumerate().map(segment).collect()
    }
}

/// What is between two `*`, or between one and an end.
struct Segment<'a> {
    tokens: &'a [Token],
    open_before: bool,
    open_after: bool,
}

fn quoted(window: &[Token], unknown: u8) -> String {
    let character = |token: &Token| match token {
        Token::Is(c) => char::from(*c),
        Token::One | Token::Any => char::from(unknown),
    };
    format!("\"{}\"", window.iter().map(character).collect::<String>())
}

/// Greedy matching with one way back: the last `*`.
fn fits(tokens: &[Token], word: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < word.len() {
        match tokens.get(token) {
            Some(Token::Any) => {
                back = Some((token + 1, at));
                token += 1;
            }
            Some(Token::One) => (token, at) = (token + 1, at + 1),
            Some(Token::Is(c)) if *c == word[at] => (token, at) = (token + 1, at + 1),
            _ => {
                let Some((after, from)) = back else { return false };
                back = Some((after, from + 1));
                (token, at) = (after, from + 1);
            }
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_brazilian_layouts_find_the_vehicle() {
        assert_eq!(words("ABC1234", &[]), "ABC1234 ABC1C34");
        assert_eq!(words("ABC1C34", &[("ABC1C84".to_owned(), 0.1)]), "ABC1C34 ABC1234 ABC1C84 ABC1284");
        assert_eq!(words("AB123CD", &[]), "AB123CD");
        assert_eq!(keys("ABC1234 ABC1C34 AB123CD").len(), 2);
    }

    #[test]
    fn a_pattern_takes_whole_words() {
        let takes = |pattern: &str, word: &str| Pattern::wildcard(pattern).unwrap().accepts(word);
        for pattern in ["ABC1D23", "abc*", "*23", "*C1D*", "A?C1?23", "*", "???????", "A*1*3", "*?3", "**A**"] {
            assert!(takes(pattern, "XYZ9999 ABC1D23"), "{pattern}");
        }
        for pattern in ["ABC1D2", "BC1D23", "*1234", "A?C1D2", "????????", "B*", "*?ABC1D23", "A*1*4"] {
            assert!(!takes(pattern, "ABC1D23"), "{pattern}");
        }
        assert!(Pattern::part("c1-d").unwrap().accepts("QQQ0000 ABC1D23"));
        assert!(!Pattern::part("3Q").unwrap().accepts("ABC1D23 QQQ0000"), "not over two words");
        assert_eq!(Pattern::part(" -'ç"), None);
        assert_eq!(Pattern::wildcard(" %_"), None);
    }

    #[test]
    fn a_question_uses_the_index_where_it_can() {
        let part = |text: &str| Pattern::part(text).unwrap().expression();
        assert_eq!(part("ABC12").unwrap(), "\"ABC\" AND \"BC1\" AND \"C12\"");
        let two = part("AB").unwrap();
        assert_eq!(two.matches(" OR ").count(), 71, "{two}");
        assert!(two.contains("\"9AB\"") && two.contains("\"ABZ\""), "{two}");
        assert_eq!(part("A"), None);

        let wildcard = |text: &str| Pattern::wildcard(text).unwrap().expression();
        assert_eq!(wildcard("ABC?D23").unwrap(), "\"ABC\" AND \"D23\"");
        let prefix = wildcard("AB*").unwrap();
        assert!(prefix.contains("\"AB7\"") && !prefix.contains("\"7AB\""), "{prefix}");
        let gaps = wildcard("A?C1?23").unwrap();
        assert!(gaps.starts_with("\"A0C\" OR ") && gaps.ends_with(" OR \"AZC\""), "{gaps}");
        for hopeless in ["*", "A??1??3", "?A*", "???????"] {
            assert_eq!(wildcard(hopeless), None, "{hopeless}");
        }
    }
}
