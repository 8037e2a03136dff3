//! Small values that belong to the data and not to the configuration: keys are `part.name`.

use rusqlite::{Connection, OptionalExtension};

use super::{Store, StoreError};

impl Store {
    pub async fn state(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read("read a state value", move |c| get(c, &key)).await
    }

    /// `None` removes the value.
    pub async fn set_state(&self, key: &str, value: Option<String>) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write("keep a state value", move |tx| {
            if let Some(value) = value {
                return set(tx, &key, &value);
            }
            remove(tx, &key)
        })
        .await
    }

    /// Keeps `value` unless there is one already, and returns the one that is kept.
    pub async fn state_or_insert(&self, key: &str, value: String) -> Result<String, StoreError> {
        let key = key.to_owned();
        self.write("keep a first state value", move |tx| {
            tx.prepare_cached("INSERT OR IGNORE INTO state VALUES (?1, ?2)")?.execute([&key, &value])?;
            Ok(get(tx, &key)?.unwrap_or(value))
        })
        .await
    }
}

pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM state WHERE key = ?1")?;
    Ok(statement.query_one([key], |row| row.get(0)).optional()?)
}

pub(super) fn set(connection: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO state VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value")?
        .execute([key, value])?;
    Ok(())
}

pub(super) fn remove(connection: &Connection, key: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM state WHERE key = ?1")?.execute([key])?;
    Ok(())
}
