//! Pure. What the live status says, and what a batch tells about the cameras of a box now.

use gtv_protocol::{Body, Hello};
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What is older is history that is being delivered late, not the state of a camera now.
const NOW_US: i64 = 10 * 60 * 1_000_000;

/// A connected box.
#[derive(Debug, Serialize)]
pub struct BoxStatus {
    #[serde(rename = "box")]
    pub box_id: Uuid,
    pub prefeitura: String,
    name: String,
    site: String,
    software: String,
    /// Of the service that it is connected to: what began later is not ended by what ends later.
    pub session: Uuid,
    pub state: &'static str,
}

impl BoxStatus {
    pub fn new(hello: &Hello, prefeitura: &str, session: Uuid) -> Self {
        Self {
            box_id: hello.box_id,
            prefeitura: prefeitura.to_owned(),
            name: hello.name.clone(),
            site: hello.site.clone(),
            software: hello.software.clone(),
            session,
            state: "online",
        }
    }
}

/// The last that was heard of a camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    pub camera: String,
    /// `active`: it was read or recorded. `interrupted`: it should have been recorded and was not.
    pub state: &'static str,
    /// Microseconds since 1970.
    pub at_us: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The newest word on each camera that `bodies` tell of, if it is about now.
pub fn activities<'a>(bodies: impl Iterator<Item = &'a Body>, now_us: i64) -> Vec<Activity> {
    let mut newest: BTreeMap<&str, Activity> = BTreeMap::new();
    for body in bodies {
        let (camera, state, at_us, reason) = match body {
            Body::Detection(b) => (&b.camera, "active", b.last_seen_us, None),
            Body::Recording(b) => (&b.camera, "active", b.end_us, None),
            Body::Gap(b) => (&b.camera, "interrupted", b.end_us, Some(b.reason.clone())),
            _ => continue,
        };
        let known = newest.get(camera.as_str()).is_some_and(|known| known.at_us > at_us);
        if !known && (now_us - at_us).abs() < NOW_US {
            newest.insert(camera, Activity { camera: camera.clone(), state, at_us, reason });
        }
    }
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtv_protocol::body::Gap;

    fn gap(camera: &str, end_us: i64) -> Body {
        let reason = "no camera".to_owned();
        Body::Gap(Gap { camera: camera.to_owned(), stream: "main".to_owned(), start_us: end_us - 1, end_us, reason })
    }

    #[test]
    fn only_the_newest_word_about_now_counts() {
        let now = 1_790_000_000_000_000;
        let bodies = [gap("a", now - 5), gap("a", now - 9), gap("b", now - NOW_US), gap("c", now + NOW_US)];
        let activities = activities(bodies.iter(), now);
        let reason = Some("no camera".to_owned());
        assert_eq!(activities, [Activity { camera: "a".to_owned(), state: "interrupted", at_us: now - 5, reason }]);
    }
}
