//! Pure. What a record is to those who listen at the broker: the names of its events, where they go, and their messages.

use crate::db::outbox::Told;
use chrono::{DateTime, SecondsFormat, Utc};
use gtv_protocol::Kind;
use gtv_protocol::status::StreamChange;
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

/// Of a box's status: what began and ended; the rest of its body does not matter here.
#[derive(serde::Deserialize)]
struct Changes {
    #[serde(default)]
    changes: Vec<StreamChange>,
}

/// None if nobody is to hear of it: proofs are between the box and the centre.
pub fn of(told: &Told) -> Vec<Event> {
    let Some(kind) = Kind::parse(&told.kind) else { return Vec::new() };
    let (name, task) = match kind {
        Kind::Camera => ("CameraChanged", Some(STREAM_PROCESSING)),
        Kind::Detection => ("PlateDetected", Some(AI_DETECTION)),
        Kind::Clip => ("ClipCompleted", Some(RECORDING_JOBS)),
        Kind::Recording => ("RecordingCompleted", Some(RECORDING_JOBS)),
        Kind::Gap => ("RecordingInterrupted", Some(STREAM_PROCESSING)),
        Kind::Coverage => ("RecordingMeasured", None),
        Kind::Tombstone => ("MaterialEvicted", None),
        Kind::Alert => ("AlertRaised", None),
        Kind::BoxStatus => return of_status(told),
        Kind::Proof => return Vec::new(),
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
    event(told, name, id_of(told), told.made_at, &told.id, &told.body, routes).into_iter().collect()
}

/// A status is one event, and so is each beginning and end of a stream that it tells of.
fn of_status(told: &Told) -> Vec<Event> {
    let everywhere = |name: &str| (EVENTS, name.to_owned());
    let name = "BoxStatusReported";
    let reported = event(told, name, id_of(told), told.made_at, &told.id, &told.body, vec![everywhere(name)]);
    let Changes { changes } = serde_json::from_str(told.body.get()).unwrap_or(Changes { changes: Vec::new() });
    let changes = changes.iter().filter_map(|change| {
        let name = if change.streaming { "StreamStarted" } else { "StreamStopped" };
        let at = DateTime::from_timestamp_micros(change.at_us)?;
        let data = serde_json::value::to_raw_value(change).ok()?;
        let routes = vec![everywhere(name), (TASKS, STREAM_PROCESSING.to_owned())];
        event(told, name, id_of_change(told.box_id, name, change), at, &change.camera, &data, routes)
    });
    reported.into_iter().chain(changes).collect()
}

fn event(
    told: &Told,
    name: &'static str,
    id: Uuid,
    at: DateTime<Utc>,
    thing: &str,
    data: &RawValue,
    routes: Vec<(&'static str, String)>,
) -> Option<Event> {
    let message = Message {
        id,
        event: name,
        version: 1,
        at: at.to_rfc3339_opts(SecondsFormat::Micros, true),
        prefeitura: &told.prefeitura,
        box_id: told.box_id,
        epoch: told.epoch,
        seq: told.seq,
        thing,
        data,
    };
    let payload = serde_json::to_vec(&message).ok()?;
    Some(Event { id, name, timestamp_s: at.timestamp().max(0).cast_unsigned(), payload, routes })
}

/// Out of the record's place in its chain.
fn id_of(told: &Told) -> Uuid {
    uuid_of(&[b"gtv-event-v1", told.box_id.as_bytes(), &told.epoch.to_be_bytes(), &told.seq.to_be_bytes()])
}

/// Out of what happened: a box that tells it again in a new chain tells nothing new.
fn id_of_change(box_id: Uuid, name: &str, change: &StreamChange) -> Uuid {
    let (camera, stream) = (change.camera.as_bytes(), change.stream.as_bytes());
    let at = change.at_us.to_be_bytes();
    uuid_of(&[b"gtv-stream-v1", box_id.as_bytes(), name.as_bytes(), b"/", camera, b"/", stream, b"/", &at])
}

/// A UUID of version 8 (RFC 9562).
fn uuid_of(parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
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
            let events = of(&told(kind.as_str(), "{}"));
            assert_eq!(events.len(), usize::from(*kind != Kind::Proof));
            assert!(events.iter().all(|event| event.routes[0] == (EVENTS, event.name.to_owned())));
        }
        assert!(of(&told("a kind of next year", "{}")).is_empty());
        let alert = &of(&told("alert", r#"{"severity":"critical","rule":"x"}"#))[0];
        assert_eq!(alert.routes[1], (NOTIFICATIONS, "alert.critical.s-paulo".to_owned()));
    }

    #[test]
    fn a_beginning_and_an_end_are_events_of_their_own_whatever_chain_they_come_in() {
        let body = r#"{"software":"x","changes":[{"camera":"gate","stream":"main","streaming":false,"at_us":5,
                       "reason":"no answer"},{"camera":"gate","stream":"main","streaming":true,"at_us":5}]}"#;
        let events = of(&told("box_status", body));
        let names: Vec<_> = events.iter().map(|event| event.name).collect();
        assert_eq!(names, ["BoxStatusReported", "StreamStopped", "StreamStarted"]);
        assert_eq!(events[1].routes[1], (TASKS, STREAM_PROCESSING.to_owned()));
        let stopped: serde_json::Value = serde_json::from_slice(&events[1].payload).unwrap();
        assert_eq!((&stopped["thing"], &stopped["data"]["reason"]), (&"gate".into(), &"no answer".into()));
        assert_eq!(stopped["at"], "1970-01-01T00:00:00.000005Z");
        let again = of(&Told { epoch: 2, seq: 9, ..told("box_status", body) });
        let ids = |events: &[Event]| events.iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(&events)[1..], ids(&again)[1..]);
        assert_eq!(ids(&events).iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert_ne!(events[0].id, again[0].id);
    }

    #[test]
    fn the_message_carries_the_body_as_the_box_wrote_it_under_an_id_that_stays() {
        let body = r#"{"plate":"ABC1D23", "confidence":0.90}"#;
        let only = |told: Told| of(&told).remove(0);
        let (one, again) = (only(told("detection", body)), only(told("detection", body)));
        assert_eq!((one.id, &one.payload), (again.id, &again.payload));
        assert_ne!(one.id, only(Told { seq: 3, ..told("detection", body) }).id);
        let text = String::from_utf8(one.payload).unwrap();
        assert!(text.contains(body) && text.contains("\"at\":\"2026-09-21T14:13:20.000001Z\""), "{text}");
    }
}
