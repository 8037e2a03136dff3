//! The recorder on a real store and real files: what comes in is there afterwards, also after crashes.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use gtv_edge::base::ids::{CameraId, DetectionId};
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::units::{ByteSize, HumanDuration};
use gtv_edge::config::{ClipConfig, RecordConfig};
use gtv_edge::media::StreamKind;
use gtv_edge::record::{self, Playback, Recorder, RecorderState};
use gtv_edge::store::{self, Depth, DetectionRow, NewSegment, Store, Stream};
use support::groups::{GROUP_US, group, material};
use support::probe;
use tempfile::TempDir;

fn camera(name: &str) -> CameraId {
    name.parse().unwrap()
}

/// The beginning of a minute, so that rotation falls on known groups.
fn whole_minute() -> UtcMicros {
    UtcMicros(UtcMicros::now().0 / 60_000_000 * 60_000_000 - 3_600_000_000)
}

fn small() -> RecordConfig {
    RecordConfig { segment: HumanDuration::secs(10), min_free: ByteSize(0), ..RecordConfig::default() }
}

struct Box_ {
    store: Store,
    recorder: Recorder,
    tasks: Tasks,
}

impl Box_ {
    async fn start(dir: &Path, config: &RecordConfig) -> Self {
        let store = Store::open(dir).unwrap();
        let tasks = Tasks::new();
        let recorder = Recorder::start(&store, config, &ClipConfig::default(), &tasks).await.unwrap();
        Self { store, recorder, tasks }
    }

    /// Waits until so many fragments are stored or dropped since the start.
    async fn settled(&self, fragments: u64) {
        let mut status = self.recorder.status();
        let seen = status.wait_for(|now| now.stored_fragments + now.dropped_fragments >= fragments);
        let in_time = tokio::time::timeout(Duration::from_secs(60), seen).await.is_ok();
        assert!(in_time, "{:?}", *self.recorder.status().borrow());
    }

    async fn stop(self) -> Store {
        assert!(self.tasks.shutdown(Duration::from_secs(60)).await);
        self.store
    }
}

fn assert_sound(dir: &Path) {
    let findings = store::check(dir, None, Depth::Deep).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

async fn rows(store: &Store, name: &str) -> Vec<store::FragmentAt> {
    let all = (UtcMicros(0), UtcMicros(i64::MAX));
    store.fragments_between(&camera(name), Stream::Main, all.0, all.1).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_stored_closed_and_playable() {
    let dir = tempfile::tempdir().unwrap();
    let start = whole_minute();
    let running = Box_::start(dir.path(), &small()).await;
    let sink = running.recorder.sink();
    for number in 0..25 {
        for name in ["gate", "yard", "street"] {
            sink.push(&group(name, number, start));
        }
    }
    running.settled(75).await;
    assert_eq!(running.recorder.last_end(&camera("yard"), StreamKind::Main), Some(start.add_micros(25 * GROUP_US)));
    let store = running.stop().await;
    assert!(store.unclosed_segments().await.unwrap().is_empty());
    for name in ["gate", "yard", "street"] {
        let segments =
            store.segments_between(&camera(name), Stream::Main, UtcMicros(0), UtcMicros(i64::MAX)).await.unwrap();
        assert_eq!(segments.iter().map(|segment| segment.frames).collect::<Vec<_>>(), [250, 250, 125]);
        let clocks = segments[1].clocks.expect("kept with each file");
        assert_eq!((clocks.arrival_us, clocks.rtp.unwrap().ticks), (start.add_micros(11 * GROUP_US), 10 * 90_000));
        assert!(clocks.box_clock.is_some(), "whether the box follows a time server");
        for segment in segments {
            assert_eq!(probe::decoded_frames(&dir.path().join(&segment.path)), segment.frames);
        }
    }
    drop(store);
    assert_sound(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_plays_as_one_file_with_seeking() {
    let dir = tempfile::tempdir().unwrap();
    let start = whole_minute();
    let running = Box_::start(dir.path(), &small()).await;
    for number in (0..12).chain(20..28) {
        running.recorder.sink().push(&group("gate", number, start));
    }
    running.settled(20).await;
    let store = running.stop().await;
    let at = |seconds: i64| start.add_micros(seconds * GROUP_US + 300_000);
    let playback = Playback::open(&store, &camera("gate"), Stream::Main, at(5), at(23)).await.unwrap().unwrap();
    assert_eq!((playback.start, playback.end), (start.add_micros(5 * GROUP_US), start.add_micros(24 * GROUP_US)));
    let playback = Arc::new(playback);
    let whole = playback.clone().read_all().await.unwrap().concat();
    assert_eq!(whole.len() as u64, playback.length);
    let path = dir.path().join("span.mp4");
    fs::write(&path, &whole).unwrap();
    assert_eq!(probe::decoded_frames(&path), 11 * 25);
    let report = probe::probe(&path, &[]);
    assert_eq!(report["format"]["start_time"], "0.000000");
    assert_eq!(report["format"]["duration"], "11.000000");
    let entries: Vec<_> = playback.entries().collect();
    assert_eq!((entries[6].media_us, entries[7].media_us), (6 * GROUP_US, 7 * GROUP_US));
    assert_eq!(entries[7].start, start.add_micros(20 * GROUP_US), "the pause is left out");
    for (from, to) in [(0, 1), (10, 5000), (playback.length / 2, playback.length / 2 + 70_000), (0, u64::MAX)] {
        let read: Vec<_> = playback.clone().read(from..to).map(Result::unwrap).collect().await;
        assert_eq!(read.concat(), whole[from as usize..to.min(playback.length) as usize], "{from}..{to}");
    }
    let nothing = Playback::open(&store, &camera("gate"), Stream::Main, at(100), at(200)).await.unwrap();
    assert!(nothing.is_none());
    let gaps = store.gaps(&camera("gate"), Stream::Main, UtcMicros(0), UtcMicros(i64::MAX)).await.unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].reason.contains("lost before they could be stored"), "{}", gaps[0].reason);
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A data folder as a power cut leaves it: one open segment with six committed groups.
async fn crashed() -> (TempDir, PathBuf, Vec<store::FragmentAt>) {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let running = Box_::start(&dir.path().join("live"), &small()).await;
    let start = whole_minute();
    for number in 0..6 {
        running.recorder.sink().push(&group("gate", number, start));
    }
    running.settled(6).await;
    copy_tree(&dir.path().join("live"), &image);
    running.stop().await;
    let store = Store::open(&image).unwrap();
    let rows = rows(&store, "gate").await;
    assert_eq!((rows.len(), store.unclosed_segments().await.unwrap().len()), (6, 1));
    (dir, image, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_without_rows_is_cut_off_wherever_it_ends() {
    let (dir, image, rows) = crashed().await;
    let committed = rows[5].offset + rows[5].bytes;
    let tail = &material().1[6];
    // The first bytes one by one, then in steps that are no multiple of anything, and the whole group.
    let cuts = (0..40).chain((40..tail.len()).step_by(997)).chain([tail.len()]);
    for (count, cut) in cuts.enumerate() {
        let copy = dir.path().join(format!("cut-{cut}"));
        copy_tree(&image, &copy);
        let path = copy.join(&rows[0].path);
        let mut bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, committed);
        bytes.extend_from_slice(&tail[..cut]);
        fs::write(&path, &bytes).unwrap();
        let store = Store::open(&copy).unwrap();
        let recovered = record::recover(&store).await.unwrap();
        assert_eq!((recovered.closed, recovered.truncated_bytes, recovered.faults), (1, cut as u64, 0));
        assert_eq!(fs::metadata(&path).unwrap().len(), committed);
        assert_eq!(record::recover(&store).await.unwrap(), record::Recovered::default(), "twice changes nothing");
        drop(store);
        if count % 16 == 0 {
            assert_sound(&copy);
            assert_eq!(probe::decoded_frames(&path), 150);
        }
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_a_disk_lost_are_a_fault_and_the_rest_plays() {
    let (dir, image, rows) = crashed().await;
    let head = rows[0].offset;
    for (length, left) in
        [(rows[5].offset + 17, 5), (rows[3].offset, 3), (rows[1].offset - 1, 0), (head - 1, 0), (0, 0)]
    {
        let copy = dir.path().join(format!("lost-{length}"));
        copy_tree(&image, &copy);
        let path = copy.join(&rows[0].path);
        fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        let store = Store::open(&copy).unwrap();
        let recovered = record::recover(&store).await.unwrap();
        assert_eq!(recovered.faults, 1, "{length}");
        assert_eq!(self::rows(&store, "gate").await.len(), left, "{length}");
        assert!(store.unclosed_segments().await.unwrap().is_empty());
        drop(store);
        assert_sound(&copy);
        if left > 0 {
            assert_eq!(probe::decoded_frames(&path), 25 * left as u64);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_first_group_never_got_its_row_makes_way_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let running = Box_::start(dir.path(), &small()).await;
    let begin = whole_minute();
    running.recorder.sink().push(&group("gate", 0, begin));
    running.settled(1).await;
    let store = running.stop().await;
    // Killed after the row of the file, before the row of its first group; the camera goes on at that very time.
    let (init, groups) = material();
    let last = store.segments_between(&camera("gate"), Stream::Main, UtcMicros(0), UtcMicros(i64::MAX)).await.unwrap();
    let start = last[0].end;
    let name = last[0].path.replace("00-000000.mp4", "01-000000.mp4");
    fs::write(dir.path().join(&name), [&init.data[..], &groups[0]].concat()).unwrap();
    let new = NewSegment {
        camera: camera("gate"),
        stream: Stream::Main,
        path: name.clone(),
        init_id: init.id_hex(),
        start,
        head_bytes: init.data.len() as u64,
        clocks: None,
    };
    store.open_segment(new).await.unwrap();
    drop(store);
    let running = Box_::start(dir.path(), &small()).await;
    running.recorder.sink().push(&group("gate", 1, begin));
    running.settled(1).await;
    let store = running.stop().await;
    let rows = store.segments_between(&camera("gate"), Stream::Main, UtcMicros(0), UtcMicros(i64::MAX)).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.path == name, row.frames)).collect::<Vec<_>>(), [(false, 25), (true, 25)]);
    drop(store);
    assert_sound(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_goes_on_after_a_crash_and_notes_the_gap() {
    let (_dir, image, rows) = crashed().await;
    let running = Box_::start(&image, &small()).await;
    let resumed = rows[5].start.add_micros(30 * GROUP_US);
    for number in 0..3 {
        running.recorder.sink().push(&group("gate", number, resumed));
    }
    // One that claims to lie in the past must not overlap what is stored (R3).
    running.recorder.sink().push(&group("gate", 3, UtcMicros(resumed.0 - 20 * GROUP_US)));
    running.settled(4).await;
    let store = running.stop().await;
    assert_eq!(self::rows(&store, "gate").await.len(), 10);
    let gaps = store.gaps(&camera("gate"), Stream::Main, UtcMicros(0), UtcMicros(i64::MAX)).await.unwrap();
    assert_eq!((gaps.len(), gaps[0].start), (1, rows[5].start.add_micros(GROUP_US)));
    assert!(gaps[0].reason.contains("the box was off"), "{}", gaps[0].reason);
    drop(store);
    assert_sound(&image);
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_kept_by_deleting_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let size: u64 = material().1.iter().map(|group| group.len() as u64).sum::<u64>() / 8;
    let config = RecordConfig { segment: HumanDuration::secs(2), max_bytes: ByteSize(size * 20), ..small() };
    let running = Box_::start(dir.path(), &config).await;
    let start = whole_minute();
    for number in 0..60 {
        running.recorder.sink().push(&group("gate", number, start));
    }
    running.settled(60).await;
    running.recorder.configure(config.clone(), ClipConfig::default());
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let total: u64 = running.store.recording_totals().await.unwrap().iter().map(|total| total.bytes).sum();
        if total <= config.max_bytes.0 {
            break;
        }
        assert!(Instant::now() < until, "{total} bytes are kept, {} allowed", config.max_bytes.0);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left = rows(&running.store, "gate").await;
    assert_eq!(left.last().unwrap().start, start.add_micros(59 * GROUP_US), "the newest stays");
    assert!(left.len() >= 10 && left[0].start > start.add_micros(30 * GROUP_US), "{} are left", left.len());
    let too_old = RecordConfig { max_age: HumanDuration::secs(60), ..config };
    running.recorder.configure(too_old, ClipConfig::default());
    let until = Instant::now() + Duration::from_secs(60);
    while rows(&running.store, "gate").await.len() > 2 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.stop().await;
    assert_sound(dir.path());
}

fn passage(name: &str, at: UtcMicros) -> DetectionRow {
    serde_json::from_value(serde_json::json!({
        "id": DetectionId::new(), "camera": name, "plate": "ABC1D23", "layout": "br-mercosul", "confidence": 0.9,
        "alternatives": [], "first_seen": at, "last_seen": at.add_micros(500_000), "best_at": at,
        "quad": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], "bbox": [0.0, 0.0, 1.0, 1.0],
        "frame_width": 320, "frame_height": 180, "direction": null, "reads": 3, "single": false,
        "crop": null, "frame": null, "clip": null, "clip_unavailable": null, "slots": []
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn passages_get_clips_or_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let running = Box_::start(dir.path(), &small()).await;
    let start = whole_minute();
    for number in 0..30 {
        running.recorder.sink().push(&group("gate", number, start));
    }
    running.settled(30).await;
    let seen = passage("gate", start.add_micros(12 * GROUP_US + 400_000));
    let unseen = passage("elsewhere", start.add_micros(12 * GROUP_US));
    let ids = (seen.id, unseen.id);
    running.store.insert_detection(seen).await.unwrap();
    running.store.insert_detection(unseen).await.unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let mut found = BTreeMap::new();
    while found.len() < 2 {
        assert!(Instant::now() < until, "no outcome");
        for id in [ids.0, ids.1] {
            let row = running.store.detection(id).await.unwrap().unwrap();
            if row.clip.is_some() || row.clip_unavailable.is_some() {
                found.insert(id, row);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(found[&ids.1].clip_unavailable.as_ref().unwrap().contains("not recorded"));
    let clip = found[&ids.0].clip.clone().unwrap();
    let path = running.store.object_path(&clip.sha256).unwrap();
    // 3 s before 12.4 s reach into the group of second 9, 2 s after 12.9 s into that of second 14.
    assert_eq!(probe::decoded_frames(&path), 6 * 25);
    running.stop().await;
    assert_sound(dir.path());
}

/// Runs `disk_full_inside` on a disk of 6 MB of its own.
#[test]
fn a_full_disk_is_survived() {
    let script = "mkdir -p \"$DISK\" && mount -t tmpfs -o size=6m tmpfs \"$DISK\" && exec \"$0\" --exact disk_full_inside --ignored";
    let disk = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("DISK", disk.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_full_disk_is_survived on a disk of its own"]
async fn disk_full_inside() {
    let disk = PathBuf::from(std::env::var("DISK").unwrap());
    let config = RecordConfig { segment: HumanDuration::secs(2), ..small() };
    let running = Box_::start(&disk, &config).await;
    let start = whole_minute();
    let ballast = disk.join("ballast");
    let free = 2_000_000;
    let mut number = 0;
    let size: usize = material().1.iter().map(Vec::len).sum();
    fs::write(&ballast, vec![0; 6_000_000 - free - 1_500_000]).unwrap();
    // Far more than what is left.
    while running.recorder.status().borrow().state != RecorderState::DiskFull {
        running.recorder.sink().push(&group("gate", number, start));
        number += 1;
        assert!((number as usize) < 8 * 6_000_000 / size * 2, "the disk does not fill");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let status = running.recorder.status().borrow().clone();
    assert!(status.reason.contains("free space") || status.reason.contains("record.max_bytes"), "{}", status.reason);
    assert!(status.dropped_fragments > 0);
    fs::remove_file(&ballast).unwrap();
    for _ in 0..5 {
        running.recorder.sink().push(&group("gate", number, start));
        number += 1;
    }
    let mut watch = running.recorder.status();
    let back = watch.wait_for(|now| now.state == RecorderState::Recording);
    assert!(tokio::time::timeout(Duration::from_secs(60), back).await.is_ok(), "recording goes on by itself");
    let store = running.stop().await;
    let gaps = store.gaps(&camera("gate"), Stream::Main, UtcMicros(0), UtcMicros(i64::MAX)).await.unwrap();
    assert!(gaps.iter().any(|gap| gap.reason.contains("disk was full")), "{gaps:?}");
    drop(store);
    assert_sound(&disk);
}
