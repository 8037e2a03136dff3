//! Pure. JSON that PostgreSQL reads as well. What a record has beside the known fields is passed over when it is parsed, and
//! passages are written without PostgreSQL ever parsing them: the audit does, and must not fail at what a box wrote.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A number as computers write it has fewer characters, and PostgreSQL's numeric ends far beyond this exponent.
const NUMBER_CHARS_MAX: usize = 40;
const EXPONENT_MAX: u32 = 250;

/// Why `jsonb` would refuse this JSON, if it would.
pub fn problem(json: &str) -> Option<String> {
    if let Err(error) = serde_json::from_str::<Readable>(json) {
        return Some(error.to_string());
    }
    numbers(json).find(|number| !is_reasonable(number)).map(|number| {
        let start: String = number.chars().take(NUMBER_CHARS_MAX).collect();
        format!("the number {start} is too long or too far from 1")
    })
}

/// Everything is looked at, which bounds the depth (128), and nothing is kept.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Readable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_unit<E: Error>(self) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Readable, A::Error> {
        while items.next_element::<Readable>()?.is_some() {}
        Ok(Readable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Readable, A::Error> {
        while entries.next_entry::<Readable, Readable>()?.is_some() {}
        Ok(Readable)
    }
}

/// The numbers in a text that is known to be JSON.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            match bytes[at] {
                b'"' => {
                    at += 1;
                    while at < bytes.len() && bytes[at] != b'"' {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                    at += 1;
                }
                b'-' | b'0'..=b'9' => {
                    while at < bytes.len() && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                        at += 1;
                    }
                    return json.get(start..at);
                }
                _ => at += 1,
            }
        }
        None
    })
}

fn is_reasonable(number: &str) -> bool {
    let exponent = number.split_once(['e', 'E']).map_or("0", |(_, exponent)| exponent);
    let exponent: Result<u32, _> = exponent.trim_start_matches(['+', '-']).parse();
    number.len() <= NUMBER_CHARS_MAX && exponent.is_ok_and(|exponent| exponent <= EXPONENT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_would_refuse_is_named() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let good = [
            r#"{"a": [1, -2.5e-45, 18446744073709551615, 0.30000000000000004, true, null], "b\n\"1e999": "1e999"}"#,
            r#""\ud83d\ude00 7e777""#,
            &deep(100),
        ];
        for json in good {
            assert_eq!(problem(json), None, "{json}");
        }
        let zeros = "0".repeat(17_000);
        let bad = [
            r#"{"x": 1e999999}"#,
            r#"{"x": [1e-99999]}"#,
            r#"{"x": "\ud800"}"#,
            r#"{"\udc00": 1}"#,
            &format!("[0.{zeros}1]"),
            &deep(10_000),
        ];
        for json in bad {
            assert!(problem(json).is_some(), "{}", &json[..json.len().min(40)]);
        }
    }
}
