//! The coverage ledger, evidence locks and retention, on a real store and real files.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gtv_edge::base::ids::{BoxId, CameraId};
use gtv_edge::base::tasks::Tasks;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::config::units::{ByteSize, HumanDuration};
use gtv_edge::config::{CameraConfig, ClipConfig, RecordConfig, RecordMode, StreamRecord};
use gtv_edge::media::StreamKind;
use gtv_edge::record::Recorder;
use gtv_edge::store::{
    self, AlertQuery, COVERAGE_LOW, Depth, Expectation, HOUR_US, LedgerStream, LockRow, Pick, Store, Stream,
};
use support::groups::{GROUP_US, group, group_bytes};
use uuid::Uuid;

const BOX: BoxId = BoxId(uuid::Uuid::from_u128(7));
const ALL: (UtcMicros, UtcMicros) = (UtcMicros(0), UtcMicros(i64::MAX));

fn id(name: &str) -> CameraId {
    name.parse().unwrap()
}

fn small() -> RecordConfig {
    RecordConfig { segment: HumanDuration::secs(5), min_free: ByteSize(0), ..RecordConfig::default() }
}

/// The beginning of the hour before the last.
fn whole_hour() -> UtcMicros {
    UtcMicros((UtcMicros::now().0 / HOUR_US - 2) * HOUR_US)
}

async fn start(store: &Store, config: &RecordConfig, tasks: &Tasks) -> Recorder {
    Recorder::start(store, config, &ClipConfig::default(), tasks).await.unwrap()
}

async fn settled(recorder: &Recorder, fragments: u64) {
    let mut status = recorder.status();
    let seen = status.wait_for(|now| now.stored_fragments + now.dropped_fragments >= fragments);
    assert!(tokio::time::timeout(Duration::from_secs(60), seen).await.is_ok(), "{:?}", *recorder.status().borrow());
}

async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !ready().await {
        assert!(Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn assert_sound(dir: &std::path::Path) {
    let findings = store::check(dir, Some(BOX), Depth::Deep).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

/// As the ledger of a running box says it of a continuous stream.
fn expected(from: UtcMicros, to: UtcMicros) -> Vec<Expectation> {
    let stream = LedgerStream { camera: id("gate"), stream: Stream::Main, since: from, until: to };
    vec![Expectation { stream, spans: vec![(from, to)] }]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_gets_its_reason_and_its_alert_when_the_hour_closes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tasks = Tasks::new();
    let recorder = start(&store, &small(), &tasks).await;
    let hour = whole_hour();
    // 40 s across the border of the hour before, nothing for a minute, 20 s, then nothing more.
    let begin = hour.add_micros(-20 * GROUP_US);
    for number in (0..40).chain(100..120) {
        recorder.sink().push(&group("gate", number, begin));
    }
    settled(&recorder, 60).await;
    store.expect_recordings(expected(begin, hour.add_micros(200 * GROUP_US))).await.unwrap();
    let rows = store.coverage(&id("gate"), Stream::Main, ALL.0, ALL.1).await.unwrap();
    let seconds: Vec<_> = rows.iter().map(|row| (row.expected_us / GROUP_US, row.stored_us / GROUP_US)).collect();
    assert_eq!(seconds, [(20, 20), (200, 40)]);

    // The recorder's own ledger finds the hour open, as after a restart, and closes it.
    let camera = CameraConfig { id: id("gate"), ..CameraConfig::default() };
    recorder.set_cameras(&[camera]);
    recorder.start_ledger(Arc::new(|_| "no route to the camera".to_owned()), &tasks);
    until("the hour closes", async || {
        store.coverage(&id("gate"), Stream::Main, hour, hour.add_micros(1)).await.unwrap()[0].closed
    })
    .await;
    let gaps = store.gaps(&id("gate"), Stream::Main, ALL.0, ALL.1).await.unwrap();
    let told: Vec<_> = gaps.iter().map(|gap| (gap.start.since(begin) / GROUP_US, gap.reason.as_str())).collect();
    assert_eq!(told[0], (40, "fragments were lost before they could be stored"));
    assert_eq!(told[1].0, 120, "{told:?}");
    assert!(gaps.windows(2).all(|pair| pair[0].end <= pair[1].start), "no second is missing twice: {gaps:?}");
    let alerts = store.alerts(AlertQuery::default()).await.unwrap();
    let low: Vec<_> = alerts.iter().filter(|alert| alert.kind == COVERAGE_LOW).collect();
    assert_eq!(low.len(), 1, "one alert a stream, whatever number of hours: {alerts:#?}");
    assert_eq!(low[0].camera, Some(id("gate")));
    assert!(low[0].detail["ratio"].as_f64().unwrap() < 0.99, "{}", low[0].detail);
    let records = store.next_batch(BOX, 0, Pick::all(500, 1 << 20)).await.unwrap().records;
    let told: Vec<_> = records.iter().filter(|record| record.kind == "coverage").collect();
    assert!(told.len() >= 2, "each closed hour is told to the centre");
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
    drop((store, recorder));
    assert_sound(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_stays_counted_and_what_was_altered_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tasks = Tasks::new();
    let recorder = start(&store, &small(), &tasks).await;
    let begin = whole_hour();
    for number in 0..20 {
        recorder.sink().push(&group("gate", number, begin));
    }
    settled(&recorder, 20).await;
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
    let oldest = store.segments_oldest(None, None, 1).await.unwrap().remove(0);
    store.evict_segment(oldest.id, "space").await.unwrap().unwrap();
    std::fs::remove_file(dir.path().join(&oldest.path)).unwrap();
    let row = store.coverage(&id("gate"), Stream::Main, ALL.0, ALL.1).await.unwrap().remove(0);
    assert_eq!((row.stored_us, row.evicted_us), (20 * GROUP_US, 5 * GROUP_US));
    let newest = store.segments_oldest(None, None, 9).await.unwrap().pop().unwrap();
    drop((store, recorder));
    assert_sound(dir.path());

    // Rows taken out behind the daemon's back.
    let connection = rusqlite::Connection::open(dir.path().join("gtv.db")).unwrap();
    connection.execute("DELETE FROM fragments WHERE segment_id = ?1", [newest.id]).unwrap();
    connection.execute("DELETE FROM segments WHERE id = ?1", [newest.id]).unwrap();
    let findings = store::check(dir.path(), None, Depth::Quick).unwrap();
    assert!(findings.iter().any(|finding| finding.invariant == "R5"), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_spans_outlive_age_and_space_and_say_when_they_fill_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tasks = Tasks::new();
    let recorder = start(&store, &small(), &tasks).await;
    let begin = whole_hour();
    for number in 0..40 {
        recorder.sink().push(&group("gate", number, begin));
    }
    settled(&recorder, 40).await;
    let lock = LockRow {
        id: Uuid::now_v7(),
        camera: id("gate"),
        start: begin.add_micros(12 * GROUP_US),
        end: begin.add_micros(18 * GROUP_US),
        reason: "BO 123/2026".to_owned(),
        created_at: UtcMicros::now(),
        created_by: "ana".to_owned(),
    };
    store.create_lock(lock.clone()).await.unwrap();
    let kept = async || -> Vec<i64> {
        let rows = store.segments_between(&id("gate"), Stream::Main, ALL.0, ALL.1).await.unwrap();
        rows.iter().map(|row| row.start.since(begin) / GROUP_US).collect()
    };
    // Far too old, and far too much.
    let config = RecordConfig { max_age: HumanDuration::secs(60), max_bytes: ByteSize(1), ..small() };
    recorder.configure(config, ClipConfig::default());
    until("all but the locked and the open file go", async || kept().await == [10, 15, 35]).await;
    let mut storage = recorder.storage();
    let stuck = storage.wait_for(|now| !now.stuck.is_empty());
    let status = tokio::time::timeout(Duration::from_secs(20), stuck).await.unwrap().unwrap().clone();
    assert!(status.stuck.contains("evidence locks hold") && status.locked_bytes > 0, "{status:?}");
    assert!(recorder.problem().unwrap().contains("lift locks"));

    assert_eq!(store.delete_lock(lock.id).await.unwrap().unwrap().reason, lock.reason);
    recorder.configure(RecordConfig { max_age: HumanDuration::secs(60), ..small() }, ClipConfig::default());
    until("the lifted ones go", async || kept().await == [35]).await;
    until("all is well again", async || recorder.problem().is_none()).await;
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
    drop((store, recorder));
    assert_sound(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_recording_that_the_disk_lost_leaves_a_tombstone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tasks = Tasks::new();
    let recorder = start(&store, &small(), &tasks).await;
    let begin = whole_hour();
    for number in 0..5 {
        recorder.sink().push(&group("gate", number, begin));
    }
    settled(&recorder, 5).await;
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
    let lock = LockRow {
        id: Uuid::now_v7(),
        camera: id("gate"),
        start: begin,
        end: begin.add_micros(GROUP_US),
        reason: "x".to_owned(),
        created_at: begin,
        created_by: "ana".to_owned(),
    };
    store.create_lock(lock).await.unwrap();
    let segment = store.segments_between(&id("gate"), Stream::Main, ALL.0, ALL.1).await.unwrap().remove(0);
    assert_eq!(store.evict_segment(segment.id, "space").await.unwrap(), None, "a lock holds against retention");
    store.delete_segment(segment.id, "its file was lost in a crash").await.unwrap().unwrap();
    let records = store.next_batch(BOX, 0, Pick::all(500, 1 << 20)).await.unwrap().records;
    assert_eq!(records.last().unwrap().kind, "tombstone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_has_a_limit_of_its_own_and_the_forecast_follows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tasks = Tasks::new();
    let recorder = start(&store, &small(), &tasks).await;
    let limit = 12 * group_bytes();
    let gate = CameraConfig { id: id("gate"), max_bytes: ByteSize(limit), ..CameraConfig::default() };
    let yard = CameraConfig { id: id("yard"), ..CameraConfig::default() };
    recorder.set_cameras(&[gate, yard]);
    let begin = whole_hour();
    for number in 0..40 {
        recorder.sink().push(&group("gate", number, begin));
        recorder.sink().push(&group("yard", number, begin));
    }
    settled(&recorder, 80).await;
    recorder.configure(small(), ClipConfig::default());
    let bytes = async |name: &str| {
        let totals = store.recording_totals().await.unwrap();
        totals.iter().find(|total| total.camera == id(name)).unwrap().bytes
    };
    until("the camera comes under its limit", async || bytes("gate").await <= limit).await;
    assert!(bytes("yard").await > 38 * group_bytes(), "the other one keeps everything");
    let mut storage = recorder.storage();
    let told = storage.wait_for(|now| now.forecast.bytes_per_day > 0);
    let forecast = tokio::time::timeout(Duration::from_secs(20), told).await.unwrap().unwrap().forecast;
    assert!(forecast.keeps_s.is_some(), "{forecast:?}");
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
    drop((store, recorder));
    assert_sound(dir.path());
}

/// Motion, its pre-roll out of memory, and an hour that is complete although most of it was not recorded.
#[tokio::test(flavor = "multi_thread")]
async fn motion_is_recorded_with_its_rolls_and_the_rest_is_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tasks = Tasks::new();
    let recorder = start(&store, &small(), &tasks).await;
    let how = StreamRecord {
        mode: RecordMode::Motion,
        pre_roll: HumanDuration::secs(3),
        post_roll: HumanDuration::secs(4),
        schedule: Vec::new(),
    };
    let camera = CameraConfig { id: id("gate"), record_main: how.clone(), ..CameraConfig::default() };
    recorder.set_cameras(std::slice::from_ref(&camera));
    let sink = recorder.sink_of(&camera.id, StreamKind::Main, &how);
    let begin = whole_hour();
    let at = |second: i64| begin.add_micros(second * GROUP_US + GROUP_US / 2);
    for second in 0..60 {
        recorder.looked(&camera.id, at(second), (20..=21).contains(&second) || second == 40);
        sink.push(&group("gate", second, begin));
    }
    // 17.5 to 25.5, and 37.5 to 44.5.
    settled(&recorder, 9 + 8).await;
    recorder.start_ledger(Arc::new(|_| String::new()), &tasks);
    until("the ledger has what was wanted", async || {
        let rows = store.coverage(&id("gate"), Stream::Main, ALL.0, ALL.1).await.unwrap();
        rows.first().is_some_and(|row| row.expected_us > 0)
    })
    .await;
    let row = store.coverage(&id("gate"), Stream::Main, ALL.0, ALL.1).await.unwrap().remove(0);
    assert_eq!((row.expected_us / GROUP_US, row.stored_us / GROUP_US), (17, 17));
    assert_eq!(store.gaps(&id("gate"), Stream::Main, ALL.0, ALL.1).await.unwrap(), []);
    let spans = store.spans(&id("gate"), ALL.0, ALL.1).await.unwrap();
    let seconds: Vec<_> =
        spans.iter().map(|span| (span.start.since(begin) / GROUP_US, span.end.since(begin) / GROUP_US)).collect();
    assert_eq!(seconds, [(17, 26), (37, 45)]);
    let withheld = recorder.status().borrow().withheld_bytes;
    assert!(withheld > 30 * group_bytes(), "{withheld}");
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
    drop((store, recorder));
    assert_sound(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_watching_means_that_everything_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let tasks = Tasks::new();
    let recorder = start(&store, &small(), &tasks).await;
    let how = StreamRecord { mode: RecordMode::Detection, ..StreamRecord::default() };
    let sink = recorder.sink_of(&id("gate"), StreamKind::Main, &how);
    let begin = whole_hour();
    for second in 0..10 {
        sink.push(&group("gate", second, begin));
    }
    settled(&recorder, 10).await;
    assert!(tasks.shutdown(Duration::from_secs(60)).await);
}
