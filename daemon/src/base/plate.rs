//! A plate text that cannot reach a log whole (plates are personal data, LGPD, invariant T2), and what makes two texts
//! the plate of one vehicle.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A normalized plate: upper-case letters and digits only. `Display` and `Debug` show two characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plate(String);

impl Plate {
    /// The longest text that has a [`VehicleKey`]: 36 characters and "none" to the power of 12 fit 63 bits.
    pub const MAX_LEN: usize = 12;

    /// Keeps the letters and digits of `text`, in upper case.
    pub fn normalize(text: &str) -> Self {
        Self(text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect())
    }

    /// The whole text, for storage and for people who are allowed to see it; never for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(2).collect();
        let hidden = self.0.chars().count().saturating_sub(2);
        write!(f, "{shown}{}", "*".repeat(hidden))
    }
}

impl fmt::Debug for Plate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A Brazilian plate in its other layout: the fifth character is digit d or letter 'A' + d (Resolução CONTRAN 729/2018).
/// `None` for texts that have no other spelling.
pub fn other_spelling(plate: &str) -> Option<String> {
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

/// One number per vehicle: both spellings of a Brazilian plate have the same one. Base 37, always below 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VehicleKey(pub u64);

impl VehicleKey {
    /// `None` where `plate` is empty, longer than [`Plate::MAX_LEN`] or not normalized.
    pub fn of(plate: &str) -> Option<Self> {
        let old = other_spelling(plate).filter(|_| plate.as_bytes()[4].is_ascii_uppercase());
        let text = old.as_deref().unwrap_or(plate);
        if text.is_empty() || text.len() > Plate::MAX_LEN {
            return None;
        }
        text.bytes()
            .try_fold(0_u64, |key, c| {
                let digit = match c {
                    b'0'..=b'9' => c - b'0' + 1,
                    b'A'..=b'Z' => c - b'A' + 11,
                    _ => return None,
                };
                Some(key * 37 + u64::from(digit))
            })
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_two_characters_only() {
        let plate = Plate::normalize("abc-1d23");
        assert_eq!(plate.as_str(), "ABC1D23");
        assert_eq!(format!("{plate} {plate:?}"), "AB***** AB*****");
    }

    #[test]
    fn both_spellings_are_one_vehicle() {
        assert_eq!(other_spelling("ABC1234").as_deref(), Some("ABC1C34"));
        assert_eq!(other_spelling("ABC1C34").as_deref(), Some("ABC1234"));
        assert_eq!(other_spelling("ABC1K34"), None);
        assert_eq!(VehicleKey::of("ABC1234"), VehicleKey::of("ABC1C34"));
        assert_ne!(VehicleKey::of("ABC1234"), VehicleKey::of("ABC1235"));
        assert_ne!(VehicleKey::of("A1"), VehicleKey::of("0A1"));
        assert!(VehicleKey::of("ZZZZZZZZZZZZ").is_some_and(|key| i64::try_from(key.0).is_ok()));
        for bad in ["", "ZZZZZZZZZZZZZ", "abc1234", "ÇBC1234"] {
            assert_eq!(VehicleKey::of(bad), None, "{bad}");
        }
    }
}
