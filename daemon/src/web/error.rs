//! What the API answers when it cannot do what was asked: one shape for every path.
use std::fmt;
use std::ops::{Deref, DerefMut};

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::base::error::Kind;
use crate::store::StoreError;

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable word for programs, for example `not_found`.
    pub code: String,
    /// What failed and where, for people.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The field of the request that is wrong, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Every problem found, when there are several (configuration changes).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a change, by the key it concerns.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    pub key: String,
    pub message: String,
}

/// Boxed, because every handler returns one or the other.
#[derive(Debug)]
pub struct ApiError(Box<Fault>);

#[derive(Debug)]
pub struct Fault {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub remedy: String,
    pub field: Option<String>,
    pub problems: Vec<Problem>,
    pub retry_after_seconds: Option<u64>,
}

pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self(Box::new(Fault {
            status,
            code,
            message: message.into(),
            remedy: remedy.into(),
            field: None,
            problems: Vec::new(),
            retry_after_seconds: None,
        }))
    }

    /// An error of a lower layer, with the status its kind stands for.
    pub fn of_kind(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, kind.code(), message, remedy)
    }

    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("{what} does not exist on this box"),
            "Reload the list; it may have been removed or expired.",
        )
    }

    /// A field of the request that cannot be accepted, with the reason.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, "invalid", message, "Correct the field and send it again.");
        error.field = Some(field.into());
        error
    }

    pub fn conflict(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message, remedy)
    }

    pub fn unauthorised() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorised",
            "This request needs a login.",
            "Log in, or refresh the session, and send it again.",
        )
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            message,
            "Ask an administrator of this box for the role that may do this.",
        )
    }

    pub fn unavailable(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message, remedy)
    }

    pub fn too_many(message: impl Into<String>, retry_after_seconds: u64) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many",
            message,
            format!("Wait {retry_after_seconds} s and try again."),
        );
        error.retry_after_seconds = Some(retry_after_seconds);
        error
    }

    /// A fault of the box itself: the detail goes to the log, the caller gets the place only.
    pub fn internal(place: &str, detail: impl fmt::Display) -> Self {
        tracing::error!(place, error = %detail, "request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("The box failed while {place}."),
            "Look at the daemon's log for the request id of this answer.",
        )
    }

    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }

    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                code: self.code.to_owned(),
                message: self.message.clone(),
                remedy: self.remedy.clone(),
                field: self.field.clone(),
                problems: self.problems.clone(),
            },
        }
    }
}

impl Deref for ApiError {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

impl DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut Fault {
        &mut self.0
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status.as_u16(), self.message)
    }
}

impl std::error::Error for ApiError {}

/// What usually helps against a lower layer's error of this kind.
pub fn kind_remedy(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "Reload the list; it may have been removed or expired.",
        Kind::Invalid => "Correct the request and send it again.",
        Kind::Unauthorised => "Check the user name and password.",
        Kind::Forbidden => "Ask an administrator of this box.",
        Kind::Conflict => "Reload, then decide again on what is there now.",
        Kind::Unavailable => "Try again in a moment; see the system page if it stays.",
        Kind::Full => "Free disk space or lower the recording limits.",
        Kind::TooMany => "Wait a little and try again.",
        Kind::Internal => "Look at the daemon's log for the request id of this answer.",
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let kind = error.kind();
        if matches!(kind, Kind::Internal | Kind::Full) {
            tracing::error!(%error, "store refused a request");
        }
        Self::of_kind(kind, error.to_string(), kind_remedy(kind))
    }
}
