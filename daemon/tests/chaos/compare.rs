//! The end of the chaos test: what the boxes have and what the centre has of them. What is missing there is exactly what
//! tombstones and lost declarations name, and the audit counts the same.

use std::collections::{BTreeMap, BTreeSet};

use gtv_edge::base::time::UtcMicros;
use gtv_protocol::body::HOUR_US;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Client;

use super::one_box::OneBox;
use super::stage::Stage;
use crate::support::both_sides::{Things, of_the_box, of_the_centre};

/// Of both boxes.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    pub passages: u64,
    pub alerts: u64,
    pub clips: u64,
    /// Objects that went in parts.
    pub large_objects: u64,
    pub evicted_records: u64,
    pub tombstones: u64,
    /// Objects that the centre was told not to wait for: evicted, gone or damaged.
    pub lost_objects: u64,
    pub evicted_objects: u64,
    /// Of them, those whose upload had reached the object store after all.
    pub found_objects: u64,
    pub refused_by_full_disk: u64,
}

pub async fn both_sides(stage: &Stage) -> Totals {
    let sql = stage.sql().await;
    let (status, text) = stage.center.command(&["audit", "--objects", "--json"]);
    assert!(status.success(), "audit: {text}");
    let audit: Value = serde_json::from_str(text.trim()).expect("the audit's report");
    let mut totals = Totals { found_objects: audit["objects_found"].as_u64().expect("a number"), ..Totals::default() };
    for one in &stage.boxes {
        let mut here = of_the_box(&one.data());
        let there = of_the_centre(&one.data(), &sql).await;
        let kept: BTreeSet<String> = one.said().kept.iter().map(|id| id.replace('-', "")).collect();
        let gone: Vec<&String> = kept.difference(&here["detection"]).collect();
        assert_eq!(gone, Vec::<&String>::new(), "box {}: kept, and gone from the box", one.name);
        assert!(kept.len() > 5, "box {}: only {} passages", one.name, kept.len());
        totals.passages += here["detection"].len() as u64;
        totals.alerts += here["alert"].len() as u64;
        totals.clips += here["clip"].len() as u64;
        totals.large_objects += one.ask("SELECT count(*) FROM objects WHERE bytes > 8388608");
        totals.refused_by_full_disk += one.said().refused;
        let evicted = Evicted::of(one);
        for (kind, thing) in &evicted.things {
            assert!(here.get_mut(kind.as_str()).is_some_and(|of| of.remove(thing)), "{kind} {thing} went, unknown");
        }
        same(one, &here, &there);
        totals.tombstones += tombstones(one, &evicted, &sql).await;
        totals.evicted_records += evicted.made_at.len() as u64;
        let lost = lost_objects(one, &sql).await;
        totals.lost_objects += lost.namings;
        totals.evicted_objects += lost.evicted;
        hours(one, &evicted, &lost, &audit);
    }
    let lost = audit["objects_lost"].as_u64().expect("a number") + totals.found_objects;
    let told = "SELECT count(*) FROM sync.objects WHERE checked = 'lost'";
    assert_eq!(lost, count(&sql, told).await, "the audit looked for every object that was told to be lost");
    let broken = "SELECT count(*) FROM (
            SELECT seq, prev_hash, lag(hash) OVER w AS before, row_number() OVER w AS n
            FROM sync.records WINDOW w AS (PARTITION BY box_id, epoch ORDER BY seq)) r
        WHERE seq <> n OR before IS NOT NULL AND before <> prev_hash";
    assert_eq!(count(&sql, broken).await, 0, "a chain is broken");
    let boxes = stage.boxes.len() as u64 + u64::from(stage.recorder.is_some());
    assert_eq!(count(&sql, "SELECT count(*) FROM sync.chains").await, boxes, "none of this needs a new epoch");
    totals
}

async fn count(sql: &Client, query: &str) -> u64 {
    sql.query_one(query, &[]).await.unwrap().get::<_, i64>(0).cast_unsigned()
}

fn same(one: &OneBox, here: &Things, there: &Things) {
    let nothing = Vec::<&String>::new();
    for (kind, here) in here {
        let there = &there[kind];
        let name = one.name;
        assert_eq!(there.difference(here).collect::<Vec<_>>(), nothing, "box {name}: {kind}s that nobody saw, or went");
        assert_eq!(here.difference(there).collect::<Vec<_>>(), nothing, "box {name}: {kind}s that did not arrive");
    }
}

/// Records that went before they were delivered, by the witness in the box's own database.
struct Evicted {
    things: Vec<(String, String)>,
    made_at: Vec<i64>,
}

impl Evicted {
    fn of(one: &OneBox) -> Self {
        let database = one.database();
        let mut statement = database.prepare("SELECT kind, thing, created_at FROM chaos_gone").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?))).unwrap();
        let mut all = Self { things: Vec::new(), made_at: Vec::new() };
        for row in rows {
            let (kind, thing, made_at) = row.unwrap();
            all.things.push((kind, thing.replace('-', "")));
            all.made_at.push(made_at);
        }
        assert!(one.limits.is_some() || all.things.is_empty(), "box {} has room for everything", one.name);
        all
    }
}

/// The tombstones name as many as went, and every one of them lies in the time of one.
async fn tombstones(one: &OneBox, evicted: &Evicted, sql: &Client) -> u64 {
    let query = "SELECT what, reason, (extract(epoch FROM started_at) * 1000000)::bigint,
                        (extract(epoch FROM ended_at) * 1000000)::bigint FROM streaming.tombstones WHERE box_id = $1";
    let rows = sql.query(query, &[&one.id]).await.unwrap();
    let (mut named, mut spans) = (0, Vec::new());
    for row in &rows {
        let (what, reason): (&str, &str) = (row.get(0), row.get(1));
        assert_eq!(what, "records", "{reason}");
        named += reason.split(' ').next().and_then(|count| count.parse::<usize>().ok()).expect("how many went");
        spans.push(row.get::<_, i64>(2)..=row.get::<_, i64>(3));
    }
    assert_eq!(named, evicted.made_at.len(), "box {}: the tombstones name as many as went", one.name);
    for made_at in &evicted.made_at {
        assert!(spans.iter().any(|span| span.contains(made_at)), "box {}: no tombstone for {made_at}", one.name);
    }
    rows.len() as u64
}

struct Lost {
    /// (record, object) of what was delivered without the object.
    namings: u64,
    evicted: u64,
}

/// What the centre was told to be lost is what the box lost, for a reason that the test knows of.
async fn lost_objects(one: &OneBox, sql: &Client) -> Lost {
    let query = "SELECT encode(sha256, 'hex'), coalesce(reason, '') FROM sync.objects
                 WHERE box_id = $1 AND checked = 'lost'";
    let told: BTreeMap<String, String> =
        sql.query(query, &[&one.id]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let damaged = one.said().damaged;
    let mut evicted = 0;
    for (sha256, reason) in &told {
        let went = one.limits.is_some() && reason.contains("sync.spool_max");
        assert!(went || damaged.contains(sha256), "box {}: {sha256} is not lost: {reason}", one.name);
        evicted += u64::from(went);
    }
    let query = "SELECT encode(s.sha256, 'hex'), s.checked FROM sync.objects s WHERE s.box_id = $1";
    let known: BTreeMap<String, String> =
        sql.query(query, &[&one.id]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let database = one.database();
    let mut statement = database.prepare("SELECT sha256 FROM objects WHERE lost IS NOT NULL").unwrap();
    let lost: BTreeSet<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for sha256 in &lost {
        // Of records that went themselves nothing is known there; content that had arrived before is not lost.
        let checked = known.get(sha256).map(String::as_str);
        assert!(checked.is_none_or(|how| how == "lost" || how == "content"), "box {}: {sha256} {checked:?}", one.name);
    }
    let query = "SELECT count(*) FROM sync.records r, jsonb_array_elements(r.objects) n
                 JOIN sync.objects s ON s.bucket = n->>'bucket' AND s.key = n->>'key'
                 WHERE r.box_id = $1 AND s.checked = 'lost'";
    let namings: i64 = sql.query_one(query, &[&one.id]).await.unwrap().get(0);
    Lost { namings: namings.cast_unsigned(), evicted }
}

/// Each hour of the box adds up in the audit, nothing is awaited, and what is evicted is what went in that hour.
fn hours(one: &OneBox, evicted: &Evicted, lost: &Lost, audit: &Value) {
    let mut went: BTreeMap<i64, u64> = BTreeMap::new();
    for made_at in &evicted.made_at {
        *went.entry(made_at.div_euclid(HOUR_US) * HOUR_US).or_default() += 1;
    }
    let id = one.id.to_string();
    let (mut objects_evicted, mut hours_told) = (0, 0);
    for hour in audit["hours"].as_array().unwrap().iter().filter(|hour| hour["box_id"] == id.as_str()) {
        let start = UtcMicros::parse_rfc3339(hour["hour"].as_str().unwrap()).unwrap().0;
        for what in ["records", "objects"] {
            let of = |key: &str| hour[what][key].as_u64();
            let sum = of("held").unwrap() + of("evicted").unwrap();
            assert_eq!(of("expected"), Some(sum), "box {}: {what} of an hour: {hour}", one.name);
            assert_eq!(of("awaited").unwrap() + of("missing").unwrap() + of("altered").unwrap(), 0, "{hour}");
        }
        let records_evicted = hour["records"]["evicted"].as_u64().unwrap();
        assert_eq!(records_evicted, went.remove(&start).unwrap_or(0), "box {}: {hour}", one.name);
        objects_evicted += hour["objects"]["evicted"].as_u64().unwrap();
        hours_told += 1;
    }
    assert!(hours_told > 0, "box {} stated no hour", one.name);
    assert_eq!(went, BTreeMap::new(), "box {}: hours of which the audit knows nothing", one.name);
    let found = audit["objects_found"].as_u64().unwrap();
    let range = lost.namings.saturating_sub(found)..=lost.namings;
    assert!(range.contains(&objects_evicted), "box {}: {objects_evicted} of {range:?} objects", one.name);
}
