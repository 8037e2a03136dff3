//! Newtypes for the identifiers that cross module borders, so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A camera of this box: 1 to 64 characters of `a-z`, `0-9` and `-`, chosen once and never reused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CameraId(String);

/// Why a text is not a [`CameraId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("camera id `{0}` is not valid: use 1 to 64 of the characters a-z, 0-9 and `-`")]
pub struct InvalidCameraId(pub String);

impl CameraId {
    pub const MAX_LEN: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CameraId {
    type Err = InvalidCameraId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(allowed) {
            let shown: String = text.chars().take(Self::MAX_LEN + 1).collect();
            return Err(InvalidCameraId(shown));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CameraId {
    type Error = InvalidCameraId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CameraId> for String {
    fn from(id: CameraId) -> Self {
        id.0
    }
}

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id whose order follows the time of its creation (UUID version 7, RFC 9562).
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// This box, given at first start and kept for its life.
    BoxId
);
uuid_id!(
    /// One passage of one vehicle.
    DetectionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camera_id_takes_only_its_alphabet() {
        assert_eq!("gate-01".parse::<CameraId>().unwrap().as_str(), "gate-01");
        for bad in ["", "Gate", "a/b", "..", "ção", &"x".repeat(65)] {
            assert!(bad.parse::<CameraId>().is_err(), "{bad}");
        }
    }
}
