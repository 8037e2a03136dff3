//! Pure. What a record is to those who listen at the broker: the name of the event, where it goes, and its message.

use crate::db::outbox::Told;
use chrono::SecondsFormat;
use gtv_protocol::Kind;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Everything, for whoever binds a queue of their own.
pub const EVENTS: &str = "domain.events";
/// Work, for those who share the queue of the same name as the routing key.
pub const TASKS: &str = "tasks";
/// What a person should hear of; routing key `alert.<severity>.<prefeitura>`.
pub const NOTIFICATIONS: &str = "notifications";

pub const STREAM_PROCESSING: &str = "stream.processing";
pub const AI_DETECTION: &str = "ai.detection";
pub const RECORDING_JOBS: &str = "recording.jobs";
pub const NOTIFICATIONS_EMAIL: &str = "notifications.email";

/// One message and where it goes.
#[derive(Debug)]
pub struct Event {
    /// The same whenever the same record is told: who has seen it, has seen it.
    pub id: Uuid,
    pub name: &'static str,
    pub timestamp_s: u64,
    pub payload: Vec<u8>,
    /// (exchange, routing key); the broker must find a queue behind every one but the first.
    pub routes: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct Message<'a> {
    id: Uuid,
    event: &'a str,
    /// Of this message's layout.
    version: u32,
    /// When the box made the record.
    at: String,
    prefeitura: &'a str,
    #[serde(rename = "box")]
    box_id: Uuid,
    epoch: i64,
    seq: i64,
    /// The thing that it is about: id of the passage, the camera and so on.
    thing: &'a str,
    data: &'a RawValue,
}

/// Severity of an alert; the rest of its body does not matter here.
#[derive(serde::Deserialize)]
struct Alert {
    severity: String,
}

/// `None` if nobody is to hear of it: proofs are between the box and the centre.
pub fn of(told: &Told) -> Option<Event> {
    let kind = Kind::parse(&told.kind)?;
    let (name, task) = match kind {
        Kind::Camera => ("CameraChanged", Some(STREAM_PROCESSING)),
        Kind::Detection => ("PlateDetected", Some(AI_DETECTION)),
        Kind::Clip => ("ClipCompleted", Some(RECORDING_JOBS)),
        Kind::Recording => ("RecordingCompleted", Some(RECORDING_JOBS)),
        Kind::Gap => ("RecordingInterrupted", Some(STREAM_PROCESSING)),
        Kind::Coverage => ("RecordingMeasured", None),
        Kind::Tombstone => ("MaterialEvicted", None),
        Kind::Alert => ("AlertRaised", None),
        Kind::BoxStatus => ("BoxStatusReported", None),
        Kind::Proof => return None,
    };
    let mut routes = vec![(EVENTS, name.to_owned())];
    routes.extend(task.map(|queue| (TASKS, queue.to_owned())));
    if kind == Kind::Alert {
        let severity =
            serde_json::from_str(told.body.get()).map_or_else(|_| "unknown".to_owned(), |a: Alert| a.severity);
        // A dot would begin a further word of the routing key.
        let word = |text: &str| text.replace(['.', '*', '#'], "-");
        routes.push((NOTIFICATIONS, format!("alert.{}.{}", word(&severity), word(&told.prefeitura))));
    }
    let id = id_of(told);
    let message = Message {
        id,
        event: name,
        version: 1,
        at: told.made_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        prefeitura: &told.prefeitura,
        box_id: told.box_id,
        epoch: told.epoch,
        seq: told.seq,
        thing: &told.id,
        data: &told.body,
    };
    let payload = serde_json::to_vec(&message).ok()?;
    Some(Event { id, name, timestamp_s: told.made_at.timestamp().max(0).cast_unsigned(), payload, routes })
}

/// A UUID (version 8, RFC 9562) out of the record's place in its chain.
fn id_of(told: &Told) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"gtv-event-v1");
    hash.update(told.box_id.as_bytes());
    hash.update(told.epoch.to_be_bytes());
    hash.update(told.seq.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, body: &str) -> Told {
        Told {
            box_id: Uuid::from_u128(7),
            prefeitura: "s.paulo".to_owned(),
            epoch: 1,
            seq: 2,
            kind: kind.to_owned(),
            id: "thing".to_owned(),
            made_at: chrono::DateTime::from_timestamp_micros(1_790_000_000_000_001).unwrap(),
            body: RawValue::from_string(body.to_owned()).unwrap(),
        }
    }

    #[test]
    fn every_kind_but_the_proof_is_told_and_goes_where_it_belongs() {
        for kind in Kind::ALL {
            let event = of(&told(kind.as_str(), "{}"));
            assert_eq!(event.is_none(), *kind == Kind::Proof);
            assert!(event.is_none_or(|event| event.routes[0] == (EVENTS, event.name.to_owned())));
        }
        assert!(of(&told("a kind of next year", "{}")).is_none());
        let alert = of(&told("alert", r#"{"severity":"critical","rule":"x"}"#)).unwrap();
        assert_eq!(alert.routes[1], (NOTIFICATIONS, "alert.critical.s-paulo".to_owned()));
    }

    #[test]
    fn the_message_carries_the_body_as_the_box_wrote_it_under_an_id_that_stays() {
        let body = r#"{"plate":"ABC1D23", "confidence":0.90}"#;
        let (one, again) = (of(&told("detection", body)).unwrap(), of(&told("detection", body)).unwrap());
        assert_eq!((one.id, &one.payload), (again.id, &again.payload));
        assert_ne!(one.id, of(&Told { seq: 3, ..told("detection", body) }).unwrap().id);
        let text = String::from_utf8(one.payload).unwrap();
        assert!(text.contains(body) && text.contains("\"at\":\"2026-09-21T14:13:20.000001Z\""), "{text}");
    }
}
