//! How boxes upload: with keys that this service hands out, with requests that it signs, or with keys of their own.

use super::{bad_message, now_us};
use crate::metrics;
use crate::objects::sign::Finished;
use crate::objects::sts::{Sts, StsError};
use crate::objects::{Objects, ObjectsError};
use crate::settings::{AccessMode, ServeArgs};
use ::metrics::counter;
use gtv_protocol::message::ObjectCredentials;
use gtv_protocol::{FinishUpload, FinishedUpload, Message, ObjectAccess, Refusal, SignUpload, SignedUpload, record};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;
use uuid::Uuid;

/// A box waits 20 s for its Welcome; without keys it asks again each minute.
const TOKEN_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(
        "--box-s3-access keys needs --box-s3-access-key and --box-s3-secret-key, a key that may write to the buckets; \
         or choose sts or presigned"
    )]
    NoKeys,
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    #[error(transparent)]
    Sts(#[from] StsError),
}

pub struct BoxAccess {
    way: Way,
    endpoint: String,
    region: String,
    allow_http: bool,
    minutes: u32,
    /// The last failure, until it works again.
    problem: Mutex<Option<String>>,
}

enum Way {
    Own,
    Keys(ObjectCredentials),
    Sts(Sts),
    /// Clients with the address at which boxes reach the store.
    Presigned(Objects),
}

impl BoxAccess {
    pub fn new(args: &ServeArgs) -> Result<Self, AccessError> {
        let endpoint = args.box_s3_endpoint.clone().unwrap_or_else(|| args.s3.s3_endpoint.clone());
        let keys = match (&args.box_s3_access_key, &args.box_s3_secret_key) {
            (Some(access_key), Some(secret_key)) => Some((access_key.clone(), secret_key.clone())),
            _ => None,
        };
        let mode = args.box_s3_access.unwrap_or(if keys.is_some() { AccessMode::Keys } else { AccessMode::Own });
        let way = match mode {
            AccessMode::Own => Way::Own,
            AccessMode::Keys => {
                let (access_key, secret_key) = keys.ok_or(AccessError::NoKeys)?;
                Way::Keys(ObjectCredentials { access_key, secret_key, session_token: None })
            }
            AccessMode::Sts => {
                let sts_endpoint = args.sts_endpoint.clone().unwrap_or_else(|| args.s3.s3_endpoint.clone());
                Way::Sts(Sts::new(&args.s3, sts_endpoint, args.sts_role_arn.clone())?)
            }
            AccessMode::Presigned => {
                let reached = crate::settings::S3Args { s3_endpoint: endpoint.clone(), ..args.s3.clone() };
                Way::Presigned(Objects::new(&reached)?)
            }
        };
        Ok(Self {
            way,
            endpoint,
            region: args.s3.s3_region.clone(),
            allow_http: args.s3.s3_allow_http,
            minutes: args.box_s3_minutes,
            problem: Mutex::new(None),
        })
    }

    /// For `/healthz`.
    pub fn state(&self) -> String {
        let way = match self.way {
            Way::Own => "off: boxes use keys of their own configuration",
            Way::Keys(_) => "keys: every box gets the same",
            Way::Sts(_) => "sts: each box gets keys for its own prefix",
            Way::Presigned(_) => "presigned: each upload is signed",
        };
        match &*self.problem.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(problem) => format!("{way}; {problem}"),
            None => way.to_owned(),
        }
    }

    pub fn signs_uploads(&self) -> bool {
        matches!(self.way, Way::Presigned(_))
    }

    /// What a box is handed; nothing where it has keys of its own, where uploads are signed, and where the token service
    /// fails (the box asks again).
    pub async fn for_box(&self, objects: &Objects, box_id: Uuid) -> Option<ObjectAccess> {
        let (buckets, prefix) = (objects.bucket_names(), record::object_prefix(box_id));
        let (credentials, expires_us) = match &self.way {
            Way::Own | Way::Presigned(_) => return None,
            Way::Keys(keys) => (keys.clone(), now_us() + i64::from(self.minutes) * 60_000_000),
            Way::Sts(sts) => {
                let asked = sts.assume_role(box_id, &buckets, &prefix, self.minutes);
                let given = tokio::time::timeout(TOKEN_WITHIN, asked).await;
                let given = given.unwrap_or_else(|_| Err(sts.silent(TOKEN_WITHIN)));
                self.note(&given);
                given.ok()?
            }
        };
        Some(ObjectAccess {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            allow_http: self.allow_http,
            buckets,
            credentials,
            key_prefix: prefix,
            expires_us,
        })
    }

    pub async fn sign(&self, objects: &Objects, box_id: Uuid, ask: SignUpload) -> Result<Message, Refusal> {
        ask.validate().map_err(|problem| bad_message(format!("SignUpload: {problem}")))?;
        let Way::Presigned(reached) = &self.way else {
            return Err(bad_message("this center does not sign uploads".to_owned()));
        };
        let signed = objects.sign(reached, box_id, &ask).await;
        self.note(&signed);
        Ok(Message::SignedUpload(signed.unwrap_or_else(|error| SignedUpload {
            id: ask.id,
            requests: Vec::new(),
            upload: None,
            error: Some(error.to_string()),
        })))
    }

    pub async fn finish(&self, objects: &Objects, box_id: Uuid, ask: FinishUpload) -> Result<Message, Refusal> {
        ask.validate().map_err(|problem| bad_message(format!("FinishUpload: {problem}")))?;
        if !self.signs_uploads() {
            return Err(bad_message("this center does not sign uploads".to_owned()));
        }
        let finished = objects.finish(box_id, &ask).await;
        self.note(&finished);
        let (error, gone) = match finished {
            Ok(Finished::Done) => (None, false),
            Ok(Finished::Gone(detail)) => (Some(detail), true),
            Err(error) => (Some(error.to_string()), false),
        };
        Ok(Message::FinishedUpload(FinishedUpload { id: ask.id, error, gone }))
    }

    fn note<T, E: std::fmt::Display>(&self, result: &Result<T, E>) {
        let outcome = if result.is_ok() { "given" } else { "failed" };
        counter!(metrics::BOX_ACCESS, "outcome" => outcome).increment(1);
        let problem = result.as_ref().err().map(ToString::to_string);
        let mut last = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = problem.as_ref().filter(|problem| last.as_ref() != Some(problem)) {
            warn!(problem, "boxes get no access to the object store");
        }
        *last = problem;
    }
}
