//! Pure. What has to happen so that a box running on `old` runs on `new`; start-up is the same with an empty `old` (C2).

use crate::base::ids::CameraId;
use crate::config::{CameraConfig, Config};

/// One step. Stops come before starts, so that what is freed can be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    StopCamera(CameraId),
    StartCamera(CameraId),
    /// Retention and segment length for everything that is recorded from now on.
    SetRetention,
    /// A section that only takes effect at the next start of the daemon.
    NeedsRestart(&'static str),
}

/// The steps from `old` to `new`, in order.
pub fn plan(old: &Config, new: &Config) -> Vec<Action> {
    let mut actions = Vec::new();
    for camera in &old.cameras {
        if runs(camera) && new.camera(&camera.id) != Some(camera) {
            actions.push(Action::StopCamera(camera.id.clone()));
        }
    }
    if old.record != new.record {
        actions.push(Action::SetRetention);
    }
    for camera in &new.cameras {
        if runs(camera) && old.camera(&camera.id) != Some(camera) {
            actions.push(Action::StartCamera(camera.id.clone()));
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
        ("sync", old.sync == new.sync),
        ("mqtt", old.mqtt == new.mqtt),
    ];
    actions.extend(fixed.into_iter().filter(|(_, same)| !same).map(|(section, _)| Action::NeedsRestart(section)));
    actions
}

fn runs(camera: &CameraConfig) -> bool {
    camera.enabled
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn names_sections_that_wait_for_a_restart() {
        let mut new = config(&[]);
        new.lpr.max_fps = 5.0;
        new.record.segment = crate::config::units::HumanDuration::secs(30);
        assert_eq!(plan(&config(&[]), &new), [Action::SetRetention, Action::NeedsRestart("lpr")]);
    }
}
