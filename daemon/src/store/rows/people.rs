//! Who may do what on the box, and what was done.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::ids::CameraId;
use crate::base::secret::Secret;
use crate::base::time::UtcMicros;

/// Somebody who reads cameras by RTSP and does nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLoginRow {
    pub id: Uuid,
    pub name: String,
    /// `None`: all of them.
    pub cameras: Option<Vec<CameraId>>,
    /// Sealed; proves the password.
    pub proof: Secret,
    pub created_at: UtcMicros,
    pub created_by: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    pub id: Uuid,
    pub name: String,
    /// PHC string.
    #[serde(skip_serializing, default)]
    pub password_hash: String,
    pub role: String,
    pub created_at: UtcMicros,
    pub disabled: bool,
}

/// A refresh token, known by its hash only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub token_hash: String,
    /// The login that this token and the ones before it come from.
    pub family: Uuid,
    pub user_id: Uuid,
    pub created_at: UtcMicros,
    pub expires_at: UtcMicros,
    /// When it was exchanged for the next one; showing it again is theft.
    pub spent_at: Option<UtcMicros>,
    /// Address and browser, for the list of sessions.
    pub client: String,
}

/// What somebody did, before it has its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: serde_json::Value,
    pub remote: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    pub seq: i64,
    pub at: UtcMicros,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: serde_json::Value,
    pub remote: String,
    pub hash: String,
}
