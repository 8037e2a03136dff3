//! Which boxes are connected here, and `/metrics/boxes`: what the centre knows of each box. Every service answers for
//! all boxes, out of PostgreSQL, so that a box whose service is gone is not forgotten.

use crate::db::Database;
use crate::db::fleet::KnownBox;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

/// How often `last_seen_at` of the boxes that are connected is written: what is known of them after a crash is as old.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// Boxes with a session at this service; one that dials again may have two for a moment.
#[derive(Clone, Default)]
pub struct Connected(Arc<Mutex<BTreeMap<Uuid, usize>>>);

/// One session's place among them.
pub struct Here {
    connected: Connected,
    id: Uuid,
}

impl Connected {
    pub fn enter(&self, id: Uuid) -> Here {
        *self.sessions().entry(id).or_default() += 1;
        Here { connected: self.clone(), id }
    }

    pub fn boxes(&self) -> BTreeSet<Uuid> {
        self.sessions().keys().copied().collect()
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<Uuid, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let mut sessions = self.connected.sessions();
        if let Some(count) = sessions.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.id);
            }
        }
    }
}

/// Writes down who is connected until the service stops.
pub async fn note(db: &Database, connected: &Connected, stopping: &CancellationToken) {
    while stopping.run_until_cancelled(tokio::time::sleep(NOTE_EVERY)).await.is_some() {
        let boxes: Vec<Uuid> = connected.boxes().into_iter().collect();
        if boxes.is_empty() {
            continue;
        }
        if let Err(error) = db.note_seen(&boxes).await {
            warn!(%error, "who is connected could not be written down; tried again in a minute");
        }
    }
}

/// Numbers and flags of a status: name, field, meaning. What a box does not tell is absent.
const STATUS: &[(&str, &str, &str)] = &[
    ("gtv_box_uptime_seconds", "uptime_s", "Since the daemon of the box started"),
    ("gtv_box_cameras", "cameras", "Cameras of the box"),
    ("gtv_box_cameras_streaming", "cameras_streaming", "Cameras that stream"),
    ("gtv_box_recorded_bytes", "recorded_bytes", "Recordings on the box"),
    ("gtv_box_disk_free_bytes", "disk_free_bytes", "Free space for recordings"),
    ("gtv_box_disk_total_bytes", "disk_total_bytes", "Space of the disks for recordings"),
    ("gtv_box_pending_records", "pending_records", "Records that wait for the centre"),
    ("gtv_box_spool_bytes", "spool_bytes", "Pictures and video that wait for their upload"),
    ("gtv_box_spool_max_bytes", "spool_max_bytes", "The most that may wait"),
    ("gtv_box_clock_synchronized", "clock_synchronized", "1 where the clock follows a time server"),
    ("gtv_box_temperature_celsius", "temperature_c", "Of the processor"),
];

/// Prometheus text. `here` are the boxes connected to this service, at `now` in seconds since 1970.
pub fn exposition(boxes: &[KnownBox], here: &BTreeSet<Uuid>, now: f64) -> String {
    let heard = |known: &KnownBox| {
        if here.contains(&known.id) { Some(now) } else { known.last_seen.map(|at| at.timestamp_millis() as f64 / 1e3) }
    };
    let mut text = String::new();
    family(&mut text, boxes, "gtv_box_last_heard_timestamp_seconds", "When the box was last connected", heard);
    let is_here = |known: &KnownBox| Some(f64::from(u8::from(here.contains(&known.id))));
    family(&mut text, boxes, "gtv_box_connected", "1 where the box is connected to this service", is_here);
    let told = |known: &KnownBox| Some(known.status.as_ref()?.1.timestamp_millis() as f64 / 1e3);
    family(&mut text, boxes, "gtv_box_status_timestamp_seconds", "When the box last told its state", told);
    let records = |known: &KnownBox| {
        let state = known.status.as_ref()?.0.get("recorder")?.as_str()?;
        Some(f64::from(u8::from(state == "recording")))
    };
    family(&mut text, boxes, "gtv_box_recorder_ok", "1 where the recorder stores what it should", records);
    for (name, field, help) in STATUS {
        let value = |known: &KnownBox| {
            let value = known.status.as_ref()?.0.get(field)?;
            value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))))
        };
        family(&mut text, boxes, name, help, value);
    }
    text
}

fn family(text: &mut String, boxes: &[KnownBox], name: &str, help: &str, value: impl Fn(&KnownBox) -> Option<f64>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for known in boxes {
        if let Some(value) = value(known) {
            let (id, prefeitura, label) = (known.id, escaped(&known.prefeitura), escaped(&known.name));
            let _ = writeln!(text, "{name}{{box=\"{id}\",prefeitura=\"{prefeitura}\",name=\"{label}\"}} {value}");
        }
    }
}

/// Names are what an installer typed.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use serde_json::json;

    fn known(id: u128, name: &str, last_seen_s: Option<i64>) -> KnownBox {
        KnownBox {
            id: Uuid::from_u128(id),
            prefeitura: "sao-paulo".to_owned(),
            name: name.to_owned(),
            last_seen: last_seen_s.map(|s| DateTime::from_timestamp(s, 0).unwrap()),
            status: None,
        }
    }

    #[test]
    fn each_box_tells_when_it_was_heard_and_only_what_it_said() {
        let mut silent = known(1, "gate \"A\"\\\n1", Some(1000));
        let status = json!({ "cameras_streaming": 2, "clock_synchronized": false, "recorder": "slow", "drops": {} });
        silent.status = Some((status, DateTime::from_timestamp(900, 0).unwrap()));
        let boxes = [silent, known(2, "b", Some(1000)), known(3, "c", None)];
        let here = BTreeSet::from([Uuid::from_u128(2)]);
        let text = exposition(&boxes, &here, 2000.0);
        let of = |name: &str| -> Vec<&str> {
            let lines = text.lines().filter(|line| line.split('{').next() == Some(name));
            lines.map(|line| line.rsplit(' ').next().unwrap()).collect()
        };
        assert_eq!(of("gtv_box_last_heard_timestamp_seconds"), ["1000", "2000"], "nothing of one that never came");
        assert_eq!(of("gtv_box_connected"), ["0", "1", "0"]);
        assert_eq!(of("gtv_box_cameras_streaming"), ["2"]);
        assert_eq!(of("gtv_box_status_timestamp_seconds"), ["900"]);
        assert_eq!((of("gtv_box_clock_synchronized"), of("gtv_box_recorder_ok")), (vec!["0"], vec!["0"]));
        assert_eq!(of("gtv_box_cameras"), [""; 0], "it did not say");
        assert!(text.contains(r#"name="gate \"A\"\\\n1"} 1000"#), "{text}");
    }

    #[test]
    fn a_box_is_here_until_its_last_session_ends() {
        let (connected, id) = (Connected::default(), Uuid::from_u128(1));
        let first = connected.enter(id);
        let second = connected.enter(id);
        drop(first);
        assert_eq!(connected.boxes(), BTreeSet::from([id]));
        drop(second);
        assert_eq!(connected.boxes(), BTreeSet::new());
    }
}
