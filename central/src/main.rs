//! Entry point of `gtv-sync`.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    gtv_sync::cmd::main(gtv_sync::cmd::Cli::parse())
}
