//! Disks that turn read-only, vanish, fail or crawl, by a library preloaded into the recorder: what is lost is counted
//! and has its reason, the state says so, and recording goes on by itself when the disk does.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::units::{ByteSize, HumanDuration};
use gtv_edge::config::{ClipConfig, RecordConfig};
use gtv_edge::record::{DiskState, Recorder, RecorderState, RecorderStatus};
use gtv_edge::store::{self, Depth, Store, Stream};
use support::groups::{GROUP_US, group};

const EIO: i32 = 5;
const ENODEV: i32 = 19;
const EROFS: i32 = 30;
const ENOSPC: i32 = 28;
const ALL: (UtcMicros, UtcMicros) = (UtcMicros(0), UtcMicros(i64::MAX));

/// Runs `inside` of this binary with the library before the C library; its recordings are on the faulty disk.
fn with_shim(inside: &str) {
    let folder = tempfile::tempdir().unwrap();
    let shim = folder.path().join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/disk_shim.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(&source).arg("-ldl").status();
    assert!(built.expect("a C compiler, as Rust itself needs it").success());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mode = folder.path().join("mode");
    std::fs::write(&mode, "ok").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", inside, "--ignored", "--nocapture"])
        .env("LD_PRELOAD", &shim)
        .env("GTV_SHIM_DIR", data.join("recordings"))
        .env("GTV_SHIM_MODE", &mode)
        .env("GTV_FAULTS_DATA", &data)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

struct Faulty {
    dir: PathBuf,
    store: Store,
    recorder: Recorder,
    tasks: Tasks,
    start: UtcMicros,
    number: i64,
}

impl Faulty {
    async fn start() -> Self {
        let dir = PathBuf::from(std::env::var_os("GTV_FAULTS_DATA").unwrap());
        let store = Store::open(&dir).unwrap();
        let tasks = Tasks::new();
        let config = RecordConfig { segment: HumanDuration::secs(5), min_free: ByteSize(0), ..RecordConfig::default() };
        let recorder = Recorder::start(&store, &config, &ClipConfig::default(), &tasks).await.unwrap();
        let start = UtcMicros(UtcMicros::now().0 / 60_000_000 * 60_000_000 - 3_600_000_000);
        Self { dir, store, recorder, tasks, start, number: 0 }
    }

    fn mode(text: &str) {
        std::fs::write(std::env::var_os("GTV_SHIM_MODE").unwrap(), text).unwrap();
    }

    /// Gives groups until the recorder is in a state that fits.
    async fn record_until(&mut self, what: &str, fits: impl Fn(&RecorderStatus) -> bool) -> RecorderStatus {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            self.recorder.sink().push(&group("gate", self.number, self.start));
            self.number += 1;
            tokio::time::sleep(Duration::from_millis(30)).await;
            let status = self.recorder.status().borrow().clone();
            if fits(&status) {
                return status;
            }
            assert!(Instant::now() < limit, "{what}: {status:?}");
        }
    }

    /// The fault comes, is told, goes, and all is well again.
    async fn survives(&mut self, mode: &str, state: RecorderState, reason: &str) {
        self.record_until("recording", |now| now.state == RecorderState::Recording && now.stored_fragments > 3).await;
        Self::mode(mode);
        let failing = self.record_until(mode, |now| now.state == state).await;
        assert!(failing.reason.contains(reason), "{mode}: {}", failing.reason);
        assert!(failing.dropped_fragments > 0, "{mode}: what is lost is counted");
        assert!(self.recorder.problem().is_some());
        Self::mode("ok");
        let stored = self.recorder.status().borrow().stored_fragments;
        let back = |now: &RecorderStatus| now.state == RecorderState::Recording && now.stored_fragments > stored + 5;
        self.record_until("recording goes on", back).await;
    }

    async fn gap_reasons(&self) -> Vec<String> {
        let gaps = self.store.gaps(&"gate".parse().unwrap(), Stream::Main, ALL.0, ALL.1).await.unwrap();
        assert!(gaps.iter().all(|gap| gap.end > gap.start && gap.start >= self.start));
        gaps.into_iter().map(|gap| gap.reason).collect()
    }

    /// Every second is stored or has its reason, and no file is left open by the fault.
    async fn end(self) {
        assert!(self.tasks.shutdown(Duration::from_secs(20)).await);
        let until = Instant::now() + Duration::from_secs(5);
        while !self.store.unclosed_segments().await.unwrap().is_empty() {
            assert!(Instant::now() < until, "{:?}", self.store.unclosed_segments().await.unwrap());
            gtv_edge::record::recover(&self.store).await.unwrap();
        }
        let gate = "gate".parse().unwrap();
        let stored = self.store.coverage(&gate, Stream::Main, ALL.0, ALL.1).await.unwrap();
        let stored: i64 = stored.iter().map(|hour| hour.stored_us).sum();
        let gaps = self.store.gaps(&gate, Stream::Main, ALL.0, ALL.1).await.unwrap();
        let missing: i64 = gaps.iter().map(|gap| gap.end.since(gap.start)).sum();
        let totals = self.store.recording_totals().await.unwrap();
        let whole = totals[0].newest.unwrap().since(self.start);
        let unexplained = whole - stored - missing;
        // A pause of one group joins the files on both sides of it.
        assert!((0..=2 * GROUP_US + whole / 100).contains(&unexplained), "{unexplained} us of {whole}: {gaps:?}");
        let dir = self.dir.clone();
        drop((self.store, self.recorder));
        let findings = store::check(&dir, None, Depth::Deep).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

#[test]
fn a_read_only_disk_is_survived() {
    with_shim("read_only_inside");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_read_only_disk_is_survived with the library preloaded"]
async fn read_only_inside() {
    let mut faulty = Faulty::start().await;
    faulty.survives(&EROFS.to_string(), RecorderState::Failing, "read-only").await;
    assert!(faulty.gap_reasons().await.contains(&"the recording could not be written".to_owned()));
    faulty.end().await;
}

#[test]
fn an_unplugged_disk_is_survived() {
    with_shim("unplugged_inside");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by an_unplugged_disk_is_survived with the library preloaded"]
async fn unplugged_inside() {
    let mut faulty = Faulty::start().await;
    faulty.survives(&ENODEV.to_string(), RecorderState::Failing, "dmesg").await;
    faulty.survives(&EIO.to_string(), RecorderState::Failing, "dmesg").await;
    let failing = faulty.recorder.storage().borrow().disks[0].state;
    assert!(failing != DiskState::Missing, "the data folder itself is there");
    faulty.end().await;
}

#[test]
fn a_disk_without_room_is_survived() {
    with_shim("no_room_inside");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_disk_without_room_is_survived with the library preloaded"]
async fn no_room_inside() {
    let mut faulty = Faulty::start().await;
    faulty.survives(&ENOSPC.to_string(), RecorderState::DiskFull, "free space").await;
    assert!(faulty.gap_reasons().await.contains(&"the disk was full".to_owned()));
    faulty.end().await;
}

#[test]
fn a_disk_that_crawls_is_survived() {
    with_shim("crawling_inside");
}

/// The queue of fragments runs over while a sync takes seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_disk_that_crawls_is_survived with the library preloaded"]
async fn crawling_inside() {
    let mut faulty = Faulty::start().await;
    faulty.record_until("recording", |now| now.stored_fragments > 3).await;
    Faulty::mode("slow 3000");
    let limit = Instant::now() + Duration::from_secs(60);
    while faulty.recorder.status().borrow().state != RecorderState::Slow {
        for _ in 0..500 {
            faulty.recorder.sink().push(&group("gate", faulty.number, faulty.start));
            faulty.number += 1;
        }
        assert!(Instant::now() < limit, "{:?}", *faulty.recorder.status().borrow());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = faulty.recorder.status().borrow().clone();
    assert!(status.reason.contains("slower than the cameras") && status.dropped_fragments > 0, "{status:?}");
    Faulty::mode("ok");
    let mut watch = faulty.recorder.status();
    let dropped = status.dropped_fragments;
    let written = watch.wait_for(|now| now.stored_fragments + dropped + 10 > faulty.number as u64);
    let in_time = tokio::time::timeout(Duration::from_secs(300), written).await.is_ok();
    assert!(in_time, "{:?} of {}", *faulty.recorder.status().borrow(), faulty.number);
    // What was still queued comes first, then the first group behind the hole.
    let stored = faulty.recorder.status().borrow().stored_fragments;
    let back = |now: &RecorderStatus| now.state == RecorderState::Recording && now.stored_fragments > stored + 15;
    faulty.record_until("recording goes on", back).await;
    let reasons = faulty.gap_reasons().await;
    assert!(reasons.iter().any(|reason| reason.contains("lost before they could be stored")), "{reasons:?}");
    faulty.end().await;
}

/// Two disks as folders: one is taken away, the other goes on; when it is back, its files are.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_unplugged_leaves_the_other_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (data, one, two) = (folder.path().join("data"), folder.path().join("one"), folder.path().join("two"));
    for dir in [&data, &one, &two] {
        std::fs::create_dir(dir).unwrap();
    }
    let config = RecordConfig {
        segment: HumanDuration::secs(5),
        min_free: ByteSize(0),
        paths: vec![one.clone(), two.clone()],
        ..RecordConfig::default()
    };
    let store = Store::open(&data).unwrap();
    let tasks = Tasks::new();
    let recorder = Recorder::start(&store, &config, &ClipConfig::default(), &tasks).await.unwrap();
    let start = UtcMicros(UtcMicros::now().0 / 60_000_000 * 60_000_000 - 3_600_000_000);
    let mut number = 0;
    let mut record = async |count: i64| {
        let stored = recorder.status().borrow().stored_fragments;
        for _ in 0..count {
            recorder.sink().push(&group("gate", number, start));
            number += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut status = recorder.status();
        let seen = status.wait_for(|now| now.stored_fragments >= stored + count as u64);
        assert!(tokio::time::timeout(Duration::from_secs(30), seen).await.is_ok(), "not all was recorded");
    };
    record(12).await;
    let used = |store: &Store| {
        let store = store.clone();
        async move {
            let rows = store.segments_between(&"gate".parse().unwrap(), Stream::Main, ALL.0, ALL.1).await.unwrap();
            rows.into_iter().map(|row| row.path.split('/').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    let first = used(&store).await.remove(0);
    let disks = recorder.storage().borrow().disks.clone();
    let ids: Vec<String> = disks.iter().map(|disk| disk.id.clone()).collect();
    assert!(ids.contains(&first), "{first} of {ids:?}");
    let (path, other) = if ids[0] == first { (&one, &ids[1]) } else { (&two, &ids[0]) };
    let away = folder.path().join("away");
    std::fs::rename(path, &away).unwrap();
    recorder.configure(config.clone(), ClipConfig::default());
    let mut storage = recorder.storage();
    let missing = storage.wait_for(|now| now.disks.iter().any(|disk| disk.state == DiskState::Missing));
    assert!(tokio::time::timeout(Duration::from_secs(20), missing).await.is_ok());
    assert!(recorder.problem().unwrap().contains("not there"));
    record(20).await;
    assert!(used(&store).await.contains(other), "the other disk goes on");

    std::fs::rename(&away, path).unwrap();
    recorder.configure(config, ClipConfig::default());
    let mut storage = recorder.storage();
    let back = storage.wait_for(|now| now.disks.len() == 2 && now.disks.iter().all(|disk| disk.state == DiskState::Ok));
    assert!(tokio::time::timeout(Duration::from_secs(60), back).await.is_ok(), "{:?}", recorder.storage().borrow());
    record(12).await;
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
    let left = gtv_edge::record::recover(&store).await.unwrap();
    assert_eq!((left.faults, left.waiting), (0, 0), "{left:?}");
    drop((store, recorder));
    let findings = store::check(&data, None, Depth::Deep).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}
