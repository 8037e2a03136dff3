//! SIGKILL at random moments while four cameras are recorded, then what a power cut does to the tails of files that
//! were being written: cut short or full of zeros. At most one group a camera is lost, every file can be read, rows and
//! files agree. `GTV_KILL_ROUNDS=1000` is the long form; the seed is printed, and `GTV_SEED` repeats it. The child is
//! this test binary itself.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use gtv_edge::base::ids::CameraId;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::units::{ByteSize, HumanDuration};
use gtv_edge::config::{ClipConfig, RecordConfig};
use gtv_edge::media::StreamKind;
use gtv_edge::record::{self, Recorder};
use gtv_edge::store::{Depth, FindingSeverity, Store, check};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::groups::{GROUP_US, group, group_bytes};
use support::probe;

const DIR: &str = "GTV_RECORD_KILL_DIR";
const ROUNDS: &str = "GTV_KILL_ROUNDS";
const SHORT: u64 = 12;
const CAMERAS: [&str; 4] = ["gate", "yard", "street", "square"];
/// Seconds since 1970 of the first group; the rest follow without a pause.
const BEGIN_S: i64 = 1_790_000_000;

/// Groups that retention keeps: enough that some are deleted in every round.
const KEPT: u64 = 400;

fn config() -> RecordConfig {
    RecordConfig {
        segment: HumanDuration::secs(7),
        max_age: HumanDuration::secs(100 * 365 * 86_400),
        max_bytes: ByteSize(KEPT * group_bytes()),
        min_free: ByteSize(0),
        ..RecordConfig::default()
    }
}

#[test]
fn at_most_one_group_a_camera_is_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("GTV_SEED").unwrap_or_else(rand::random);
    let rounds = number(ROUNDS).unwrap_or(SHORT);
    println!("GTV_SEED={seed} {ROUNDS}={rounds}");
    let folder = tempfile::tempdir().unwrap();
    let mut totals = Totals::default();
    for round in 0..rounds {
        // Each round has a generator of its own, so that one of them can be told apart by seed and number.
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(round));
        let sent = run_and_kill(folder.path(), &mut random, round);
        totals.sent += sent.values().map(|sent| sent.given).sum::<i64>();
        let open = open_files(folder.path());
        totals.damaged += damage_tails(&open, &mut random);
        verify(folder.path(), &sent, &open, round, seed);
        if round % 50 == 49 {
            println!("round {}: {totals:?}", round + 1);
        }
    }
    println!("{rounds} rounds: {totals:?}");
    assert!(totals.sent as u64 > rounds, "hardly anything was recorded: {totals:?}");
    assert!(rounds < SHORT || totals.damaged > 0, "no tail was ever damaged: {totals:?}");
}

#[derive(Debug, Default)]
struct Totals {
    sent: i64,
    damaged: usize,
}

/// Of one camera, in seconds since the beginning of all rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// The last group that was given to the recorder.
    last: i64,
    /// The last group whose row was committed.
    kept: i64,
    given: i64,
}

fn run_and_kill(dir: &Path, random: &mut StdRng, round: u64) -> BTreeMap<String, Sent> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_records_until_killed", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started = lines.by_ref().any(|line| line.is_ok_and(|line| line == "recording"));
    assert!(started, "round {round}: the child did not start; run it with {DIR} set to see why");
    let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    std::thread::sleep(Duration::from_millis(random.random_range(1..250)));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut sent: BTreeMap<String, Sent> = BTreeMap::new();
    for line in reader.join().unwrap() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, camera, number] = words[..] else { continue };
        // The kill may cut a line short: its number is then smaller than the one before, and says nothing.
        let Ok(number) = number.parse::<i64>() else { continue };
        let entry = sent.entry(camera.to_owned()).or_default();
        match what {
            "given" => (entry.last, entry.given) = (entry.last.max(number), entry.given + 1),
            "kept" => entry.kept = entry.kept.max(number),
            _ => {}
        }
    }
    sent
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Segment files that were being written, with the bytes that their rows account for.
fn open_files(dir: &Path) -> Vec<(PathBuf, u64)> {
    runtime().block_on(async {
        let store = Store::open_read_only(dir).unwrap();
        let rows = store.unclosed_segments().await.unwrap();
        rows.into_iter().map(|row| (dir.join(row.path), row.bytes)).collect()
    })
}

/// What was not synced may be anything after a power cut: here cut short, zeros, or zeros beyond the end.
fn damage_tails(open: &[(PathBuf, u64)], random: &mut StdRng) -> usize {
    let mut damaged = 0;
    for (path, committed) in open {
        let length = fs::metadata(path).unwrap().len();
        assert!(length >= *committed, "{}: {length} bytes, its rows have {committed}", path.display());
        let file = File::options().write(true).open(path).unwrap();
        match random.random_range(0..4) {
            0 => file.set_len(random.random_range(*committed..=length)).unwrap(),
            1 => {
                file.set_len(*committed).unwrap();
                file.set_len(length).unwrap();
            }
            2 => file.set_len(length + random.random_range(1..100_000)).unwrap(),
            _ => continue,
        }
        damaged += 1;
    }
    damaged
}

fn verify(dir: &Path, sent: &BTreeMap<String, Sent>, open: &[(PathBuf, u64)], round: u64, seed: u64) {
    let place = format!("round {round} of GTV_SEED={seed}");
    runtime().block_on(async {
        let store = Store::open(dir).unwrap();
        let recovered = record::recover(&store).await.unwrap();
        assert_eq!(recovered.faults, 0, "{place}: rows without bytes");
        for total in store.recording_totals().await.unwrap() {
            let Some(sent) = sent.get(total.camera.as_str()) else { continue };
            let stored = total.newest.unwrap().0 / GROUP_US - BEGIN_S - 1;
            assert!(stored >= sent.kept, "{place}: {} was told kept up to {}, has {stored}", total.camera, sent.kept);
            assert!(stored >= sent.last - 1, "{place}: {} lost groups {stored} to {}", total.camera, sent.last);
        }
    });
    let findings = check(dir, None, Depth::Deep).unwrap();
    // What the kill left between row and file is swept away at the next start.
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == FindingSeverity::Error).collect();
    assert!(errors.is_empty(), "{place}: {errors:#?}");
    for (path, _) in open {
        // Of an open file without any row nothing is left but its head.
        if fs::metadata(path).is_ok_and(|metadata| metadata.len() > group_bytes() / 2) {
            let report = probe::probe(path, &[]);
            assert_eq!(report["streams"][0]["codec_name"], "h264", "{place}: {}", path.display());
        }
    }
}

/// Does nothing as a test of its own.
#[test]
fn child_records_until_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    runtime().block_on(async {
        let store = Store::open(Path::new(&dir)).unwrap();
        let tasks = Tasks::new();
        let recorder = Recorder::start(&store, &config(), &ClipConfig::default(), &tasks).await.unwrap();
        let begin = UtcMicros(BEGIN_S * GROUP_US);
        let mut next: Vec<(CameraId, i64)> = Vec::new();
        for name in CAMERAS {
            let camera: CameraId = name.parse().unwrap();
            let end = recorder.last_end(&camera, StreamKind::Main).unwrap_or(begin);
            next.push((camera, end.since(begin) / GROUP_US));
        }
        println!("\nrecording");
        let mut out = std::io::stdout();
        loop {
            for (camera, number) in &mut next {
                // One group a camera is on its way at a time, as a camera in real time has it.
                let stored = recorder.last_end(camera, StreamKind::Main).unwrap_or(begin).since(begin) / GROUP_US;
                if stored < *number {
                    continue;
                }
                let said = writeln!(out, "kept {camera} {}", *number - 1)
                    .and_then(|()| writeln!(out, "given {camera} {number}"));
                said.unwrap();
                recorder.sink().push(&group(camera.as_str(), *number, begin));
                *number += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}
