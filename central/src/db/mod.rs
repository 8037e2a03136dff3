//! PostgreSQL: the pool, and one file per subject. The only place with SQL.

pub mod audit;
pub mod boxes;
pub mod chain;
pub mod commit;
pub mod days;
pub mod detections;
pub mod fleet;
pub mod incidents;
pub mod keys;
pub mod migrate;
pub mod objects;
pub mod outbox;
pub mod plates;
pub mod proofs;
pub mod quarantine;
pub mod read;
pub mod retention;
pub mod rows;
mod standing;
mod typed;

use crate::settings::DatabaseArgs;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest wait for a free connection, and for a new one to be opened.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unanswered bytes on a dead link end the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections of the read API: whatever is asked, batches of the boxes do not wait for it.
const READERS: usize = 4;
/// No statement of the service takes this long on a healthy server; a stuck one must not hold a chain's lock.
const SESSION_OPTIONS: &str =
    "-c statement_timeout=60s -c lock_timeout=20s -c idle_in_transaction_session_timeout=60s -c timezone=UTC";

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("database address: {0}; give --database-url as postgres://user:password@host:port/database")]
    Address(String),
    #[error("{path}: {problem}; give --database-ca-file a PEM file with the server's certificate authority")]
    CaFile { path: String, problem: String },
    #[error("no connection to PostgreSQL: {}; check that it runs and that --database-url reaches it", chain_of(.0))]
    Pool(#[from] deadpool_postgres::PoolError),
    #[error("PostgreSQL: {}", chain_of(.0))]
    Query(#[from] tokio_postgres::Error),
    #[error("migration {name}: {problem}")]
    Migration { name: String, problem: String },
    #[error("{0}")]
    Data(String),
}

impl DbError {
    /// A statement was ended because it took too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Query(error) if error.code() == Some(&SqlState::QUERY_CANCELED))
    }
}

/// `tokio_postgres::Error` shows only its outermost layer; the reason is in its sources.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// The pools; cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    readers: Pool,
    /// One connection for health checks: a busy service is not a dead one.
    probe: Pool,
    days: Arc<days::Days>,
    plates: Arc<plates::Noted>,
}

impl Database {
    /// Prepares the pools; nothing is connected yet.
    pub fn new(args: &DatabaseArgs) -> Result<Self, DbError> {
        let mut config: tokio_postgres::Config =
            args.database_url.parse().map_err(|e: tokio_postgres::Error| DbError::Address(chain_of(&e)))?;
        let options = config.get_options().map_or_else(
            || SESSION_OPTIONS.to_owned(),
            |theirs| format!("{SESSION_OPTIONS} {theirs}"), // The later setting wins.
        );
        config.options(options).application_name("gtv-sync").connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(USER_TIMEOUT);
        let sizes = [args.database_connections.max(2), READERS, 1];
        let pools = match &args.database_ca_file {
            Some(path) => {
                let tls = tls(path)?;
                config.ssl_mode(SslMode::Require);
                sizes.map(|size| pool(&config, tls.clone(), size))
            }
            None if config.get_ssl_mode() == SslMode::Require => {
                return Err(DbError::Address("sslmode=require needs --database-ca-file".to_owned()));
            }
            None => sizes.map(|size| pool(&config, NoTls, size)),
        };
        let [pool, readers, probe] = pools;
        Ok(Self { pool: pool?, readers: readers?, probe: probe?, days: Arc::default(), plates: Arc::default() })
    }

    pub async fn client(&self) -> Result<Object, DbError> {
        Ok(self.pool.get().await?)
    }

    /// A connection for a question of the read API.
    pub async fn reader(&self) -> Result<Object, DbError> {
        Ok(self.readers.get().await?)
    }

    /// Connections for the boxes in use, those at rest, and tasks that wait for one.
    pub fn load(&self) -> (usize, usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.available, status.waiting)
    }

    /// One round trip, for `/readyz`.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.probe.get().await?.simple_query("SELECT 1").await?;
        Ok(())
    }
}

/// Trusts the authority in this PEM file and no other.
fn tls(path: &Path) -> Result<MakeRustlsConnect, DbError> {
    let problem =
        |e: &dyn std::fmt::Display| DbError::CaFile { path: path.display().to_string(), problem: e.to_string() };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| problem(&e))? {
        roots.add(certificate.map_err(|e| problem(&e))?).map_err(|e| problem(&e))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| problem(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(tls))
}

fn pool<T>(config: &tokio_postgres::Config, tls: T, size: usize) -> Result<Pool, DbError>
where
    T: MakeTlsConnect<Socket, Stream: Send + Sync, TlsConnect: Send + Sync + TlsConnect<Socket, Future: Send>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(config.clone(), tls, recycling))
        .max_size(size)
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|e| DbError::Address(e.to_string()))
}

/// A 32-byte column.
pub(crate) fn hash_column(row: &tokio_postgres::Row, column: &str) -> Result<gtv_protocol::Hash, DbError> {
    let bytes: &[u8] = row.try_get(column)?;
    let bytes = bytes.try_into().map_err(|_| {
        DbError::Data(format!("column {column} has {} bytes instead of 32: the row was altered", bytes.len()))
    })?;
    Ok(gtv_protocol::hex_bytes::HexBytes(bytes))
}
