//! Pure. The device twin: a desired configuration comes in, a report of what became of it goes out.

use serde::{Deserialize, Serialize};

use crate::config::{Config, Overrides, Problem, parse_overrides_json};

/// Larger documents are refused before they are parsed.
pub const MAX_DESIRED_BYTES: usize = 256 * 1024;

/// What the fleet wants. `config` holds sections as in `overrides.toml`; a section that is absent is left to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Desired {
    version: u64,
    config: serde_json::Value,
}

/// Whether a desired configuration took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Applied,
    Refused,
}

/// What the box answers; retained, so that the fleet sees the last one of each box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The desired version this is about; absent where not even that could be read.
    pub version: Option<u64>,
    pub outcome: Outcome,
    /// Why it was refused; empty when applied.
    pub problems: Vec<Problem>,
    /// Sections that take effect at the next start.
    pub needs_restart: Vec<String>,
    /// RFC 3339.
    pub at: String,
}

impl Report {
    pub fn applied(version: u64, needs_restart: Vec<&'static str>, at: String) -> Self {
        let needs_restart = needs_restart.into_iter().map(str::to_owned).collect();
        Self { version: Some(version), outcome: Outcome::Applied, problems: Vec::new(), needs_restart, at }
    }

    pub fn refused(version: Option<u64>, problems: Vec<Problem>, at: String) -> Self {
        Self { version, outcome: Outcome::Refused, problems, needs_restart: Vec::new(), at }
    }
}

/// A desired document that can be handed to the supervisor.
#[derive(Debug)]
pub struct Wanted {
    pub version: u64,
    pub config: Config,
}

/// Reads a desired document against the configuration of the file. `Err` is version and reasons.
pub fn read_desired(payload: &[u8], file: &Config) -> Result<Wanted, (Option<u64>, Vec<Problem>)> {
    let problem = |key: &str, message: String| vec![Problem { key: key.to_owned(), message }];
    if payload.len() > MAX_DESIRED_BYTES {
        let message = format!("{} bytes: send at most {MAX_DESIRED_BYTES}", payload.len());
        return Err((None, problem("(document)", message)));
    }
    let desired: Desired = serde_json::from_slice(payload).map_err(|error| {
        let message = format!("{error}; send {{\"version\": number, \"config\": {{...}}}}");
        (None, problem("(document)", message))
    })?;
    let version = Some(desired.version);
    let (overrides, problems): (Overrides, _) =
        parse_overrides_json(&desired.config).map_err(|message| (version, problem("config", message)))?;
    if !problems.is_empty() {
        return Err((version, problems));
    }
    Ok(Wanted { version: desired.version, config: overrides.apply(file.clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_whole_sections() {
        let payload = br#"{"version": 3, "config": {"camera": [{"id": "a", "main_url": "rtsp://10.0.0.2/x"}]}}"#;
        let wanted = read_desired(payload, &Config::default()).unwrap();
        assert_eq!(wanted.version, 3);
        assert_eq!(wanted.config.cameras[0].id.as_str(), "a");
    }

    #[test]
    fn refuses_with_every_reason() {
        let payload = br#"{"version": 4, "config": {"lpr": {}, "record": {"segment": 5}, "camera": [{"id": "B"}]}}"#;
        let (version, problems) = read_desired(payload, &Config::default()).unwrap_err();
        let mut keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!((version, keys), (Some(4), vec!["camera[0].id", "lpr", "record.segment"]));
        assert!(read_desired(b"{", &Config::default()).is_err());
        assert!(read_desired(&vec![b' '; MAX_DESIRED_BYTES + 1], &Config::default()).is_err());
        assert!(read_desired(br#"{"version":1,"config":{"box":null}}"#, &Config::default()).is_err());
    }
}
