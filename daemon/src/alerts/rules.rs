//! Pure. A camera that delivers no video for a while is one alert, however often it flaps in between.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// A reboot or a switch's restart stays below this.
pub const OUTAGE_AFTER: Duration = Duration::from_secs(60);

/// What the rules need to know of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraHealth {
    pub camera: CameraId,
    pub streaming: bool,
    /// Why not, for people.
    pub reason: String,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    CameraLost {
        camera: CameraId,
        since: UtcMicros,
        reason: String,
    },
    CameraBack {
        camera: CameraId,
        lost_at: UtcMicros,
    },
    /// Recordings are lost, or a disk is.
    StorageFailing {
        since: UtcMicros,
        reason: String,
    },
    StorageBack {
        failed_at: UtcMicros,
    },
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    since: UtcMicros,
    told: bool,
}

/// Outages in progress.
#[derive(Debug, Default)]
pub struct Outages {
    open: BTreeMap<CameraId, Outage>,
}

impl Outages {
    /// Takes the state of all enabled cameras at `now`; a camera that is no longer among them is forgotten.
    pub fn observe(&mut self, cameras: &[CameraHealth], now: UtcMicros) -> Vec<Event> {
        self.open.retain(|id, _| cameras.iter().any(|health| &health.camera == id));
        let limit = i64::try_from(OUTAGE_AFTER.as_micros()).unwrap_or(i64::MAX);
        let mut events = Vec::new();
        for health in cameras {
            let camera = health.camera.clone();
            if health.streaming {
                if let Some(Outage { since, told: true }) = self.open.remove(&camera) {
                    events.push(Event::CameraBack { camera, lost_at: since });
                }
                continue;
            }
            let outage = self.open.entry(camera.clone()).or_insert(Outage { since: now, told: false });
            if !outage.told && now.since(outage.since) >= limit {
                outage.told = true;
                events.push(Event::CameraLost { camera, since: outage.since, reason: health.reason.clone() });
            }
        }
        events
    }
}

/// A disk that fills up and is freed at once stays below this.
const STORAGE_AFTER_US: i64 = 30_000_000;

/// Whether somebody was told that recordings are lost.
#[derive(Debug, Default)]
pub struct Storage {
    open: Option<Outage>,
}

impl Storage {
    /// Takes what is wrong with the recordings at `now`.
    pub fn observe(&mut self, problem: Option<&str>, now: UtcMicros) -> Option<Event> {
        let Some(reason) = problem else {
            return self.open.take().filter(|open| open.told).map(|open| Event::StorageBack { failed_at: open.since });
        };
        let open = self.open.get_or_insert(Outage { since: now, told: false });
        if open.told || now.since(open.since) < STORAGE_AFTER_US {
            return None;
        }
        open.told = true;
        Some(Event::StorageFailing { since: open.since, reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcMicros {
        UtcMicros(seconds * 1_000_000)
    }

    fn health(streaming: bool) -> Vec<CameraHealth> {
        vec![CameraHealth { camera: "gate".parse().unwrap(), streaming, reason: "no route".into() }]
    }

    #[test]
    fn one_alert_an_outage() {
        let mut outages = Outages::default();
        assert_eq!(outages.observe(&health(false), at(0)), []);
        assert_eq!(outages.observe(&health(false), at(59)), []);
        let events = outages.observe(&health(false), at(60));
        assert!(matches!(&events[..], [Event::CameraLost { since, .. }] if *since == at(0)), "{events:?}");
        assert_eq!(outages.observe(&health(false), at(600)), []);
        let events = outages.observe(&health(true), at(700));
        assert!(matches!(&events[..], [Event::CameraBack { lost_at, .. }] if *lost_at == at(0)), "{events:?}");
    }

    #[test]
    fn a_short_outage_is_no_alert() {
        let mut outages = Outages::default();
        outages.observe(&health(false), at(0));
        assert_eq!(outages.observe(&health(true), at(30)), []);
        assert_eq!(outages.observe(&health(false), at(31)), []);
        assert_eq!(outages.observe(&[], at(32)), []);
        assert_eq!(outages.observe(&health(false), at(90)), []);
    }

    #[test]
    fn a_disk_that_fails_for_a_while_is_one_alert() {
        let mut storage = Storage::default();
        assert_eq!(storage.observe(Some("full"), at(0)), None);
        assert_eq!(storage.observe(None, at(10)), None, "too short to tell");
        assert_eq!(storage.observe(Some("full"), at(20)), None);
        let event = storage.observe(Some("read-only"), at(50));
        assert!(
            matches!(event, Some(Event::StorageFailing { since, reason }) if since == at(20) && reason == "read-only")
        );
        assert_eq!(storage.observe(Some("read-only"), at(500)), None);
        assert_eq!(storage.observe(None, at(600)), Some(Event::StorageBack { failed_at: at(20) }));
        assert_eq!(storage.observe(None, at(700)), None);
    }
}
