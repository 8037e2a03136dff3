//! Stream logins: who may read which cameras by RTSP.

use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use super::rows::StreamLoginRow;
use super::sql::{Json, Text};
use super::{Store, StoreError};
use crate::base::secret::Secret;

/// A city has a handful of systems that read its cameras.
pub const STREAM_LOGINS_MAX: usize = 100;

const COLUMNS: &str = "id, name, cameras, proof, created_at, created_by";

impl Store {
    pub async fn create_stream_login(&self, login: StreamLoginRow) -> Result<(), StoreError> {
        self.write("add a stream login", move |tx| {
            let count: i64 =
                tx.prepare_cached("SELECT count(*) FROM stream_logins")?.query_one([], |row| row.get(0))?;
            if count as usize >= STREAM_LOGINS_MAX {
                let remedy =
                    format!("a box keeps at most {STREAM_LOGINS_MAX}: remove those that are not needed any more");
                return Err(StoreError::conflict("stream logins", remedy));
            }
            tx.prepare_cached("INSERT INTO stream_logins VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                Text(login.id),
                login.name,
                login.cameras.map(Json),
                login.proof.expose(),
                login.created_at,
                login.created_by
            ])?;
            Ok(())
        })
        .await
    }

    /// Takes a login away and returns what it was; `None` where there is no such login.
    pub async fn delete_stream_login(&self, id: Uuid) -> Result<Option<StreamLoginRow>, StoreError> {
        self.write("remove a stream login", move |tx| {
            let login = tx
                .prepare_cached(&format!("DELETE FROM stream_logins WHERE id = ?1 RETURNING {COLUMNS}"))?
                .query_one([Text(id)], read)
                .optional()?;
            Ok(login)
        })
        .await
    }

    /// In the order of their names.
    pub async fn stream_logins(&self) -> Result<Vec<StreamLoginRow>, StoreError> {
        self.read("list stream logins", |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM stream_logins ORDER BY name"))?;
            let rows = statement.query_map([], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub async fn stream_login(&self, name: &str) -> Result<Option<StreamLoginRow>, StoreError> {
        let name = name.to_owned();
        self.read("find a stream login", move |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM stream_logins WHERE name = ?1"))?;
            Ok(statement.query_one([name], read).optional()?)
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<StreamLoginRow> {
    Ok(StreamLoginRow {
        id: row.get::<_, Text<Uuid>>(0)?.0,
        name: row.get(1)?,
        cameras: row.get::<_, Option<Json<_>>>(2)?.map(|Json(cameras)| cameras),
        proof: Secret::new(row.get::<_, String>(3)?),
        created_at: row.get(4)?,
        created_by: row.get(5)?,
    })
}
