//! The whole daemon in the long form: it records a camera and sends its recordings to the centre while its power is cut.

use std::time::Duration;

use crate::support::both_sides;
use crate::support::edge::Edge;
use crate::support::replay::Replay;

pub struct Recorder {
    edge: Edge,
    camera: Option<Replay>,
}

impl Recorder {
    pub fn start(url: &str) -> Self {
        let camera = Replay::start(&[]);
        let mut edge = Edge::new(&format!(
            "[sync]\nurl = \"{url}\"\nrecordings = [\"gate\"]\n\
             [[camera]]\nid = \"gate\"\nmain_url = \"{}\"\nlpr = \"off\"\n",
            camera.url(),
        ));
        edge.start();
        Self { edge, camera: Some(camera) }
    }

    pub fn cut_power(&mut self) {
        self.edge.kill();
        self.edge.start();
    }

    /// The camera ends, so that the box has an end to reach, and everything is delivered.
    pub async fn drain(&mut self) {
        drop(self.camera.take());
        // An ordered stop closes what is open, the next start sends it.
        assert!(self.edge.stop(Duration::from_secs(60)), "an ordered stop:\n{}", self.edge.log());
        self.edge.start();
        both_sides::wait_until_delivered(&self.edge).await;
        assert!(self.edge.stop(Duration::from_secs(60)), "an ordered stop:\n{}", self.edge.log());
    }

    /// Returns how many recordings there are.
    pub async fn compare(&self, database_url: &str) -> u64 {
        let here = both_sides::are_the_same(&self.edge, database_url).await;
        let check = self.edge.command(&["check", "--deep"]).output().unwrap();
        assert!(check.status.success(), "gtv-edge check:\n{}", String::from_utf8_lossy(&check.stdout));
        here["recording"].len() as u64
    }
}
