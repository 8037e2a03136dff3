//! The whole way, with nothing but real parts: demo camera, box, Chromium, centre, PostgreSQL and S3. What a person
//! does on the page is in `e2e/browser.mjs`; afterwards the centre must hold each true passage exactly once, with crop
//! and clip, in a gapless intact chain.

#[path = "../../central/tests/support/mod.rs"]
mod servers;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStoreExt, path::Path as Key};
use servers::garage::{ACCESS_KEY, REGION, SECRET_KEY};
use servers::{Center, Garage, Postgres};
use sha2::{Digest, Sha256};
use support::demo::Demo;
use support::edge::Edge;
use support::truth::{Passage, passages};

const WATCH_SECONDS: u64 = 60;
/// A passage that begins while the camera connects, or is in view when the box stops, is not counted.
const EDGE_US: i64 = 3_000_000;
/// Detections, crops and clips reach the centre within this after the last vehicle.
const DELIVERY: Duration = Duration::from_secs(60);
/// The tracker's first and last sight may lie a little outside the truth's idea of "in view".
const SLACK_US: i64 = 1_500_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_all_the_way_to_the_centre() {
    let postgres = Postgres::start_new();
    let garage = Garage::start_new("");
    let center = Center::start_vending(&postgres, &garage);
    let demo = Demo::street(&[]);
    let mut edge = Edge::new(&format!("[live]\nwebrtc_port = 0\n[sync]\nurl = \"{}\"\n", center.url()));
    edge.start();

    let seen = browse(&edge, &demo);
    the_export_is_intact(&edge, seen["export"].as_str().unwrap());
    let camera = seen["camera"].as_str().unwrap().to_owned();
    let recorded_from = seen["added_at_ms"].as_i64().unwrap() * 1000;
    let recorded_to = now_us();

    let database = connect(&postgres).await;
    let truth = passages(&demo.truth().await, 0, recorded_from + EDGE_US, recorded_to - EDGE_US);
    assert!(truth.len() >= 5, "the demo scene has about ten passages a minute, found {}", truth.len());
    wait_for_delivery(&database, &camera, recorded_to).await;

    each_passage_is_one_row(&database, &camera, &truth, recorded_from + EDGE_US, recorded_to - EDGE_US).await;
    let evidence = evidence(&database).await;
    evidence_is_in_s3(&garage, &evidence).await;
    chain_is_gapless(&database).await;
    let (status, report) = center.command(&["audit", "--objects", "--json"]);
    assert!(status.success(), "audit: {report}");
    assert!(edge.stop(Duration::from_secs(30)), "an ordered stop:\n{}", edge.log());
    no_plate_in_the_log(&edge.log(), &truth);
}

/// Runs the browser against the page; its findings.
fn browse(edge: &Edge, demo: &Demo) -> serde_json::Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e");
    let shots = std::env::var_os("GTV_SHOTS").map_or_else(|| edge.folder.path().join("shots"), PathBuf::from);
    let output = Command::new("node")
        .arg(folder.join("browser.mjs"))
        .env("GTV_PAGE", edge.page())
        .env("GTV_SETUP_CODE", edge.setup_code())
        .env("GTV_CAMERA_USER", demo.user())
        .env("GTV_CAMERA_PASSWORD", demo.password())
        .env("GTV_TRUTH", demo.truth_url())
        .env("GTV_WATCH_SECONDS", WATCH_SECONDS.to_string())
        .env("GTV_SHOTS", shots)
        .output()
        .expect("node starts; scripts/setup installs it");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "browser: {errors}\nbox:\n{}", edge.log());
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).expect("the browser's last line is JSON")
}

fn the_export_is_intact(edge: &Edge, file: &str) {
    let verified = edge.command(&["verify", file]).output().unwrap();
    let text = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && text.contains("intact") && text.contains("Police report 1/2026"), "{text}");
}

async fn connect(postgres: &Postgres) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn now_us() -> i64 {
    gtv_edge::base::time::UtcMicros::now().0
}

/// Waits until every detection that was first seen before `until_us` has its clip at the centre.
async fn wait_for_delivery(database: &tokio_postgres::Client, camera: &str, until_us: i64) {
    let deadline = Instant::now() + DELIVERY;
    let query = "SELECT count(*), count(c.detection_id) FROM ai.detections d \
                 LEFT JOIN streaming.clips c ON c.detection_id = d.id \
                 WHERE d.camera = $1 AND d.first_seen < sync.at_us($2)";
    // New vehicles keep coming: what counts is that nothing of the watched time is still on its way.
    let mut settled = 0;
    while settled < 3 {
        let row = database.query_one(query, &[&camera, &(until_us - EDGE_US)]).await.unwrap();
        let (rows, clips): (i64, i64) = (row.get(0), row.get(1));
        settled = if rows > 0 && rows == clips { settled + 1 } else { 0 };
        assert!(Instant::now() < deadline, "{rows} detections but {clips} clips at the centre");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn each_passage_is_one_row(
    database: &tokio_postgres::Client,
    camera: &str,
    truth: &[Passage],
    from_us: i64,
    to_us: i64,
) {
    let query = "SELECT plate, (extract(epoch FROM first_seen) * 1000000)::bigint, \
                 (extract(epoch FROM last_seen) * 1000000)::bigint FROM ai.detections WHERE camera = $1 ORDER BY first_seen";
    let rows: Vec<(String, i64, i64)> = database
        .query(query, &[&camera])
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let mut faults = Vec::new();
    let mut used = vec![false; rows.len()];
    for passage in truth {
        let matching: Vec<usize> = (0..rows.len())
            .filter(|&i| {
                let (plate, first, last) = &rows[i];
                *plate == passage.plate && *first <= passage.leave_us + SLACK_US && *last >= passage.enter_us - SLACK_US
            })
            .collect();
        if matching.len() != 1 {
            faults.push(format!("{} has {} rows", passage.plate, matching.len()));
        }
        for i in matching {
            used[i] = true;
        }
    }
    for (i, (plate, first, last)) in rows.iter().enumerate() {
        if !used[i] && *first >= from_us + SLACK_US && *last <= to_us - SLACK_US {
            let near = truth.iter().any(|p| *first <= p.leave_us && *last >= p.enter_us);
            faults.push(format!("row {plate} is no true passage (one in view then: {near})"));
        }
    }
    assert!(faults.is_empty(), "of {} passages:\n{}\nrows: {rows:?}", truth.len(), faults.join("\n"));
}

struct Evidence {
    bucket: String,
    key: String,
    sha256: String,
    clip: bool,
}

/// Crops of all detections and all their clips.
async fn evidence(database: &tokio_postgres::Client) -> Vec<Evidence> {
    let query = "SELECT crop_bucket, crop_key, crop_sha256, false FROM ai.detections \
                 UNION ALL SELECT bucket, key, sha256, true FROM streaming.clips";
    let rows = database.query(query, &[]).await.unwrap();
    rows.into_iter()
        .map(|row| Evidence { bucket: row.get(0), key: row.get(1), sha256: row.get(2), clip: row.get(3) })
        .collect()
}

async fn evidence_is_in_s3(garage: &Garage, evidence: &[Evidence]) {
    assert!(evidence.iter().any(|item| item.clip) && evidence.iter().any(|item| !item.clip));
    let folder = tempfile::tempdir().unwrap();
    for item in evidence {
        let store = bucket(garage, &item.bucket);
        let bytes = store.get(&Key::from(item.key.as_str())).await.unwrap().bytes().await.unwrap();
        assert_eq!(hex::encode(Sha256::digest(&bytes)), item.sha256, "{}", item.key);
        if item.clip {
            let path = folder.path().join("clip.mp4");
            std::fs::write(&path, &bytes).unwrap();
            plays_without_errors(&path);
        }
    }
}

fn bucket(garage: &Garage, name: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(garage.endpoint())
        .with_region(REGION)
        .with_bucket_name(name)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_allow_http(true)
        .build()
        .unwrap()
}

/// Every frame is decoded; ffprobe tells of each that cannot be.
fn plays_without_errors(path: &Path) {
    let entries = ["-v", "error", "-select_streams", "v", "-count_frames", "-show_entries", "stream=nb_read_frames"];
    let output = Command::new("ffprobe").args(entries).args(["-of", "csv=p=0"]).arg(path).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let frames: u32 = String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').parse().unwrap_or(0);
    assert!(
        output.status.success() && errors.trim().is_empty() && frames > 0,
        "{}: {frames} frames; {errors}",
        path.display()
    );
}

async fn chain_is_gapless(database: &tokio_postgres::Client) {
    let query = "SELECT box_id::text, epoch, count(*), min(seq), max(seq), \
                 count(*) FILTER (WHERE seq > 1 AND prev_hash IS DISTINCT FROM before) \
                 FROM (SELECT *, lag(hash) OVER (PARTITION BY box_id, epoch ORDER BY seq) AS before FROM sync.records) r \
                 GROUP BY box_id, epoch";
    let chains = database.query(query, &[]).await.unwrap();
    assert_eq!(chains.len(), 1, "one box, one epoch");
    for chain in chains {
        let (count, first, last, broken): (i64, i64, i64, i64) =
            (chain.get(2), chain.get(3), chain.get(4), chain.get(5));
        assert_eq!((first, last, broken), (1, count, 0), "gapless and linked");
    }
}

/// Plates are personal data: the log shows two characters at most.
fn no_plate_in_the_log(log: &str, truth: &[Passage]) {
    for passage in truth {
        assert!(!log.contains(&passage.plate), "the log shows plate {}", passage.plate);
    }
}
