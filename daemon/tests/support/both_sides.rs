//! What a box has and what the centre has of it, as texts by kind of record: each thing once on either side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use gtv_edge::base::identity::Identity;
use rusqlite::{Connection, OpenFlags};
use tokio_postgres::{Client, NoTls};

use super::edge::Edge;

/// What waits is delivered within this once everything runs again.
const DELIVERY: Duration = Duration::from_secs(180);

/// Kind, what the box has of it, what the centre has of it.
const KINDS: [(&str, &str, &str); 6] = [
    (
        "detection",
        "SELECT lower(hex(id)) FROM detections",
        "SELECT replace(id::text, '-', '') FROM ai.detections WHERE box_id = $1",
    ),
    (
        "alert",
        "SELECT replace(id, '-', '') FROM alerts",
        "SELECT replace(id, '-', '') FROM ai.alerts WHERE box_id = $1",
    ),
    (
        "clip",
        "SELECT lower(hex(id)) FROM detections WHERE clip IS NOT NULL OR clip_unavailable IS NOT NULL",
        "SELECT replace(detection_id::text, '-', '') FROM streaming.clips
         WHERE detection_id IS NOT NULL AND box_id = $1",
    ),
    (
        "recording",
        "SELECT concat_ws(' ', camera, stream, start, \"end\", bytes, frames, sha256) FROM segments WHERE closed = 1",
        "SELECT concat_ws(' ', camera, stream, (extract(epoch FROM started_at) * 1000000)::bigint,
                          (extract(epoch FROM ended_at) * 1000000)::bigint, bytes, frames, sha256)
         FROM streaming.recordings WHERE box_id = $1",
    ),
    (
        "video of a recording",
        "SELECT concat_ws(' ', camera, stream, start, bytes, sha256) FROM segments WHERE closed = 1",
        "SELECT concat_ws(' ', camera, stream, (extract(epoch FROM started_at) * 1000000)::bigint, bytes, sha256)
         FROM streaming.clips WHERE detection_id IS NULL AND box_id = $1",
    ),
    (
        "coverage",
        "SELECT concat_ws(' ', camera, stream, hour, expected_us, stored_us) FROM coverage
         WHERE closed = 1 AND expected_us > 0",
        "SELECT concat_ws(' ', camera, stream, (extract(epoch FROM started_at) * 1000000)::bigint, expected_us,
                          stored_us)
         FROM streaming.coverage WHERE box_id = $1",
    ),
];

/// What one of the two sides has, by kind.
pub type Things = BTreeMap<&'static str, BTreeSet<String>>;

/// Of the box whose data folder this is, also beside a running daemon.
pub fn of_the_box(data_dir: &Path) -> Things {
    let database = database(data_dir);
    KINDS.iter().map(|(kind, sql, _)| (*kind, once(kind, column(&database, sql)))).collect()
}

/// Of the same box at the centre.
pub async fn of_the_centre(data_dir: &Path, sql: &Client) -> Things {
    let box_id = Identity::open_or_create(data_dir).unwrap().box_id.0;
    let mut things = Things::new();
    for (kind, _, query) in KINDS {
        let rows = sql.query(query, &[&box_id]).await.unwrap();
        things.insert(kind, once(kind, rows.iter().map(|row| row.get(0)).collect()));
    }
    things
}

/// A box of which the rule takes all recordings has everything delivered; compares and returns what there is.
pub async fn are_the_same(edge: &Edge, database_url: &str) -> Things {
    let (sql, connection) = tokio_postgres::connect(database_url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let here = of_the_box(&edge.data_dir());
    let there = of_the_centre(&edge.data_dir(), &sql).await;
    for (kind, things) in &here {
        assert_eq!(&there[kind], things, "{kind}: the centre holds exactly what the box has\n{}", edge.log());
    }
    here
}

/// Until nothing is owed, the video of the recordings included.
pub async fn wait_until_delivered(edge: &Edge) {
    let owed = "SELECT (SELECT count(*) FROM outbox WHERE seq IS NULL OR seq > (
                    SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM state WHERE key = 'sync.acked_seq'))
                + (SELECT count(*) FROM segments s WHERE NOT EXISTS (
                    SELECT 1 FROM outbox_objects x WHERE x.sha256 = s.sha256))";
    let deadline = Instant::now() + DELIVERY;
    let mut quiet = 0;
    while quiet < 5 {
        let owed: i64 = database(&edge.data_dir()).query_one(owed, [], |row| row.get(0)).unwrap();
        quiet = if owed == 0 { quiet + 1 } else { 0 };
        assert!(Instant::now() < deadline, "{owed} records are still owed:\n{}", edge.log());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn database(data_dir: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(data_dir.join("gtv.db"), flags).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    database
}

fn column(database: &Connection, sql: &str) -> Vec<String> {
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn once(kind: &str, all: Vec<String>) -> BTreeSet<String> {
    let (count, set) = (all.len(), BTreeSet::from_iter(all));
    assert_eq!(count, set.len(), "{kind}: something is there twice");
    set
}
