//! Pure. What has to happen so that a box running on `old` runs on `new`; start-up is the same with an empty `old` (C2).

use crate::base::ids::CameraId;
use crate::config::{CameraConfig, Config, SyncConfig};

/// One step. Stops come before starts, so that what is freed can be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    StopCamera(CameraId),
    StartCamera(CameraId),
    /// Where plates count in the picture, in the running pipeline: a line drawn anew must cost no second of recording.
    /// Also stands for what others follow in the configuration by themselves.
    SetZones(CameraId),
    /// Retention and segment length for everything that is recorded from now on.
    SetRetention,
    /// A section that only takes effect at the next start of the daemon.
    NeedsRestart(&'static str),
}

/// The steps from `old` to `new`, in order.
pub fn plan(old: &Config, new: &Config) -> Vec<Action> {
    let mut actions = Vec::new();
    for camera in &old.cameras {
        if runs(camera) && !new.camera(&camera.id).is_some_and(|wanted| same_pipeline(camera, wanted)) {
            actions.push(Action::StopCamera(camera.id.clone()));
        }
    }
    if old.record != new.record {
        actions.push(Action::SetRetention);
    }
    for camera in new.cameras.iter().filter(|camera| runs(camera)) {
        match old.camera(&camera.id).filter(|before| same_pipeline(before, camera)) {
            None => actions.push(Action::StartCamera(camera.id.clone())),
            Some(before) if before != camera => actions.push(Action::SetZones(camera.id.clone())),
            Some(_) => {}
        }
    }
    let fixed = [
        ("data_dir", old.data_dir == new.data_dir),
        ("box", old.site == new.site),
        ("log", old.log == new.log),
        ("web", old.web == new.web),
        ("clips", old.clips == new.clips),
        ("live", old.live == new.live),
        ("lpr", old.lpr == new.lpr),
        ("sync", same_delivery(&old.sync, &new.sync)),
        ("mqtt", old.mqtt == new.mqtt),
    ];
    actions.extend(fixed.into_iter().filter(|(_, same)| !same).map(|(section, _)| Action::NeedsRestart(section)));
    actions
}

fn runs(camera: &CameraConfig) -> bool {
    camera.enabled
}

/// Whether the two differ in nothing but what the running delivery is told.
fn same_delivery(old: &SyncConfig, new: &SyncConfig) -> bool {
    SyncConfig { lanes: new.lanes.clone(), recordings: new.recordings.clone(), ..old.clone() } == *new
}

/// Whether the two differ in nothing but what a running pipeline can be told.
fn same_pipeline(old: &CameraConfig, new: &CameraConfig) -> bool {
    let told = CameraConfig {
        zones: new.zones.clone(),
        min_plate_width: new.min_plate_width,
        // Sent by tasks of their own.
        push: new.push.clone(),
        // For retention, which reads the configuration itself.
        max_bytes: new.max_bytes,
        ..old.clone()
    };
    told == *new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ZoneConfig;

    fn camera(id: &str) -> CameraConfig {
        CameraConfig { id: id.parse().unwrap(), main_url: format!("rtsp://127.0.0.1/{id}"), ..CameraConfig::default() }
    }

    fn config(cameras: &[CameraConfig]) -> Config {
        Config { cameras: cameras.to_vec(), ..Config::default() }
    }

    #[test]
    fn starting_is_a_change_from_nothing() {
        let off = CameraConfig { enabled: false, ..camera("off") };
        let actions = plan(&config(&[]), &config(&[camera("a"), off]));
        assert_eq!(actions, [Action::StartCamera("a".parse().unwrap())]);
    }

    #[test]
    fn only_what_changed_moves() {
        let changed = CameraConfig { audio: false, ..camera("b") };
        let old = config(&[camera("a"), camera("b"), camera("gone")]);
        let new = config(&[camera("a"), changed, camera("new")]);
        let id = |text: &str| text.parse().unwrap();
        assert_eq!(
            plan(&old, &new),
            [
                Action::StopCamera(id("b")),
                Action::StopCamera(id("gone")),
                Action::StartCamera(id("b")),
                Action::StartCamera(id("new"))
            ]
        );
        assert_eq!(plan(&new, &new), []);
    }

    #[test]
    fn new_zones_leave_the_pipeline_running() {
        let zone = ZoneConfig { points: vec![[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]], ..ZoneConfig::default() };
        let zoned = CameraConfig { zones: vec![zone], min_plate_width: 0.03, ..camera("a") };
        let (plain, zoned_too) = (config(&[camera("a")]), config(std::slice::from_ref(&zoned)));
        assert_eq!(plan(&plain, &zoned_too), [Action::SetZones("a".parse().unwrap())]);
        assert_eq!(plan(&zoned_too, &plain), [Action::SetZones("a".parse().unwrap())]);
        let off = CameraConfig { enabled: false, ..zoned };
        assert_eq!(plan(&zoned_too, &config(std::slice::from_ref(&off))), [Action::StopCamera("a".parse().unwrap())]);
        let other = CameraConfig { zones: Vec::new(), ..off.clone() };
        assert_eq!(plan(&config(&[off]), &config(&[other])), []);
    }

    #[test]
    fn names_sections_that_wait_for_a_restart() {
        let mut new = config(&[]);
        new.lpr.max_fps = 5.0;
        new.record.segment = crate::config::units::HumanDuration::secs(30);
        assert_eq!(plan(&config(&[]), &new), [Action::SetRetention, Action::NeedsRestart("lpr")]);
    }
}
