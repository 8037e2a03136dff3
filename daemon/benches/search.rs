//! Plate search over many rows. `scripts/bench search` runs it; the last line is one JSON object.
//!
//! The rows are written past the daemon's interface, which would also queue a record each for the centre: columns as a
//! row that came through it has them, words and numbers as `docs/store.md` describes.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{Figures, Plates, changed, passage};
use gtv_edge::base::ids::DetectionId;
use gtv_edge::base::plate::{VehicleKey, other_spelling};
use gtv_edge::store::{DetectionQuery, Matching, Store};
use rusqlite::{Connection, params};
use serde_json::json;

/// Every hundredth plate begins so: a very common part.
const COMMON: &str = "ABC";
const CAMERAS: u64 = 16;
const IN_ONE_TRANSACTION: u64 = 20_000;

#[derive(clap::Parser)]
struct Args {
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Of each kind of question.
    #[arg(long, default_value_t = 200)]
    queries: u64,
    /// Where the rows are kept; a folder that has them already is searched as it is. Absent: a temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args: Args = clap::Parser::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let dir = args.dir.as_deref().unwrap_or(temporary.path());
    let started = Instant::now();
    fill(dir, args.rows, &runtime);
    let fill_s = started.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(dir.join("gtv.db")).map_or(0, |file| file.len());

    let store = Store::open(dir).expect("the filled store");
    let mut kinds = serde_json::Map::new();
    for (name, question) in questions() {
        let mut plates = Plates::new(args.rows);
        let mut figures = Figures::default();
        let mut found = 0;
        // The first ones fill the caches of this kind.
        for n in 0..args.queries + 10 {
            let query = question(&mut plates);
            let started = Instant::now();
            found += runtime.block_on(ask(&store, query, name.starts_with("similar")));
            if n >= 10 {
                figures.add(started.elapsed());
            }
        }
        let mut row = figures.json();
        row["found"] = json!(common::rounded(found as f64 / (args.queries + 10) as f64));
        kinds.insert(name.to_owned(), row);
    }
    let result = json!({
        "rows": args.rows,
        "fill_s": common::rounded(fill_s),
        "database_gb": common::rounded(bytes as f64 / 1e9),
        "ms": kinds,
    });
    println!("{result}");
}

/// One page of 50.
async fn ask(store: &Store, query: DetectionQuery, similar: bool) -> usize {
    if similar {
        return store.similar_detections(query).await.expect("an answer").len();
    }
    store.detection_page(query).await.expect("an answer").rows.len()
}

type Question = fn(&mut Plates) -> DetectionQuery;

fn questions() -> Vec<(&'static str, Question)> {
    vec![
        ("newest", |_| DetectionQuery { limit: 50, ..DetectionQuery::default() }),
        ("plate", |plates| text(plates.next())),
        ("part_of_4", |plates| text(plates.next()[2..6].to_owned())),
        ("part_of_3_letters", |plates| text(plates.next()[..3].to_owned())),
        ("part_of_2", |plates| text(plates.next()[1..3].to_owned())),
        ("common_part", |_| text(COMMON.to_owned())),
        ("common_part_at_one_camera", |plates| {
            let camera = format!("camera-{}", plates.number(CAMERAS)).parse().expect("a camera id");
            DetectionQuery { camera: Some(camera), ..text(COMMON.to_owned()) }
        }),
        ("wildcard_one_unknown", |plates| wildcard(&plates.next(), &[4])),
        ("wildcard_two_apart", |plates| wildcard(&plates.next(), &[1, 4])),
        ("wildcard_common_prefix", |plates| {
            let text = format!("{COMMON}{}*", plates.character(false));
            DetectionQuery { matching: Matching::Wildcard, ..self::text(text) }
        }),
        ("similar", |plates| text(plates.next())),
        ("similar_to_a_misreading", |plates| text(changed(&plates.next(), 2))),
    ]
}

fn text(text: String) -> DetectionQuery {
    DetectionQuery { text: Some(text), limit: 50, ..DetectionQuery::default() }
}

fn wildcard(plate: &str, unknown: &[usize]) -> DetectionQuery {
    let hidden = plate.chars().enumerate().map(|(i, c)| if unknown.contains(&i) { '?' } else { c });
    DetectionQuery { matching: Matching::Wildcard, ..text(hidden.collect()) }
}

fn fill(dir: &Path, rows: u64, runtime: &tokio::runtime::Runtime) {
    let store = Store::open(dir).expect("a store");
    if runtime.block_on(store.detections_count()).expect("a count") >= rows {
        return;
    }
    runtime.block_on(store.insert_detection(passage("AAA0A00", 1))).expect("the row that all are copies of");
    drop(store);
    let connection = Connection::open(dir.join("gtv.db")).expect("the database");
    connection
        .execute_batch(
            "PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;
             CREATE TEMP TABLE copy AS SELECT * FROM detections LIMIT 1;",
        )
        .expect("a copy");
    // Half of the questions look for plates that are there: both use this seed.
    let mut plates = Plates::new(rows);
    let mut n: i64 = 1_700_000_000_000_000;
    for row in 0..rows {
        if row % IN_ONE_TRANSACTION == 0 {
            connection.execute_batch(if row == 0 { "BEGIN" } else { "COMMIT; BEGIN" }).expect("a transaction");
        }
        let mut plate = plates.next();
        if row % 100 == 0 {
            plate.replace_range(..COMMON.len(), COMMON);
        }
        n += 3_000_000;
        insert(&connection, n, &plate, row % CAMERAS).expect("a row");
    }
    connection.execute_batch("COMMIT").expect("a commit");
}

fn insert(c: &Connection, n: i64, plate: &str, camera: u64) -> rusqlite::Result<()> {
    let row = passage(plate, n);
    let mut words: Vec<String> = Vec::new();
    for text in std::iter::once(plate).chain(row.alternatives.iter().map(|(text, _)| text.as_str())) {
        words.extend(std::iter::once(text.to_owned()).chain(other_spelling(text)));
    }
    let search = words.join(" ");
    let json = |value: serde_json::Value| value.to_string();
    c.prepare_cached(
        "UPDATE temp.copy SET n = ?1, id = ?2, plate = ?3, alternatives = ?4, first_seen = ?1, last_seen = ?1,
            best_at = ?1, slots = ?5, search = ?6, camera = ?7, clip_unavailable = 'bench'",
    )?
    .execute(params![
        n,
        DetectionId::new().0.as_bytes(),
        plate,
        json(json!(row.alternatives)),
        json(row.slots),
        search,
        format!("camera-{camera}")
    ])?;
    c.prepare_cached("INSERT INTO detections SELECT * FROM temp.copy")?.execute([])?;
    c.prepare_cached("INSERT INTO detection_trigrams (rowid, search) VALUES (?1, ?2)")?.execute(params![n, search])?;
    let keys: BTreeSet<u64> = words.iter().filter_map(|word| VehicleKey::of(word)).map(|key| key.0).collect();
    for key in keys {
        c.prepare_cached("INSERT INTO detection_words VALUES (?1, ?2)")?.execute([key as i64, n])?;
    }
    Ok(())
}
