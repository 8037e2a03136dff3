//! A plate text that cannot reach a log whole: plates are personal data (LGPD, invariant T2).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A normalized plate: upper-case letters and digits only. `Display` and `Debug` show two characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plate(String);

impl Plate {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_two_characters_only() {
        let plate = Plate::normalize("abc-1d23");
        assert_eq!(plate.as_str(), "ABC1D23");
        assert_eq!(format!("{plate} {plate:?}"), "AB***** AB*****");
    }
}
