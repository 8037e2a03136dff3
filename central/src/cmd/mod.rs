//! Subcommands. Exit codes: 0 done, 1 the audit found something, 2 wrong usage, 70 failed.

mod audit;
mod enrol;
mod migrate;
mod provision;
mod serve;
mod token;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

const FAILED: u8 = 70;

/// GT-Vision central sync service
#[derive(Parser)]
#[command(name = "gtv-sync", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take what the boxes send (migrates and provisions first)
    Serve(Box<crate::settings::ServeArgs>),
    /// Bring the database schema up to date and exit
    Migrate(crate::settings::DatabaseArgs),
    /// Create the buckets and ask for versioning, expiry and encryption
    Provision(crate::settings::S3Args),
    /// Register a box or make a one-time enrolment code
    Enrol(enrol::EnrolArgs),
    /// Verify chains, signatures, rows and objects; name what is missing, altered, duplicated or reordered
    Audit(Box<audit::AuditArgs>),
    /// Issue a token for the read API
    Token(token::TokenArgs),
    /// Let a token of the read API count no more
    Revoke(token::RevokeArgs),
}

pub fn main(cli: Cli) -> ExitCode {
    crate::log::init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            tracing::error!("cannot start the runtime: {e}");
            return ExitCode::from(FAILED);
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(&args).await,
            Command::Migrate(args) => migrate::run(&args).await,
            Command::Provision(args) => provision::run(&args).await,
            Command::Enrol(args) => enrol::run(&args).await,
            Command::Audit(args) => audit::run(&args).await,
            Command::Token(args) => token::run(&args),
            Command::Revoke(args) => token::revoke(&args).await,
        }
    });
    result.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::from(FAILED)
    })
}
