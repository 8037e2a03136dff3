//! People who may use the page, and their logins (rotating refresh tokens, of which only hashes are kept).

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::rows::{SessionRow, UserRow};
use super::sql::Text;
use super::{Store, StoreError};
use crate::base::time::UtcMicros;

const SETUP_CODE: &str = "setup.code_hash";
const USER: &str = "id, name, password_hash, role, created_at, disabled";
const SESSION: &str = "token_hash, family, user_id, created_at, expires_at, spent_at, client";

/// What became of a refresh token that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Exchanged; the new one is stored. The user as of now.
    Rotated(UserRow),
    /// Not known, expired, or the user is gone or disabled.
    Refused,
    /// It was exchanged before: somebody copied it. Its whole family is ended.
    Reused { user_id: Uuid },
}

impl Store {
    /// The hash of the one-time setup code, while there is no user.
    pub async fn setup_code_hash(&self) -> Result<Option<String>, StoreError> {
        self.state(SETUP_CODE).await
    }

    pub async fn set_setup_code_hash(&self, hash: Option<String>) -> Result<(), StoreError> {
        self.set_state(SETUP_CODE, hash).await
    }

    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        self.read("list users", |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {USER} FROM users ORDER BY name"))?;
            let rows = statement.query_map([], read_user)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub async fn user(&self, id: Uuid) -> Result<Option<UserRow>, StoreError> {
        self.read("read a user", move |c| user(c, id)).await
    }

    /// Names are compared without regard to ASCII case.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        let name = name.to_owned();
        self.read("find a user", move |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {USER} FROM users WHERE name = ?1"))?;
            Ok(statement.query_one([name], read_user).optional()?)
        })
        .await
    }

    /// The first administrator: only while there is nobody, and it uses up the setup code.
    pub async fn create_first_user(&self, user: UserRow) -> Result<(), StoreError> {
        self.write("create the first user", move |tx| {
            if tx.prepare_cached("SELECT 1 FROM users LIMIT 1")?.exists([])? {
                return Err(StoreError::conflict("setup", "this box has been set up already: log in"));
            }
            insert_user(tx, &user)?;
            tx.prepare_cached("DELETE FROM state WHERE key = ?1")?.execute([SETUP_CODE])?;
            Ok(())
        })
        .await
    }

    pub async fn create_user(&self, user: UserRow) -> Result<(), StoreError> {
        self.write("create a user", move |tx| insert_user(tx, &user)).await
    }

    /// Ends all logins of the user too.
    pub async fn set_password_hash(&self, id: Uuid, hash: &str) -> Result<(), StoreError> {
        let hash = hash.to_owned();
        self.write("change a password", move |tx| {
            let changed = tx
                .prepare_cached("UPDATE users SET password_hash = ?2 WHERE id = ?1")?
                .execute(params![Text(id), hash])?;
            end_sessions_of(tx, id)?;
            found(changed, id)
        })
        .await
    }

    pub async fn set_user_role(&self, id: Uuid, role: &str) -> Result<(), StoreError> {
        let role = role.to_owned();
        self.write("change a role", move |tx| {
            let changed =
                tx.prepare_cached("UPDATE users SET role = ?2 WHERE id = ?1")?.execute(params![Text(id), role])?;
            found(changed, id)
        })
        .await
    }

    /// A disabled user cannot log in, and is logged out everywhere.
    pub async fn set_user_disabled(&self, id: Uuid, disabled: bool) -> Result<(), StoreError> {
        self.write("disable or enable a user", move |tx| {
            let changed = tx
                .prepare_cached("UPDATE users SET disabled = ?2 WHERE id = ?1")?
                .execute(params![Text(id), disabled])?;
            if disabled {
                end_sessions_of(tx, id)?;
            }
            found(changed, id)
        })
        .await
    }

    pub async fn delete_user(&self, id: Uuid) -> Result<(), StoreError> {
        self.write("delete a user", move |tx| {
            found(tx.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([Text(id)])?, id)
        })
        .await
    }

    pub async fn create_session(&self, session: SessionRow) -> Result<(), StoreError> {
        self.write("begin a login", move |tx| insert_session(tx, &session)).await
    }

    /// Exchanges the token with this hash for `next` (whose family and user are taken from the old one). A token that
    /// was exchanged before ends its family, unless that was less than `grace_us` ago: two tabs may race.
    pub async fn rotate_session(
        &self,
        token_hash: &str,
        next: SessionRow,
        now: UtcMicros,
        grace_us: i64,
    ) -> Result<Rotation, StoreError> {
        let token_hash = token_hash.to_owned();
        self.write("renew a login", move |tx| {
            let Some(old) = session(tx, &token_hash)? else { return Ok(Rotation::Refused) };
            if old.spent_at.is_some_and(|spent| now.since(spent) > grace_us) {
                tx.prepare_cached("DELETE FROM sessions WHERE family = ?1")?.execute([Text(old.family)])?;
                return Ok(Rotation::Reused { user_id: old.user_id });
            }
            let user = user(tx, old.user_id)?.filter(|user| !user.disabled);
            let Some(user) = user.filter(|_| old.expires_at > now) else { return Ok(Rotation::Refused) };
            tx.prepare_cached("UPDATE sessions SET spent_at = coalesce(spent_at, ?2) WHERE token_hash = ?1")?
                .execute(params![token_hash, now])?;
            insert_session(tx, &SessionRow { family: old.family, user_id: old.user_id, ..next })?;
            tx.prepare_cached("DELETE FROM sessions WHERE expires_at <= ?1")?.execute([now])?;
            Ok(Rotation::Rotated(user))
        })
        .await
    }

    pub async fn session(&self, token_hash: &str) -> Result<Option<SessionRow>, StoreError> {
        let token_hash = token_hash.to_owned();
        self.read("find a login", move |c| session(c, &token_hash)).await
    }

    /// Whether the login that this family is may go on (an access token's question).
    pub async fn session_family_alive(&self, family: Uuid) -> Result<bool, StoreError> {
        self.read("check a login", move |c| {
            Ok(c.prepare_cached("SELECT 1 FROM sessions WHERE family = ?1 LIMIT 1")?.exists([Text(family)])?)
        })
        .await
    }

    /// Logs this login out.
    pub async fn end_session_family(&self, family: Uuid) -> Result<(), StoreError> {
        self.write("end a login", move |tx| {
            tx.prepare_cached("DELETE FROM sessions WHERE family = ?1")?.execute([Text(family)])?;
            Ok(())
        })
        .await
    }

    /// Logs a user out everywhere.
    pub async fn end_sessions(&self, user_id: Uuid) -> Result<(), StoreError> {
        self.write("end all logins of a user", move |tx| end_sessions_of(tx, user_id)).await
    }
}

fn found(changed: usize, id: Uuid) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::not_found(format!("user {id}"))) } else { Ok(()) }
}

fn insert_user(c: &Connection, user: &UserRow) -> Result<(), StoreError> {
    if c.prepare_cached("SELECT 1 FROM users WHERE name = ?1")?.exists([&user.name])? {
        return Err(StoreError::conflict(format!("user {}", user.name), "exists already: choose another name"));
    }
    c.prepare_cached("INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        Text(user.id),
        user.name,
        user.password_hash,
        user.role,
        user.created_at,
        user.disabled
    ])?;
    Ok(())
}

fn insert_session(c: &Connection, session: &SessionRow) -> Result<(), StoreError> {
    c.prepare_cached("INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
        session.token_hash,
        Text(session.family),
        Text(session.user_id),
        session.created_at,
        session.expires_at,
        session.spent_at,
        session.client
    ])?;
    Ok(())
}

fn end_sessions_of(c: &Connection, user_id: Uuid) -> Result<(), StoreError> {
    c.prepare_cached("DELETE FROM sessions WHERE user_id = ?1")?.execute([Text(user_id)])?;
    Ok(())
}

fn user(c: &Connection, id: Uuid) -> Result<Option<UserRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {USER} FROM users WHERE id = ?1"))?;
    Ok(statement.query_one([Text(id)], read_user).optional()?)
}

fn session(c: &Connection, token_hash: &str) -> Result<Option<SessionRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {SESSION} FROM sessions WHERE token_hash = ?1"))?;
    Ok(statement.query_one([token_hash], read_session).optional()?)
}

fn read_user(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        id: row.get::<_, Text<Uuid>>(0)?.0,
        name: row.get(1)?,
        password_hash: row.get(2)?,
        role: row.get(3)?,
        created_at: row.get(4)?,
        disabled: row.get(5)?,
    })
}

fn read_session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        token_hash: row.get(0)?,
        family: row.get::<_, Text<Uuid>>(1)?.0,
        user_id: row.get::<_, Text<Uuid>>(2)?.0,
        created_at: row.get(3)?,
        expires_at: row.get(4)?,
        spent_at: row.get(5)?,
        client: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> UserRow {
        UserRow {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            password_hash: "hash".to_owned(),
            role: "admin".to_owned(),
            created_at: UtcMicros(1),
            disabled: false,
        }
    }

    fn token(hash: &str, user_id: Uuid) -> SessionRow {
        SessionRow {
            token_hash: hash.to_owned(),
            family: Uuid::new_v4(),
            user_id,
            created_at: UtcMicros(0),
            expires_at: UtcMicros(1000),
            spent_at: None,
            client: "test".to_owned(),
        }
    }

    #[tokio::test]
    async fn only_one_first_administrator() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.set_setup_code_hash(Some("code".to_owned())).await.unwrap();
        store.create_first_user(person("Ana")).await.unwrap();
        assert_eq!(store.setup_code_hash().await.unwrap(), None);
        assert!(store.create_first_user(person("Eve")).await.is_err());
        assert!(store.create_user(person("ana")).await.unwrap_err().to_string().contains("another name"));
        assert_eq!(store.user_by_name("ANA").await.unwrap().unwrap().name, "Ana");
    }

    #[tokio::test]
    async fn a_copied_refresh_token_ends_the_login() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let ana = person("ana");
        store.create_user(ana.clone()).await.unwrap();
        store.create_session(token("one", ana.id)).await.unwrap();
        let renew = async |old: &str, new: &str, now: i64| {
            store.rotate_session(old, token(new, Uuid::nil()), UtcMicros(now), 5).await.unwrap()
        };
        assert_eq!(renew("one", "two", 10).await, Rotation::Rotated(ana.clone()));
        assert_eq!(renew("one", "twin", 13).await, Rotation::Rotated(ana.clone()));
        assert_eq!(renew("one", "thief", 20).await, Rotation::Reused { user_id: ana.id });
        assert_eq!(renew("two", "three", 21).await, Rotation::Refused);
        store.create_session(token("late", ana.id)).await.unwrap();
        assert_eq!(renew("late", "later", 1000).await, Rotation::Refused);
    }
}
