//! Passages of vehicles: kept with their outbox record and the alerts they raise in one transaction.

use std::sync::Arc;

use gtv_protocol::PlateText;
use gtv_protocol::body::{Alternative, Body, Clip, Detection};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::StoreEvent;
use super::outbox::{self, Lane};
use super::rows::{ClipOutcome, DetectionRow, ObjectRef};
use super::sql::Json;
use super::{Store, StoreError, hits, locks, objects, search};
use crate::base::ids::DetectionId;
use crate::base::time::UtcMicros;

pub(super) const COLUMNS: &str = "d.id, d.camera, d.plate, d.layout, d.confidence, d.alternatives, d.first_seen, d.last_seen, \
    d.best_at, d.quad, d.bbox, d.frame_width, d.frame_height, d.direction, d.reads, d.single, d.crop, d.frame, \
    d.clip, d.clip_unavailable, d.slots, d.category";

impl Store {
    /// Keeps a detection, queues its record and raises what the watchlists have against it; a second call with the same
    /// id changes nothing.
    pub async fn insert_detection(&self, row: DetectionRow) -> Result<(), StoreError> {
        let watch = self.inner.watch.clone();
        self.write("keep a detection", move |tx| {
            if n_of(tx, row.id)?.is_some() {
                return Ok(());
            }
            insert(tx, &row)?;
            let objects: Vec<&ObjectRef> = row.crop.iter().chain(row.frame.iter()).collect();
            objects.iter().try_for_each(|object| outbox::require_object(tx, object))?;
            outbox::put(tx, Lane::Detections, &body(&row)?, &row.id.to_string(), &objects)?;
            let row = Arc::new(row);
            tx.publish(StoreEvent::Detection(row.clone()));
            hits::raise(tx, &watch, &row)?;
            Ok(())
        })
        .await
    }

    pub async fn detection(&self, id: DetectionId) -> Result<Option<DetectionRow>, StoreError> {
        self.read("read a detection", move |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM detections d WHERE d.id = ?1"))?;
            let row = statement.query_one([id], read).optional()?;
            row.map(|row| with_objects(c, row)).transpose()
        })
        .await
    }

    /// Detections that are over since `before` and have no clip yet, oldest first.
    pub async fn awaiting_clip(&self, before: UtcMicros, limit: usize) -> Result<Vec<DetectionRow>, StoreError> {
        self.read("list detections without a clip", move |c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM detections d
                 WHERE d.clip IS NULL AND d.clip_unavailable IS NULL AND d.last_seen < ?1
                 ORDER BY d.last_seen LIMIT ?2"
            ))?;
            let rows = statement.query_map(params![before, limit as i64], read)?;
            rows.map(|row| with_objects(c, row?)).collect()
        })
        .await
    }

    /// Gives a detection its clip, or the reason why it has none, and queues the record; only the first call counts.
    pub async fn attach_clip(&self, id: DetectionId, outcome: ClipOutcome) -> Result<(), StoreError> {
        self.write("attach a clip", move |tx| {
            let mut statement = tx.prepare_cached(
                "SELECT camera, first_seen, last_seen FROM detections
                 WHERE id = ?1 AND clip IS NULL AND clip_unavailable IS NULL",
            )?;
            let found: Option<(String, i64, i64)> =
                statement.query_one([id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).optional()?;
            drop(statement);
            let Some((camera, first_seen, last_seen)) = found else {
                return match n_of(tx, id)? {
                    Some(_) => Ok(()),
                    None => Err(StoreError::not_found(format!("detection {id}"))),
                };
            };
            let mut clip = Clip {
                detection: Some(id.0),
                camera,
                stream: "main".to_owned(),
                start_us: first_seen,
                end_us: last_seen,
                object: None,
                mime: None,
                unavailable: None,
            };
            let object = match outcome {
                ClipOutcome::Stored(stored) => {
                    outbox::require_object(tx, &stored.object)?;
                    clip.stream = stored.stream.to_string();
                    (clip.start_us, clip.end_us) = (stored.start.0, stored.end.0);
                    clip.object = Some(outbox::digest(&stored.object.sha256)?);
                    clip.mime = Some(stored.object.content_type.clone());
                    Some(stored.object)
                }
                ClipOutcome::Unavailable(reason) => {
                    clip.unavailable = Some(outbox::told(&reason));
                    None
                }
            };
            tx.prepare_cached("UPDATE detections SET clip = ?2, clip_unavailable = ?3 WHERE id = ?1")?
                .execute(params![id, object.as_ref().map(|o| &o.sha256), clip.unavailable])?;
            let objects: Vec<&ObjectRef> = object.iter().collect();
            outbox::put(tx, Lane::Bulk, &Body::Clip(clip), &id.to_string(), &objects)?;
            tx.publish(StoreEvent::ClipAttached { detection: id, clip: object });
            Ok(())
        })
        .await
    }

    /// How many there are; for the status page and the tests.
    pub async fn detections_count(&self) -> Result<u64, StoreError> {
        self.read("count detections", |c| {
            let mut statement = c.prepare_cached("SELECT count(*) FROM detections")?;
            Ok(statement.query_one([], |row| super::sql::unsigned(row, 0))?)
        })
        .await
    }

    /// Removes detections older than `time`: their retention is over and no lock holds them. Their objects go by `objects_before`, their
    /// records in the outbox stay until they are delivered.
    pub async fn expire_detections(&self, time: UtcMicros, limit: usize) -> Result<usize, StoreError> {
        self.write("expire detections", move |tx| {
            let mut statement = tx.prepare_cached(&format!(
                "SELECT n, search FROM detections WHERE n < ?1 AND {} ORDER BY n LIMIT ?2",
                locks::PASSAGE_UNLOCKED
            ))?;
            let rows = statement.query_map(params![time, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let old: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
            for (n, words) in &old {
                for key in search::keys(words) {
                    tx.prepare_cached("DELETE FROM detection_words WHERE word = ?1 AND n = ?2")?
                        .execute([key as i64, *n])?;
                }
                tx.prepare_cached("DELETE FROM detections WHERE n = ?1")?.execute([n])?;
                tx.prepare_cached("DELETE FROM detection_trigrams WHERE rowid = ?1")?.execute([n])?;
            }
            Ok(old.len())
        })
        .await
    }
}

pub(super) fn n_of(c: &Connection, id: DetectionId) -> Result<Option<i64>, StoreError> {
    let mut statement = c.prepare_cached("SELECT n FROM detections WHERE id = ?1")?;
    Ok(statement.query_one([id], |row| row.get(0)).optional()?)
}

fn insert(c: &Connection, row: &DetectionRow) -> Result<(), StoreError> {
    let mut taken = c.prepare_cached("SELECT 1 FROM detections WHERE n = ?1")?;
    let mut n = row.best_at.0;
    while taken.exists([n])? {
        n += 1;
    }
    let words = search::words(row.plate.as_str(), &row.alternatives);
    c.prepare_cached(
        "INSERT INTO detections VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
            ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
    )?
    .execute(params![
        n,
        row.id,
        row.camera,
        row.plate,
        row.layout,
        row.confidence,
        Json(&row.alternatives),
        row.first_seen,
        row.last_seen,
        row.best_at,
        Json(&row.quad),
        Json(&row.bbox),
        row.frame_width,
        row.frame_height,
        row.direction,
        row.reads,
        row.single,
        row.crop.as_ref().map(|o| &o.sha256),
        row.frame.as_ref().map(|o| &o.sha256),
        row.clip.as_ref().map(|o| &o.sha256),
        row.clip_unavailable,
        Json(&row.slots),
        words,
        row.category
    ])?;
    c.prepare_cached("INSERT INTO detection_trigrams (rowid, search) VALUES (?1, ?2)")?.execute(params![n, words])?;
    for key in search::keys(&words) {
        c.prepare_cached("INSERT INTO detection_words VALUES (?1, ?2)")?.execute([key as i64, n])?;
    }
    Ok(())
}

fn body(row: &DetectionRow) -> Result<Body, StoreError> {
    let text = |text: &str| PlateText(text.to_owned());
    let hash = |object: &Option<ObjectRef>| object.as_ref().map(|o| outbox::digest(&o.sha256)).transpose();
    Ok(Body::Detection(Detection {
        camera: row.camera.to_string(),
        plate: text(row.plate.as_str()),
        layout: row.layout.clone(),
        category: row.category.clone(),
        confidence: row.confidence,
        alternatives: row.alternatives.iter().map(|(t, p)| Alternative { text: text(t), p: *p }).collect(),
        first_seen_us: row.first_seen.0,
        last_seen_us: row.last_seen.0,
        best_at_us: row.best_at.0,
        quad: row.quad,
        bbox: row.bbox,
        frame_width: row.frame_width,
        frame_height: row.frame_height,
        direction: row.direction.clone(),
        reads: row.reads,
        single: row.single,
        slots: (!row.slots.is_null()).then(|| row.slots.clone()),
        crop: hash(&row.crop)?,
        frame: hash(&row.frame)?,
    }))
}

/// The row with object digests only; [`with_objects`] completes them.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<(DetectionRow, [Option<String>; 3])> {
    let detection = DetectionRow {
        id: row.get(0)?,
        camera: row.get(1)?,
        plate: row.get(2)?,
        layout: row.get(3)?,
        category: row.get(21)?,
        confidence: row.get(4)?,
        alternatives: row.get::<_, Json<_>>(5)?.0,
        first_seen: row.get(6)?,
        last_seen: row.get(7)?,
        best_at: row.get(8)?,
        quad: row.get::<_, Json<_>>(9)?.0,
        bbox: row.get::<_, Json<_>>(10)?.0,
        frame_width: row.get(11)?,
        frame_height: row.get(12)?,
        direction: row.get(13)?,
        reads: row.get(14)?,
        single: row.get(15)?,
        crop: None,
        frame: None,
        clip: None,
        clip_unavailable: row.get(19)?,
        slots: row.get::<_, Json<_>>(20)?.0,
    };
    Ok((detection, [row.get(16)?, row.get(17)?, row.get(18)?]))
}

pub(super) fn with_objects(
    c: &Connection,
    (mut row, digests): (DetectionRow, [Option<String>; 3]),
) -> Result<DetectionRow, StoreError> {
    let object = |digest: &Option<String>| match digest {
        Some(digest) => objects::get(c, digest),
        None => Ok(None),
    };
    let [crop, frame, clip] = &digests;
    (row.crop, row.frame, row.clip) = (object(crop)?, object(frame)?, object(clip)?);
    Ok(row)
}
