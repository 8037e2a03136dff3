//! `gtv-edge read`: plates in still images, one line or one JSON object each.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use crate::config::LprConfig;
use crate::lpr::{Precision, StillPlate, StillRead, StillReader};

#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    /// One JSON object a line: {"file", "ms", "plates": [{"text", "box", "quad", "confidence", "layout",
    /// "category", "alternatives"}]}; `ms` is the time from the decoded picture to the texts
    #[arg(long)]
    pub json: bool,
    /// The models, instead of those that the configuration names
    #[arg(long, value_name = "MANIFEST")]
    pub models: Option<PathBuf>,
    /// Which file of a model that has two
    #[arg(long, value_name = "PRECISION", default_value = "fp32")]
    pub precision: Precision,
    /// Cores that work on an image, instead of `lpr.threads`
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<usize>,
    /// JPEG, PNG, BMP or WebP files
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    ms: f64,
    plates: &'a [StillPlate],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Images that cannot be read do not keep the others away; the exit code is 1 then.
pub fn run(config: &LprConfig, args: &ReadArgs) -> anyhow::Result<ExitCode> {
    let mut config = config.clone();
    if let Some(models) = &args.models {
        config.manifest.clone_from(models);
    }
    if let Some(threads) = args.threads {
        config.threads = threads;
    }
    let mut reader = StillReader::open(&config, args.precision).context("the plate reader cannot start")?;
    let mut out = std::io::stdout().lock();
    let mut failed = false;
    for image in &args.images {
        let result = reader.read_file(image);
        failed |= result.is_err();
        let file = image.to_string_lossy();
        let (StillRead { plates, ms }, error) = match result {
            Ok(read) => (read, None),
            Err(error) => (StillRead::default(), Some(error.to_string())),
        };
        if let Some(error) = &error {
            eprintln!("{error}");
        }
        if args.json {
            let line = serde_json::to_string(&Line { file: &file, ms, plates: &plates, error })?;
            writeln!(out, "{line}")?;
        } else {
            write_text(&mut out, &file, &plates)?;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn write_text(out: &mut impl Write, file: &str, plates: &[StillPlate]) -> std::io::Result<()> {
    if plates.is_empty() {
        return writeln!(out, "{file}: no plate");
    }
    for plate in plates {
        let [x1, y1, x2, y2] = plate.bounds;
        write!(out, "{file}: {} {:.0} % {}", plate.text, plate.confidence * 100.0, plate.layout)?;
        write!(out, " at {x1:.0},{y1:.0}-{x2:.0},{y2:.0}")?;
        let others: Vec<String> =
            plate.alternatives.iter().map(|a| format!("{} {:.0} %", a.text, a.p * 100.0)).collect();
        let or = if others.is_empty() { String::new() } else { format!(" (or {})", others.join(", ")) };
        writeln!(out, "{or}")?;
    }
    Ok(())
}
