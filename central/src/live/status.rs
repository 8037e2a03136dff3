//! Pure. What the live status says, and what a batch tells about the cameras of a box now.

use gtv_protocol::status::StreamMeasures;
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

/// How a camera is, as far as its box told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Activity {
    pub camera: String,
    /// Of a status: the camera's state there, or `removed`. Else `active` (it was read or recorded) or `interrupted` (it
    /// should have been recorded and was not).
    pub state: String,
    /// Microseconds since 1970.
    pub at_us: i64,
    /// `status`: the box said so. `activity`: concluded from what it delivers, for boxes that say nothing of their cameras.
    pub source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a status: since when, whether it is recorded, and what its streams are like.
    #[serde(flatten)]
    pub told: Option<Told>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    since_us: i64,
    recording: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    main: Option<StreamMeasures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<StreamMeasures>,
}

/// The newest word on each camera in a batch, if it is about now. `records`: when each was made, and its body.
pub fn activities<'a>(records: impl Iterator<Item = (i64, &'a Body)> + Clone, now_us: i64) -> Vec<Activity> {
    let about_now = |at_us: &i64| (now_us - at_us).abs() < NOW_US;
    let mut newest: BTreeMap<&str, Activity> = BTreeMap::new();
    for (_, body) in records.clone() {
        let (camera, state, at_us, reason) = match body {
            Body::Detection(b) => (&b.camera, "active", b.last_seen_us, None),
            Body::Recording(b) => (&b.camera, "active", b.end_us, None),
            Body::Gap(b) => (&b.camera, "interrupted", b.end_us, Some(b.reason.clone())),
            _ => continue,
        };
        let known = newest.get(camera.as_str()).is_some_and(|known| known.at_us > at_us);
        if !known && about_now(&at_us) {
            let (camera_id, state) = (camera.clone(), state.to_owned());
            let activity = Activity { camera: camera_id, state, at_us, source: "activity", reason, told: None };
            newest.insert(camera, activity);
        }
    }
    let told = records.filter(|(at_us, _)| about_now(at_us)).filter_map(|(at_us, body)| match body {
        Body::BoxStatus(status) => Some((at_us, status, status.streams.as_deref()?)),
        _ => None,
    });
    // What a box says itself counts more than what can be concluded.
    for (at_us, status, streams) in told {
        for change in status.changes.iter().filter(|change| !change.streaming) {
            let (state, reason) = ("removed".to_owned(), change.reason.clone());
            let camera = change.camera.clone();
            let gone = Activity { camera, state, at_us, source: "status", reason, told: None };
            newest.insert(&change.camera, gone);
        }
        for stream in streams {
            let (since_us, recording) = (stream.since_us, stream.recording);
            let told = Told { since_us, recording, main: stream.main.clone(), sub: stream.sub.clone() };
            let activity = Activity {
                camera: stream.camera.clone(),
                state: stream.state.clone(),
                at_us,
                source: "status",
                reason: stream.reason.clone(),
                told: Some(told),
            };
            newest.insert(&stream.camera, activity);
        }
    }
    newest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gtv_protocol::body::{self, Gap};
    use gtv_protocol::status::{CameraStreams, StreamChange};

    const NOW: i64 = 1_790_000_000_000_000;

    fn gap(camera: &str, end_us: i64) -> (i64, Body) {
        let (camera, reason) = (camera.to_owned(), "no camera".to_owned());
        let gap = Gap { camera, stream: "main".to_owned(), start_us: end_us - 1, end_us, reason };
        (end_us, Body::Gap(gap))
    }

    fn listed(records: &[(i64, Body)]) -> impl Iterator<Item = (i64, &Body)> + Clone {
        records.iter().map(|(at_us, body)| (*at_us, body))
    }

    #[test]
    fn only_the_newest_word_about_now_counts() {
        let records = [gap("a", NOW - 5), gap("a", NOW - 9), gap("b", NOW - NOW_US), gap("c", NOW + NOW_US)];
        let found = activities(listed(&records), NOW);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].camera.as_str(), found[0].state.as_str(), found[0].at_us), ("a", "interrupted", NOW - 5));
        assert_eq!((found[0].source, found[0].reason.as_deref()), ("activity", Some("no camera")));
    }

    #[test]
    fn what_a_box_says_counts_more_than_what_it_delivers() {
        let stream = |camera: &str| CameraStreams {
            camera: camera.to_owned(),
            state: "streaming".to_owned(),
            ..CameraStreams::default()
        };
        let ended = |camera: &str| StreamChange {
            camera: camera.to_owned(),
            stream: "main".to_owned(),
            streaming: false,
            at_us: NOW - 9,
            reason: None,
        };
        let status = |made_us: i64| {
            let (streams, changes) = (Some(vec![stream("a"), stream("b")]), vec![ended("b"), ended("gone")]);
            (made_us, Body::BoxStatus(body::BoxStatus { streams, changes, ..body::BoxStatus::default() }))
        };
        let records = [status(NOW - 8), gap("a", NOW - 1), gap("d", NOW - 1)];
        let found = activities(listed(&records), NOW);
        let states: Vec<_> = found.iter().map(|a| (a.camera.as_str(), a.state.as_str())).collect();
        assert_eq!(states, [("a", "streaming"), ("b", "streaming"), ("d", "interrupted"), ("gone", "removed")]);
        assert!(activities(listed(&[status(NOW - NOW_US)]), NOW).is_empty(), "told late");
        let old = (NOW, Body::BoxStatus(body::BoxStatus::default()));
        assert!(activities(listed(&[old]), NOW).is_empty(), "says nothing of its cameras");
    }
}
