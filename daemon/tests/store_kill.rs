//! SIGKILL at random moments while the store is written: what a caller was told is kept, is kept; nothing is half
//! there; the next start goes on. The child is this test binary itself.

#[path = "support/passage.rs"]
mod passage;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use gtv_edge::base::identity::Identity;
use gtv_edge::base::ids::{CameraId, DetectionId};
use gtv_edge::base::plate::Plate;
use gtv_edge::base::time::UtcMicros;
use gtv_edge::store::{
    AlertPolicy, AlertQuery, AlertTarget, AuditEntry, Bucket, ClipOutcome, Depth, DetectionQuery, DetectionRow,
    FindingSeverity, InitRow, NewFragment, NewSegment, Pick, Severity, Store, StoredClip, Stream, WatchEntry,
    WatchlistChange, check,
};
use passage::passage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

const DIR: &str = "GTV_STORE_KILL_DIR";
const ROUNDS: u32 = 20;
/// Confirmed writes that make the rounds count.
const ENOUGH: usize = 100;
const HOUR_US: i64 = 3_600_000_000;
const TARGET: &str = "webhook/test";
const FRAGMENT: usize = 3000;

#[test]
fn nothing_that_was_confirmed_is_lost() {
    let seed: u64 = std::env::var("GTV_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("GTV_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut confirmed: BTreeSet<String> = BTreeSet::new();
    // A loaded machine confirms little a round: then it takes more of them.
    for round in 0..5 * ROUNDS {
        if round >= ROUNDS && confirmed.len() > ENOUGH {
            break;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_killed", "--nocapture", "--test-threads=1"])
            .env(DIR, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Kills only count while it writes, not while it starts.
        let started = lines.by_ref().any(|line| line.is_ok_and(|line| line == "writing"));
        assert!(started, "round {round}: the child did not start; run it with {DIR} set to see why");
        let reader = std::thread::spawn(move || {
            let confirmations = lines.map_while(Result::ok).filter(|line| line.starts_with("kept "));
            confirmations.collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(random.random_range(5..400)));
        assert!(child.try_wait().unwrap().is_none(), "round {round}: the child ended by itself, see above");
        child.kill().unwrap();
        child.wait().unwrap();
        confirmed.extend(reader.join().unwrap());
        verify(folder.path(), &confirmed, round);
    }
    assert!(confirmed.len() > ENOUGH, "only {} writes in all rounds", confirmed.len());
}

fn verify(dir: &Path, confirmed: &BTreeSet<String>, round: u32) {
    let identity = Identity::open_or_create(dir).unwrap();
    let findings = check(dir, Some(identity.box_id), Depth::Deep).unwrap();
    let errors: Vec<_> = findings.iter().filter(|f| f.severity == FindingSeverity::Error).collect();
    assert!(errors.is_empty(), "round {round}: {errors:#?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open_read_only(dir).unwrap();
        let camera: CameraId = "gate".parse().unwrap();
        let all = (UtcMicros(0), UtcMicros(i64::MAX));
        let fragments = store.fragments_between(&camera, Stream::Main, all.0, all.1).await.unwrap();
        verify_alerts(&store, round).await;
        let starts: BTreeSet<i64> = fragments.iter().map(|fragment| fragment.start.0).collect();
        for line in confirmed {
            let words: Vec<_> = line.split(' ').collect();
            match words[1] {
                "fragment" => assert!(starts.contains(&words[2].parse().unwrap()), "round {round}: {line} is gone"),
                "detection" => {
                    let row = store.detection(words[2].parse().unwrap()).await.unwrap();
                    let row = row.unwrap_or_else(|| panic!("round {round}: {line} is gone"));
                    let crop = store.object_path(&row.crop.unwrap().sha256).unwrap();
                    assert_eq!(std::fs::read(crop).unwrap(), words[2].as_bytes());
                }
                "clip" => {
                    let row = store.detection(words[2].parse().unwrap()).await.unwrap().unwrap();
                    assert!(row.clip.is_some(), "round {round}: {line} is gone");
                }
                other => panic!("what is {other}?"),
            }
        }
    });
}

/// Every passage is of a listed vehicle: each has its alert, and each alert its delivery.
async fn verify_alerts(store: &Store, round: u32) {
    let mut raised = BTreeSet::new();
    let mut query = AlertQuery { limit: 1000, ..AlertQuery::default() };
    loop {
        let page = store.alerts(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query.before = Some((last.at, last.id));
        raised.extend(page.iter().map(|alert| alert.detection.unwrap()));
    }
    let mut query = DetectionQuery { limit: 1000, ..DetectionQuery::default() };
    let mut passages = 0;
    loop {
        let page = store.detections(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query.before = Some(last.id);
        passages += page.len();
        for row in page {
            assert!(raised.contains(&row.id), "round {round}: the alert of {} is lost", row.id);
        }
    }
    assert_eq!(raised.len(), passages, "round {round}: an alert without its passage");
    let waiting = store.due_deliveries(TARGET, UtcMicros::now(), usize::MAX).await.unwrap();
    assert_eq!(waiting.len(), passages, "round {round}: a delivery is lost");
}

/// Does nothing as a test of its own.
#[test]
fn child_writes_until_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let identity = Identity::open_or_create(Path::new(&dir)).unwrap();
        let store = Store::open(Path::new(&dir)).unwrap();
        watch(&store).await;
        let start = recover(&store).await;
        println!("\nwriting");
        tokio::join!(record(&store, start), detect(&store), deliver(&store, &identity));
    });
}

/// Lists the plate of every passage.
async fn watch(store: &Store) {
    let target = AlertTarget { name: TARGET.to_owned(), kinds: Vec::new() };
    let policy = AlertPolicy { cooldown_us: 0, targets: vec![target], ..AlertPolicy::default() };
    store.set_alert_policy(policy).await.unwrap();
    let known = store.watchlists().await.unwrap().first().map(|list| list.id);
    let list = if let Some(list) = known {
        list
    } else {
        let new =
            WatchlistChange { name: "all".to_owned(), severity: Severity::Info, reason: String::new(), enabled: true };
        store.create_watchlist(new, "test").await.unwrap().id
    };
    let plate = Plate::normalize("ABC1D23");
    let entry = WatchEntry { plate, reason: String::new(), valid_from: None, valid_until: None };
    store.put_watch_entry(list, entry).await.unwrap();
}

/// What the recorder does at start: cut tails without rows, close what was open, forget what never had a fragment.
/// Returns where the timeline goes on.
async fn recover(store: &Store) -> i64 {
    for segment in store.unclosed_segments().await.unwrap() {
        let path = store.dir().join(&segment.path);
        if segment.bytes == 0 {
            store.delete_segment(segment.id, "nothing of it is left").await.unwrap();
            std::fs::remove_file(&path).unwrap();
            continue;
        }
        let file = File::options().write(true).open(&path).unwrap();
        assert!(file.metadata().unwrap().len() >= segment.bytes, "a row without bytes");
        file.set_len(segment.bytes).unwrap();
        file.sync_all().unwrap();
        let digest = hex::encode(Sha256::digest(std::fs::read(&path).unwrap()));
        store.close_segment(segment.id, &digest).await.unwrap();
    }
    let totals = store.recording_totals().await.unwrap();
    totals.first().and_then(|t| t.newest).map_or(0, |t| t.0)
}

async fn record(store: &Store, mut at: i64) {
    let init = InitRow {
        id: "init".to_owned(),
        data: vec![1, 2, 3],
        mime: "video/mp4".to_owned(),
        codec: "h264".to_owned(),
        width: 64,
        height: 48,
    };
    store.put_init(&init).await.unwrap();
    std::fs::create_dir_all(store.dir().join("recordings")).unwrap();
    loop {
        let path = format!("recordings/{at}.mp4");
        let mut file = File::create(store.dir().join(&path)).unwrap();
        let new = NewSegment {
            camera: "gate".parse().unwrap(),
            stream: Stream::Main,
            path: path.clone(),
            init_id: init.id.clone(),
            start: UtcMicros(at),
            head_bytes: 0,
            clocks: None,
        };
        let segment_id = store.open_segment(new).await.unwrap();
        for n in 0..8u64 {
            file.write_all(&[n as u8; FRAGMENT]).unwrap();
            file.sync_data().unwrap();
            let fragment = NewFragment {
                segment_id,
                offset: n * FRAGMENT as u64,
                bytes: FRAGMENT as u64,
                start: UtcMicros(at),
                duration_us: 1_000_000,
                frames: 25,
                key: true,
            };
            store.commit_fragments(vec![fragment]).await.unwrap();
            println!("kept fragment {at}");
            at += 1_000_000;
        }
        let digest = hex::encode(Sha256::digest(std::fs::read(store.dir().join(&path)).unwrap()));
        store.close_segment(segment_id, &digest).await.unwrap();
    }
}

async fn detect(store: &Store) {
    loop {
        let id = DetectionId::new();
        let text = id.to_string();
        let crop = store.put_object(Bytes::from(text.clone()), "image/jpeg", Bucket::LprImages).await.unwrap();
        let now = UtcMicros::now();
        let row = DetectionRow { id, ..passage("ABC1D23", Some(crop.clone())) };
        store.insert_detection(row).await.unwrap();
        println!("kept detection {text}");
        let clip =
            store.put_object(Bytes::from(format!("clip {text}")), "video/mp4", Bucket::Recordings).await.unwrap();
        let stored = StoredClip { object: clip.clone(), stream: Stream::Main, start: now, end: now };
        store.attach_clip(id, ClipOutcome::Stored(stored)).await.unwrap();
        println!("kept clip {text}");
        store.mark_uploaded(&crop.sha256).await.unwrap();
        store.mark_uploaded(&clip.sha256).await.unwrap();
        let entry = AuditEntry {
            actor: "test".to_owned(),
            action: "detect".to_owned(),
            subject: text,
            detail: serde_json::Value::Null,
            remote: String::new(),
        };
        store.append_audit(entry).await.unwrap();
    }
}

async fn deliver(store: &Store, identity: &Identity) {
    loop {
        let status = store.outbox_status(identity.box_id).await.unwrap();
        let batch = store.next_batch(identity.box_id, status.acked_seq, Pick::all(50, 1 << 20)).await.unwrap();
        match batch.records.last() {
            Some(last) => {
                store.ack(identity.box_id, last.epoch, last.seq).await.unwrap();
                // As if the hour were over: only records under a root are forgotten.
                store.prove(identity, UtcMicros(UtcMicros::now().0 + HOUR_US)).await.unwrap();
                store.prune_outbox(30, 100).await.unwrap();
            }
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
