//! Everything at once, from one seed: SIGKILL of the box and of the centre, PostgreSQL and S3 killed and restarted, a
//! network that delays, swallows, cuts, truncates and repeats, a full disk, a clock that jumps. At the end the centre
//! holds exactly what the box saw, once, in whole chains, and all that the box was told is kept.
//!
//! `scripts/soak` runs the long form: GTV_CHAOS_ROUNDS faults, or as many as GTV_CHAOS_MINUTES allow; GTV_SEED repeats one.

#[path = "../../central/tests/support/mod.rs"]
mod servers;

#[path = "chaos/box_process.rs"]
mod box_process;
#[path = "chaos/proxy.rs"]
mod proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use box_process::{DIR, DRAIN, URL};
use gtv_edge::store::{AlertQuery, DetectionQuery, Store};
use proxy::{Proxy, Weather};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use servers::{Center, Garage, Postgres};
use tokio_postgres::{Client, NoTls};

/// Of the short form: every kind of fault comes about twice.
const ROUNDS: u64 = 20;
/// What waits at the end is delivered within this.
const DELIVERY: Duration = Duration::from_secs(600);
/// A clock is wrong by at most this.
const CLOCK_ERROR_S: i64 = 2 * 3600;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    BoxKilled,
    CentreKilled,
    BothKilled,
    DatabaseKilled,
    DatabaseRestarted,
    ObjectStoreKilled,
    Uplink(usize),
    Uploads(usize),
    DiskFull,
    ClockStep,
}

const FAULTS: [Fault; 18] = [
    Fault::BoxKilled,
    Fault::BoxKilled,
    Fault::CentreKilled,
    Fault::CentreKilled,
    Fault::BothKilled,
    Fault::DatabaseKilled,
    Fault::DatabaseRestarted,
    Fault::ObjectStoreKilled,
    Fault::DiskFull,
    Fault::ClockStep,
    Fault::Uplink(0),
    Fault::Uplink(1),
    Fault::Uplink(2),
    Fault::Uplink(3),
    Fault::Uplink(4),
    Fault::Uploads(2),
    Fault::Uploads(3),
    Fault::Uploads(4),
];

struct Stage {
    postgres: Postgres,
    garage: Garage,
    center: Center,
    uplink: Proxy,
    uploads: Proxy,
    folder: tempfile::TempDir,
    control: File,
    running: Option<Child>,
    /// What the box said it has kept.
    kept: Arc<Mutex<BTreeSet<String>>>,
    refused: Arc<Mutex<u64>>,
    kills: u64,
}

impl Stage {
    async fn start() -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let uploads = Proxy::start(garage.endpoint().trim_start_matches("http://").to_owned()).await;
        let endpoint = format!("http://{}", uploads.address());
        let vended = [
            ("GTV_SYNC_BOX_S3_ENDPOINT", endpoint.as_str()),
            ("GTV_SYNC_BOX_S3_ACCESS_KEY", servers::garage::ACCESS_KEY),
            ("GTV_SYNC_BOX_S3_SECRET_KEY", servers::garage::SECRET_KEY),
        ];
        let center = Center::start_with(&postgres, &garage, &vended);
        let uplink = Proxy::start(center.address()).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let control = File::create_new(folder.path().join("control")).unwrap();
        control.write_all_at(&[0; 16], 0).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chaos_shim.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join("shim.so")).arg(source).arg("-ldl");
        assert!(compiler.status().expect("a C compiler, as Rust itself needs it").success());
        let (kept, refused) = Default::default();
        Self { postgres, garage, center, uplink, uploads, folder, control, running: None, kept, refused, kills: 0 }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start_box(&mut self, drain: bool) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_box", "--nocapture", "--test-threads=1"]).stdout(Stdio::piped());
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        command.stderr(log).process_group(0);
        command.env(DIR, self.data()).env(URL, format!("ws://{}/sync/v1", self.uplink.address()));
        command.env("LD_PRELOAD", self.folder.path().join("shim.so"));
        command.env("GTV_CHAOS_CONTROL", self.folder.path().join("control"));
        if drain {
            command.env(DRAIN, "1");
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (kept, refused) = (self.kept.clone(), self.refused.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(id) = line.strip_prefix("kept ") {
                    kept.lock().unwrap().insert(id.to_owned());
                } else if line.starts_with("refused ") {
                    *refused.lock().unwrap() += 1;
                }
            }
        });
        self.running = Some(child);
    }

    fn kill_box(&mut self) {
        let mut child = self.running.take().expect("it runs");
        assert_eq!(child.try_wait().unwrap(), None, "the box ended by itself:\n{}", self.log());
        child.kill().unwrap();
        child.wait().unwrap();
        self.kills += 1;
    }

    fn kill_center(&mut self) {
        self.center.kill();
        self.kills += 1;
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn set_disk_full(&self, full: bool) {
        self.control.write_all_at(&i64::from(full).to_ne_bytes(), 0).unwrap();
    }

    fn set_clock_error(&self, seconds: i64) {
        self.control.write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 8).unwrap();
    }

    async fn cause(&mut self, fault: Fault, random: &mut StdRng) {
        let mut pause = |longest_ms| Duration::from_millis(random.random_range(0..longest_ms));
        match fault {
            Fault::BoxKilled => {
                self.kill_box();
                self.start_box(false);
            }
            Fault::CentreKilled => {
                self.kill_center();
                tokio::time::sleep(pause(300)).await;
                self.center.start();
            }
            Fault::BothKilled => {
                self.kill_center();
                self.kill_box();
                self.start_box(false);
                tokio::time::sleep(pause(300)).await;
                self.center.start();
            }
            Fault::DatabaseKilled | Fault::DatabaseRestarted => {
                if fault == Fault::DatabaseKilled {
                    self.postgres.kill();
                    self.kills += 1;
                } else {
                    self.postgres.stop();
                }
                tokio::time::sleep(pause(500)).await;
                self.postgres.start();
            }
            Fault::ObjectStoreKilled => {
                self.garage.kill();
                self.kills += 1;
                tokio::time::sleep(pause(500)).await;
                self.garage.start();
            }
            Fault::Uplink(weather) => {
                self.uplink.set(Weather::BAD[weather]);
                tokio::time::sleep(pause(1500)).await;
                self.uplink.set(Weather::Fair);
            }
            Fault::Uploads(weather) => {
                self.uploads.set(Weather::BAD[weather]);
                tokio::time::sleep(pause(1500)).await;
                self.uploads.set(Weather::Fair);
            }
            Fault::DiskFull => {
                self.set_disk_full(true);
                tokio::time::sleep(pause(600)).await;
                // A box may also be restarted while its disk is full.
                if random.random_bool(0.3) {
                    self.kill_box();
                    self.start_box(false);
                }
                self.set_disk_full(false);
            }
            Fault::ClockStep => self.set_clock_error(random.random_range(-CLOCK_ERROR_S..CLOCK_ERROR_S)),
        }
    }

    async fn sql(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// All is well again, and the box has time to deliver.
    fn drain(&mut self) {
        self.set_disk_full(false);
        self.set_clock_error(0);
        self.kill_box();
        self.start_box(true);
        let mut child = self.running.take().unwrap();
        let started = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if started.elapsed() > DELIVERY => {
                    let _ = child.kill();
                    panic!("not delivered within {DELIVERY:?}:\n{}\n{}", self.log(), self.center.log());
                }
                None => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        assert!(status.success(), "{status}:\n{}", self.log());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(child) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_centre_holds_what_the_box_saw_whatever_happens() {
    let seed = number("GTV_SEED").unwrap_or_else(rand::random);
    println!("GTV_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let until = number("GTV_CHAOS_MINUTES").map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let rounds = number("GTV_CHAOS_ROUNDS").unwrap_or(if until.is_some() { u64::MAX } else { ROUNDS });
    let mut stage = Stage::start().await;
    stage.start_box(false);
    let mut caused: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut round = 0;
    while round < rounds && until.is_none_or(|until| Instant::now() < until) {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
        let fault = *FAULTS.choose(&mut random).unwrap();
        stage.cause(fault, &mut random).await;
        *caused.entry(fault).or_default() += 1;
        round += 1;
        if round % 50 == 0 {
            println!("{round} faults, {} kills, {} passages", stage.kills, stage.kept.lock().unwrap().len());
        }
    }
    stage.drain();
    let passages = the_same_on_both_sides(&stage).await;
    let (kills, refused) = (stage.kills, *stage.refused.lock().unwrap());
    let connections = stage.uplink.connections() + stage.uploads.connections();
    println!("{round} faults ({caused:?}), {kills} kills, {connections} connections, {refused} refused by a full disk");
    println!("{passages} passages, each once at the centre");
}

/// Returns how many passages there are.
async fn the_same_on_both_sides(stage: &Stage) -> usize {
    let store = Store::open_read_only(&stage.data()).unwrap();
    let (mut passages, mut clips) = (BTreeSet::new(), BTreeSet::new());
    let mut query = DetectionQuery { limit: 1000, ..DetectionQuery::default() };
    loop {
        let page = store.detections(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query.before = Some(last.id);
        clips.extend(page.iter().filter(|row| row.clip.is_some()).map(|row| row.id.to_string()));
        passages.extend(page.iter().map(|row| row.id.to_string()));
    }
    let mut alerts = BTreeSet::new();
    let mut query = AlertQuery { limit: 1000, ..AlertQuery::default() };
    loop {
        let page = store.alerts(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query.before = Some((last.at, last.id));
        alerts.extend(page.iter().map(|alert| alert.id.to_string()));
    }
    assert!(passages.len() > 20, "only {} passages", passages.len());
    let kept = stage.kept.lock().unwrap().clone();
    assert_eq!(kept.difference(&passages).collect::<Vec<_>>(), Vec::<&String>::new(), "kept, and gone from the box");

    let sql = stage.sql().await;
    let column = async |query: &str| -> Vec<String> {
        sql.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let tombstones = column("SELECT id FROM streaming.tombstones").await;
    assert_eq!(tombstones, Vec::<String>::new(), "nothing had to be evicted");
    for (query, here) in [
        ("SELECT id::text FROM ai.detections", &passages),
        ("SELECT id FROM ai.alerts", &alerts),
        ("SELECT detection_id::text FROM streaming.clips", &clips),
    ] {
        let rows = column(query).await;
        let there: BTreeSet<String> = rows.iter().cloned().collect();
        assert_eq!(rows.len(), there.len(), "{query}: something is there twice");
        assert_eq!(there.difference(here).collect::<Vec<_>>(), Vec::<&String>::new(), "{query}: nobody saw that");
        assert_eq!(here.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "{query}: did not arrive");
    }
    let broken = "SELECT count(*)::text FROM (
            SELECT seq, prev_hash, lag(hash) OVER w AS before, row_number() OVER w AS n
            FROM sync.records WINDOW w AS (PARTITION BY box_id, epoch ORDER BY seq)) r
        WHERE seq <> n OR before IS NOT NULL AND before <> prev_hash";
    assert_eq!(column(broken).await, ["0"], "a chain is broken");
    assert_eq!(column("SELECT count(*)::text FROM sync.chains").await, ["1"], "none of this needs a new epoch");
    let (status, report) = stage.center.command(&["audit", "--objects", "--json"]);
    assert!(status.success(), "audit: {report}");
    passages.len()
}

/// Does nothing as a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_box() {
    box_process::run().await;
}
