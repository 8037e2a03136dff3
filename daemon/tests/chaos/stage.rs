//! The stage of the chaos test: real servers, a bad network and the boxes; causes the faults.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde::Serialize;
use tokio_postgres::{Client, NoTls};

use super::faults::Fault;
use super::one_box::{Limits, OneBox};
use super::proxy::{Proxy, Weather};
use super::recorder::Recorder;
use super::servers::process::folder;
use super::servers::{Center, Garage, Postgres, garage};

/// A clock is wrong by at most this.
const CLOCK_ERROR_S: i64 = 2 * 3600;
/// Of the box that cannot hold much: some seconds of its street.
const TIGHT: Limits = Limits { spool_bytes: 512 << 10, records: 100 };
/// What has to happen before a fault is over happens within this, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(120);
const PICTURES_WAIT: &str = "SELECT coalesce(sum(bytes), 0) FROM objects o WHERE uploaded_at IS NULL AND lost IS NULL
    AND bucket <> 'recordings' AND EXISTS (SELECT 1 FROM outbox_objects x WHERE x.sha256 = o.sha256)";
const RECORDS_WAIT: &str = "SELECT count(*) FROM outbox WHERE seq IS NULL";
/// Records that go take what waits for their sake with them, so that the spool may have room again by that alone.
const GONE: &str =
    "SELECT (SELECT count(*) FROM chaos_gone) + (SELECT count(*) FROM objects WHERE lost LIKE '%spool_max%')";

/// SIGKILLs so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Kills {
    #[serde(rename = "box")]
    pub boxes: u64,
    pub recorder: u64,
    pub centre: u64,
    pub database: u64,
    pub object_store: u64,
}

impl Kills {
    /// Of the two sides that say something to each other.
    pub fn of_either_side(&self) -> u64 {
        self.boxes + self.recorder + self.centre
    }
}

pub struct Stage {
    postgres: Postgres,
    garage: Garage,
    pub center: Center,
    uplink: Proxy,
    uploads: Proxy,
    /// The first one is as delivered and may lose nothing; the second has room for little, and a bad disk.
    pub boxes: [OneBox; 2],
    pub recorder: Option<Recorder>,
    pub kills: Kills,
    _shim: tempfile::TempDir,
}

impl Stage {
    /// `access` is how the boxes may write to the object store.
    pub async fn start(access: &str, large: u64, records: bool) -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let uploads = Proxy::start(garage.endpoint().trim_start_matches("http://").to_owned()).await;
        let endpoint = format!("http://{}", uploads.address());
        let vended = [
            ("GTV_SYNC_BOX_S3_ACCESS", access),
            ("GTV_SYNC_BOX_S3_ENDPOINT", endpoint.as_str()),
            ("GTV_SYNC_BOX_S3_ACCESS_KEY", garage::ACCESS_KEY),
            ("GTV_SYNC_BOX_S3_SECRET_KEY", garage::SECRET_KEY),
        ];
        let center = Center::start_with(&postgres, &garage, &vended);
        let uplink = Proxy::start(center.address()).await;
        let url = format!("ws://{}/sync/v1", uplink.address());
        let shim_folder = folder("gtv-shim-");
        let shim = compile_shim(shim_folder.path());
        let mut boxes = [("wide", None), ("tight", Some(TIGHT))]
            .map(|(name, limits)| OneBox::new(name, limits, &shim, url.clone(), large));
        for one in &mut boxes {
            one.start(false);
        }
        let recorder = records.then(|| Recorder::start(&url));
        let kills = Kills::default();
        Self { postgres, garage, center, uplink, uploads, boxes, recorder, kills, _shim: shim_folder }
    }

    pub fn connections(&self) -> u64 {
        self.uplink.connections() + self.uploads.connections()
    }

    pub fn kept(&self) -> usize {
        self.boxes.iter().map(|one| one.said().kept.len()).sum()
    }

    fn cut_power(&mut self, number: usize) {
        self.boxes[number].kill();
        self.boxes[number].start(false);
        self.kills.boxes += 1;
    }

    fn kill_center(&mut self) {
        self.center.kill();
        self.kills.centre += 1;
    }

    pub async fn cause(&mut self, fault: Fault, random: &mut StdRng) {
        let either = random.random_range(0..self.boxes.len());
        let shortly = within(random, 0..300);
        match fault {
            Fault::BoxKilled => self.cut_power(either),
            Fault::RecorderKilled => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.cut_power();
                    self.kills.recorder += 1;
                }
            }
            Fault::CentreKilled => {
                self.kill_center();
                tokio::time::sleep(shortly).await;
                self.center.start();
            }
            Fault::BothKilled => {
                self.kill_center();
                self.cut_power(either);
                tokio::time::sleep(shortly).await;
                self.center.start();
            }
            Fault::DatabaseKilled | Fault::DatabaseRestarted => {
                if fault == Fault::DatabaseKilled {
                    self.postgres.kill();
                    self.kills.database += 1;
                } else {
                    self.postgres.stop();
                }
                tokio::time::sleep(shortly).await;
                self.postgres.start();
            }
            Fault::ObjectStoreKilled | Fault::ObjectStoreRestarted => {
                if fault == Fault::ObjectStoreKilled {
                    self.garage.kill();
                    self.kills.object_store += 1;
                } else {
                    self.garage.stop();
                }
                tokio::time::sleep(shortly).await;
                self.garage.start();
            }
            Fault::Uplink(weather) => {
                self.uplink.set(weather);
                tokio::time::sleep(within(random, 200..1500)).await;
                self.uplink.set(Weather::Fair);
            }
            Fault::Uploads(weather) => {
                self.uploads.set(weather);
                tokio::time::sleep(within(random, 200..1500)).await;
                self.uploads.set(Weather::Fair);
            }
            Fault::DiskFull => {
                self.boxes[either].set_disk_full(true);
                tokio::time::sleep(within(random, 100..600)).await;
                // A box may also be restarted while its disk is full.
                if random.random_bool(0.3) {
                    self.cut_power(either);
                }
                self.boxes[either].set_disk_full(false);
            }
            Fault::ClockStep => self.boxes[either].set_clock_error(random.random_range(-CLOCK_ERROR_S..CLOCK_ERROR_S)),
            Fault::SpoolFull => {
                self.uploads.set(Weather::Cut);
                self.overflow(PICTURES_WAIT, TIGHT.spool_bytes).await;
                self.uploads.set(Weather::Fair);
            }
            Fault::OutboxFull => {
                self.uplink.set(Weather::Cut);
                self.overflow(RECORDS_WAIT, TIGHT.records).await;
                self.uplink.set(Weather::Fair);
            }
            Fault::FilesDamaged => {
                self.uploads.set(Weather::Cut);
                tokio::time::sleep(within(random, 300..1000)).await;
                self.boxes[1].damage_files(random.random_range(1..8));
                self.uploads.set(Weather::Fair);
            }
        }
    }

    /// Until more waits on the tight box than it has room for, then a power cut, and until something went.
    async fn overflow(&mut self, waits: &str, room: u64) {
        let before = self.boxes[1].ask(GONE);
        until(|| self.boxes[1].ask(waits) > room || self.boxes[1].ask(GONE) > before, waits).await;
        self.cut_power(1);
        until(|| self.boxes[1].ask(GONE) > before || self.boxes[1].ask(waits) <= room, GONE).await;
    }

    pub fn database_url(&self) -> String {
        self.postgres.url()
    }

    pub async fn sql(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.database_url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

fn within(random: &mut impl Rng, ms: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(ms))
}

async fn until(mut what: impl FnMut() -> bool, name: &str) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < PATIENCE, "did not come about within {PATIENCE:?}: {name}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The disk and the clock of the boxes.
fn compile_shim(into: &Path) -> std::path::PathBuf {
    let (source, shim) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/chaos_shim.c"), into.join("shim.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl");
    assert!(compiler.status().expect("a C compiler, as Rust itself needs it").success());
    shim
}
