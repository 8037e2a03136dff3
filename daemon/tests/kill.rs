//! SIGKILL of the whole box and of the centre at random moments while it records, reads plates and delivers all of it,
//! with PostgreSQL and S3 cut in between: at the end the centre holds exactly the passages, alerts, clips and recordings
//! of the box, nothing is there twice, and every segment file can be read.

#[path = "../../central/tests/support/mod.rs"]
mod servers;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use servers::{Center, Garage, Postgres};
use support::both_sides;
use support::demo::Demo;
use support::edge::Edge;

const ROUNDS: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_cuts_lose_nothing() {
    let seed: u64 = std::env::var("GTV_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("GTV_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut postgres = Postgres::start_new();
    let mut garage = Garage::start_new("");
    let mut center = Center::start_vending(&postgres, &garage);
    let demo = Demo::street(&["--no-discovery"]);
    let camera = format!(
        "[sync]\nurl = \"{}\"\nrecordings = [\"street\"]\n[[camera]]\nid = \"street\"\nmain_url = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n",
        center.url(),
        demo.main_url(0),
        demo.user(),
        demo.password(),
    );
    let mut edge = Edge::new(&camera);
    for round in 0..ROUNDS {
        edge.start();
        tokio::time::sleep(Duration::from_millis(random.random_range(500..6000))).await;
        match round % 5 {
            1 => {
                center.kill();
                center.start();
            }
            2 => {
                postgres.kill();
                tokio::time::sleep(Duration::from_millis(random.random_range(100..2000))).await;
                postgres.start();
            }
            3 => {
                garage.kill();
                tokio::time::sleep(Duration::from_millis(random.random_range(100..2000))).await;
                garage.start();
            }
            _ => {}
        }
        edge.kill();
    }

    // The camera ends first, so that the box has an end to reach.
    edge.start();
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(demo);
    // An ordered stop closes what is open, the next start sends it.
    assert!(edge.stop(Duration::from_secs(30)), "an ordered stop:\n{}", edge.log());
    edge.start();
    both_sides::wait_until_delivered(&edge).await;
    assert!(edge.stop(Duration::from_secs(30)), "an ordered stop:\n{}", edge.log());

    let things = both_sides::are_the_same(&edge, &postgres.url()).await;
    let passages = things["detection"].len();
    assert!(passages >= 3, "only {passages} passages in all rounds");
    assert!(things["recording"].len() as u32 >= ROUNDS / 2, "only {} recordings", things["recording"].len());
    every_segment_can_be_read(&edge.data_dir());
    let check = edge.command(&["check", "--deep"]).output().unwrap();
    assert!(check.status.success(), "gtv-edge check:\n{}", String::from_utf8_lossy(&check.stdout));
    let (status, report) = center.command(&["audit", "--objects", "--json"]);
    assert!(status.success(), "audit: {report}");
}

fn every_segment_can_be_read(data_dir: &Path) {
    let files = segment_files(&data_dir.join("recordings"));
    assert!(files.len() as u32 >= ROUNDS / 2, "only {} segment files", files.len());
    for path in files {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&path)
            .args(["-c", "copy", "-f", "null", "-"])
            .output();
        let output = output.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.trim().is_empty(), "{}: {errors}", path.display());
    }
}

fn segment_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let own = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "mp4"));
    own.chain(folders.iter().flat_map(|folder| segment_files(folder))).collect()
}
