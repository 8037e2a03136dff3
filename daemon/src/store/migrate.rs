//! Schema steps. Each runs in a transaction of its own and leaves its number in `user_version`, so a cut between two
//! steps resumes at the next one. A fresh database takes the same steps, so it cannot differ from an upgraded one.

use std::path::Path;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, TransactionBehavior};

use super::error::StoreError;
use super::search;

/// `GTVE`: marks the file as ours.
const APPLICATION_ID: i32 = 0x4754_5645;

/// Never edit a released step: add one.
const STEPS: &[&str] = &[
    include_str!("steps/0001_base.sql"),
    include_str!("steps/0002_recordings.sql"),
    include_str!("steps/0003_detections.sql"),
    include_str!("steps/0004_people.sql"),
    include_str!("steps/0005_detection_category.sql"),
    include_str!("steps/0006_watchlists.sql"),
    include_str!("steps/0007_outbox_hours.sql"),
    include_str!("steps/0008_timeline.sql"),
    include_str!("steps/0009_coverage.sql"),
    include_str!("steps/0010_segment_clocks.sql"),
    include_str!("steps/0011_stream_logins.sql"),
    include_str!("steps/0012_whole_recordings.sql"),
    include_str!("steps/0013_unfinished_uploads.sql"),
    include_str!("steps/0014_spool_bytes.sql"),
    include_str!("steps/0015_objects_end.sql"),
];

/// The newest schema this program knows.
pub(super) const NEWEST: i64 = STEPS.len() as i64;

/// Brings the database to [`NEWEST`]; refuses a newer one and a file of another program.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = verify(connection, path)?;
    add_functions(connection).map_err(|e| StoreError::from(e).during("migrate the schema", path))?;
    for (index, step) in STEPS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        apply(connection, index as i64 + 1, step).map_err(|e| e.during("migrate the schema", path))?;
    }
    Ok(())
}

/// The schema version of the file, after checking that this program may touch it.
pub(super) fn verify(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let place = |e: rusqlite::Error| StoreError::from(e).during("read the schema version", path);
    let found: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0)).map_err(place)?;
    let owner: i32 = connection.pragma_query_value(None, "application_id", |r| r.get(0)).map_err(place)?;
    if owner != APPLICATION_ID && (found != 0 || owner != 0) {
        return Err(StoreError::ForeignFile { path: path.to_owned(), found: owner });
    }
    if found > NEWEST {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known: NEWEST });
    }
    Ok(found)
}

/// What steps need to know of plates: `plate_keys('ABC1234 XYZ9Z99')` is the JSON array of their vehicles' numbers.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("plate_keys", 1, flags, |context| {
        let keys = search::keys(context.get_raw(0).as_str()?);
        Ok(format!("[{}]", keys.iter().map(u64::to_string).collect::<Vec<_>>().join(",")))
    })
}

fn apply(connection: &mut Connection, version: i64, step: &str) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_older_version_becomes_the_fresh_schema() {
        let path = Path::new("memory");
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh, path).unwrap();
        for version in 1..STEPS.len() {
            let mut old = Connection::open_in_memory().unwrap();
            add_functions(&old).unwrap();
            for (index, step) in STEPS[..version].iter().enumerate() {
                apply(&mut old, index as i64 + 1, step).unwrap();
            }
            migrate(&mut old, path).unwrap();
            assert_eq!(schema(&old), schema(&fresh), "upgraded from {version}");
            assert_eq!(verify(&old, path).unwrap(), NEWEST);
        }
        migrate(&mut fresh, path).unwrap();
    }

    #[test]
    fn a_failing_step_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, 1, STEPS[0]).unwrap();
        assert!(apply(&mut connection, 2, "CREATE TABLE half (a); CREATE TABLE half (a);").is_err());
        assert_eq!(verify(&connection, Path::new("memory")).unwrap(), 1);
        assert!(!schema(&connection).iter().any(|line| line.contains("half")));
    }

    #[test]
    fn a_newer_or_foreign_file_is_refused() {
        let path = Path::new("memory");
        let mut newer = Connection::open_in_memory().unwrap();
        migrate(&mut newer, path).unwrap();
        newer.pragma_update(None, "user_version", NEWEST + 1).unwrap();
        let error = migrate(&mut newer, path).unwrap_err().to_string();
        assert!(error.contains("newer one"), "{error}");
        let mut foreign = Connection::open_in_memory().unwrap();
        foreign.pragma_update(None, "application_id", 7).unwrap();
        assert!(matches!(migrate(&mut foreign, path), Err(StoreError::ForeignFile { .. })));
    }
}
