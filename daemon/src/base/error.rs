//! What kind of failure an error is: decides the HTTP status and whether a retry can help, in one place.

/// The kind of a failure, whatever module it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Invalid,
    Unauthorised,
    Forbidden,
    Conflict,
    /// Something outside (camera, network, server, device) does not answer now.
    Unavailable,
    /// A disk or a bound is used up.
    Full,
    TooMany,
    Internal,
}

impl Kind {
    pub fn http_status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Invalid => 400,
            Self::Unauthorised => 401,
            Self::Forbidden => 403,
            Self::Conflict => 409,
            Self::Unavailable => 503,
            Self::Full => 507,
            Self::TooMany => 429,
            Self::Internal => 500,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn retry(self) -> bool {
        matches!(self, Self::Unavailable | Self::Full | Self::TooMany)
    }

    /// The code of API errors.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Unauthorised => "unauthorised",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::TooMany => "too_many",
            Self::Internal => "internal",
        }
    }
}
