//! Layer 6: the commands of `gtv-edge`, one file each.

pub mod check;
mod discover;
pub mod export;
mod pipelines;
pub mod read;
mod ready;
mod run;
pub mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::base::log;
use crate::config::{self, ConfigError, Loaded};

const DEFAULT_CONFIG: &str = "/etc/gtv-edge/config.toml";

#[derive(Debug, Parser)]
#[command(name = "gtv-edge", version, about = "GT-Vision edge box: records cameras, reads plates, syncs to the centre")]
struct Cli {
    /// Configuration file [default: /etc/gtv-edge/config.toml, or the built-in defaults where that does not exist]
    #[arg(long, global = true, env = "GTV_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the box until it is told to stop.
    Run(run::Args),
    /// Verifies the configuration, the database and the files of a box against their invariants.
    Check(check::CheckArgs),
    /// Finds ONVIF cameras on the network, and adds them on request.
    Discover(discover::Args),
    /// Writes a span of a recording as MP4, with a manifest that the box signs.
    Export(export::ExportArgs),
    /// Says what was altered in an exported file, if anything.
    Verify(verify::VerifyArgs),
    /// Reads the plates in still images.
    Read(read::ReadArgs),
    /// Asks the running daemon whether it makes progress: exit code 0 when ready. For update and health checks.
    Ready(ready::Args),
}

/// The entry point of the binary.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let loaded = match load(cli.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(config::EXIT_CONFIG);
        }
    };
    // Answers for people and programs go to standard output; a short command logs only what went wrong.
    let filter = if cli.command.is_daemon() { loaded.config.log.filter.as_str() } else { "warn" };
    if let Err(error) = log::init(filter, loaded.config.log.format) {
        eprintln!("error: log.filter: {error}; write it as in RUST_LOG, for example \"info,gtv_edge::sync=debug\"");
        return ExitCode::from(config::EXIT_CONFIG);
    }
    // TLS of every client: the one provider that is built in.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    run(cli, loaded).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: Cli, loaded: Loaded) -> anyhow::Result<ExitCode> {
    let config = &loaded.config;
    match cli.command {
        Command::Run(args) => run::main(&args, cli.config.unwrap_or_else(|| DEFAULT_CONFIG.into()), loaded),
        Command::Check(args) => {
            check::yield_to_others();
            let checked = check::run(config, args.options());
            Ok(ExitCode::from(check::report(&checked, args.json, &mut std::io::stdout().lock())?))
        }
        Command::Discover(args) => discover::main(&args, &loaded),
        Command::Export(args) => {
            for path in runtime()?.block_on(export::run(config, &args))? {
                println!("{}", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify(args) => verify::run(&args, &mut std::io::stdout().lock()),
        Command::Read(args) => read::run(&config.lpr, &args),
        Command::Ready(args) => ready::main(&args, config),
    }
}

impl Command {
    fn is_daemon(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

/// A file that was named must exist; without one, a machine that was never configured runs on the defaults.
fn load(named: Option<&Path>) -> Result<Loaded, ConfigError> {
    match named {
        Some(path) => config::load(path),
        None if Path::new(DEFAULT_CONFIG).exists() => config::load(Path::new(DEFAULT_CONFIG)),
        None => Ok(config::defaults()),
    }
}

/// The runtime of the short commands.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
