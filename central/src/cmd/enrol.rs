//! `gtv-sync enrol`: who may connect.

use crate::db::Database;
use crate::settings::DatabaseArgs;
use anyhow::{Context, bail, ensure};
use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};
use gtv_protocol::PublicKey;
use gtv_protocol::hex_bytes::HexBytes;
use std::process::ExitCode;
use uuid::Uuid;

/// Without 0, 1, I, L, O and U, which are misread or spell words.
const CODE_ALPHABET: &[u8; 30] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_LENGTH: usize = 16;

#[derive(Args)]
pub struct EnrolArgs {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Subcommand)]
enum What {
    /// Print a one-time code; the box that presents it first is registered
    Code {
        /// Slug of the prefeitura the box will belong to
        #[arg(long)]
        prefeitura: String,
        #[arg(long, default_value_t = 72)]
        hours: u32,
    },
    /// Register a box by its public key, or replace its key
    Box {
        id: Uuid,
        /// Ed25519 public key, 64 hexadecimal digits
        #[arg(long)]
        public_key: String,
        #[arg(long)]
        prefeitura: String,
        #[arg(long)]
        name: String,
    },
    /// Refuse a box from its next batch on
    Disable { id: Uuid },
    /// Admit a disabled box again
    Enable { id: Uuid },
}

pub async fn run(args: &EnrolArgs) -> anyhow::Result<ExitCode> {
    let db = Database::new(&args.database)?;
    db.migrate().await?;
    match &args.what {
        What::Code { prefeitura, hours } => {
            check_slug(prefeitura)?;
            let code = new_code();
            db.add_enrolment_code(&code, prefeitura, Utc::now() + TimeDelta::hours(i64::from(*hours))).await?;
            println!("{code}");
        }
        What::Box { id, public_key, prefeitura, name } => {
            check_slug(prefeitura)?;
            let key: PublicKey = HexBytes::parse(&public_key.to_ascii_lowercase())
                .context("--public-key must be 64 hexadecimal digits")?;
            db.register_box(*id, &key, prefeitura, name).await?;
            println!("registered box {id} of {prefeitura}");
        }
        What::Disable { id } => switch(&db, *id, false).await?,
        What::Enable { id } => switch(&db, *id, true).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn switch(db: &Database, id: Uuid, enabled: bool) -> anyhow::Result<()> {
    if !db.set_box_enabled(id, enabled).await? {
        bail!("there is no box {id}; `gtv-sync enrol box` registers one");
    }
    println!("box {id} is {}", if enabled { "enabled" } else { "disabled" });
    Ok(())
}

fn check_slug(slug: &str) -> anyhow::Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        (1..=64).contains(&slug.len()) && slug.chars().all(good),
        "--prefeitura {slug:?}: use 1 to 64 of a-z, 0-9 and '-'"
    );
    Ok(())
}

/// About 78 bits from the system's random source.
fn new_code() -> String {
    (0..CODE_LENGTH).map(|_| char::from(CODE_ALPHABET[rand::random_range(0..CODE_ALPHABET.len())])).collect()
}
