//! Everything at once, from one seed: SIGKILL of two boxes and of the centre, PostgreSQL and S3 killed and restarted, a
//! network that delays, swallows, cuts, truncates and repeats, full disks, damaged files, clocks that jump, outages for
//! longer than a box has room. At the end the centre holds exactly what the boxes saw, once, in whole chains, but for what
//! tombstones and lost declarations name.
//!
//! `scripts/soak` runs the long form: as many kills of either side as GTV_CHAOS_KILLS, faults as GTV_CHAOS_ROUNDS or
//! minutes as GTV_CHAOS_MINUTES say, with a whole daemon beside the two boxes. GTV_SEED repeats one.

#[path = "../../central/tests/support/mod.rs"]
mod servers;
mod support;

#[path = "chaos/box_process.rs"]
mod box_process;
#[path = "chaos/compare.rs"]
mod compare;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/one_box.rs"]
mod one_box;
#[path = "chaos/proxy.rs"]
mod proxy;
#[path = "chaos/recorder.rs"]
mod recorder;
#[path = "chaos/stage.rs"]
mod stage;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use faults::Deck;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use stage::Stage;

/// Large clips of 10,000 passages: the short form has some, the long form must fit the disk.
const LARGE: (u64, u64) = (40, 10);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_centre_holds_what_the_boxes_saw_whatever_happens() {
    let seed = number("GTV_SEED").unwrap_or_else(rand::random);
    println!("GTV_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let started = Instant::now();
    let [kills, rounds, minutes] = ["GTV_CHAOS_KILLS", "GTV_CHAOS_ROUNDS", "GTV_CHAOS_MINUTES"].map(number);
    let long = kills.or(rounds).or(minutes).is_some();
    let mut deck = Deck::new(long);
    // The short form is one of each card.
    let rounds = rounds.or((!long).then(|| deck.cards())).unwrap_or(u64::MAX);
    let end = minutes.map(|minutes| started + Duration::from_secs(60 * minutes));
    let access = if random.random_bool(0.5) { "keys" } else { "presigned" };
    let large = if long { LARGE.1 } else { LARGE.0 };
    let mut stage = Stage::start(access, large, long).await;

    let mut caused: BTreeMap<String, u64> = BTreeMap::new();
    let mut round = 0;
    while round < rounds
        && end.is_none_or(|end| Instant::now() < end)
        && kills.is_none_or(|kills| stage.kills.of_either_side() < kills)
    {
        tokio::time::sleep(Duration::from_millis(random.random_range(10..200))).await;
        let fault = deck.draw(&mut random);
        stage.cause(fault, &mut random).await;
        *caused.entry(fault.to_string()).or_default() += 1;
        round += 1;
        if long && round % 50 == 0 {
            let (minutes, kills, kept) = (started.elapsed().as_secs() / 60, stage.kills, stage.kept());
            println!(
                "{minutes} min, {round} faults, {} kills of either side: {kills:?}, {kept} passages",
                kills.of_either_side()
            );
        }
    }
    let connections = stage.connections();
    for one in &mut stage.boxes {
        one.drain();
    }
    let mut recordings = 0;
    if let Some(mut recorder) = stage.recorder.take() {
        recorder.drain().await;
        recordings = recorder.compare(&stage.database_url()).await;
        stage.recorder = Some(recorder);
    }
    let mut report = json!({
        "seed": seed,
        "object_store_access": access,
        "seconds": started.elapsed().as_secs(),
        "faults": caused,
        "kills": stage.kills,
        "connections": connections,
        "recordings": recordings,
    });
    let totals = serde_json::to_value(compare::both_sides(&stage).await).unwrap();
    report.as_object_mut().unwrap().extend(totals.as_object().unwrap().clone());
    println!("{report}");
}

/// Does nothing as a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_box() {
    box_process::run().await;
}
