//! One function for each parser of bytes from outside. `daemon/fuzz` drives them with cargo-fuzz; the test below runs the
//! committed corpus through them in every build. A panic is the failure; what must hold beyond that is asserted.

use crate::base::time::UtcMicros;
use crate::{alerts, config, live, media, web};

type Target = fn(&[u8]);

/// By the name of the fuzz binary and of the corpus folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("access_unit", media::fuzz::access_unit),
    ("audio", media::fuzz::audio),
    ("config", configuration),
    ("fmp4", media::fuzz::fmp4),
    ("jpeg", media::fuzz::jpeg),
    ("parameter_sets", media::fuzz::parameter_sets),
    ("range", range),
    ("rtp", media::fuzz::rtp),
    ("rtsp", live::rtsp::fuzz_request),
    ("sdp", media::fuzz::sdp),
    ("timeline", media::fuzz::timeline),
    ("url", media::fuzz::url),
    ("wall", media::fuzz::wall),
    ("watchlist", watchlist),
];

/// Runs one input through the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("there is no fuzz target {name}")).1(data);
}

fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok((config, _)) = config::parse(text) {
        config::validate(&config);
    }
}

fn watchlist(data: &[u8]) {
    alerts::fuzz_sheet(data, |time| Some(UtcMicros(time.and_utc().timestamp_micros())));
}

fn range(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    for total in [0, 1, 1000, u64::MAX] {
        if let web::range::Wanted::Part(part) = web::range::parse(Some(&header), total) {
            assert!(part.start < part.end && part.end <= total, "{header:?} of {total}: {part:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpus_passes() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
            let files: Vec<_> = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).collect();
            assert!(!files.is_empty(), "{} is empty", folder.display());
            for file in files {
                let data = fs::read(file.unwrap().path()).unwrap();
                target(&data);
                // Cut off and with each byte changed: cheap neighbours that fuzzers try first.
                for at in (0..data.len()).step_by(data.len() / 64 + 1) {
                    target(&data[..at]);
                    let mut damaged = data.clone();
                    damaged[at] ^= 0x81;
                    target(&damaged);
                }
            }
        }
    }

    #[test]
    fn every_target_has_a_binary() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
        let binaries = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap());
        assert!(binaries.eq(TARGETS.iter().map(|(name, _)| *name)), "fuzz/Cargo.toml lists other targets");
    }
}
