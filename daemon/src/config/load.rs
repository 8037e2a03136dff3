//! Reads a configuration and reports every fault at once, each with its key path.

use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{Config, Overrides, validate};

/// The documented default configuration; the daemon starts on it unchanged.
pub const DEFAULT_TOML: &str = include_str!("../../../config.toml");

/// Exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Path of the key, such as `camera[2].main_url`.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("configuration {path}: {source}; give another with --config")]
    Read { path: String, source: std::io::Error },
    #[error("configuration {path} is not TOML: {message}")]
    Syntax { path: String, message: String },
    #[error("configuration {path} has {} fault(s):\n{}", problems.len(), list(problems))]
    Invalid { path: String, problems: Vec<Problem> },
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the file alone says.
    pub file: Config,
    /// What was changed on the box.
    pub overrides: Overrides,
    /// The one over the other: what the box runs on.
    pub config: Config,
}

/// Reads `path`, lays the overrides kept in the data folder over it, and validates the whole.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
    let (file, mut problems) = parse(&text).map_err(|message| ConfigError::Syntax { path: shown.clone(), message })?;
    let overrides = Overrides::read(&file.data_dir).map_err(|error| ConfigError::Syntax {
        path: file.data_dir.join(super::OVERRIDES_FILE).display().to_string(),
        message: error,
    })?;
    let config = overrides.apply(file.clone());
    problems.extend(validate(&config));
    if problems.is_empty() {
        Ok(Loaded { file, overrides, config })
    } else {
        Err(ConfigError::Invalid { path: shown, problems })
    }
}

/// The built-in defaults, for a machine without a configuration file.
pub fn defaults() -> Loaded {
    let config = Config::default();
    Loaded { file: config.clone(), overrides: Overrides::default(), config }
}

/// The configuration in `text`, and every unknown key and wrong value in it. A wrong value reads as its default, so
/// that one fault does not hide the next. `Err` is a syntax error.
pub fn parse(text: &str) -> Result<(Config, Vec<Problem>), String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    parse_table(table)
}

/// As [`parse`] for the sections that can be set from outside, given as JSON (the fleet's desired state).
pub fn parse_overrides_json(json: &serde_json::Value) -> Result<(Overrides, Vec<Problem>), String> {
    let table = Table::try_from(json).map_err(|error| error.to_string())?;
    parse_table(table)
}

fn parse_table<T: DeserializeOwned>(mut table: Table) -> Result<(T, Vec<Problem>), String> {
    let mut problems = Vec::new();
    loop {
        let mut unknown = Vec::new();
        let mut track = serde_path_to_error::Track::new();
        let result = {
            let mut on_unknown = |path: serde_ignored::Path| unknown.push(path.to_string());
            let tracked = serde_path_to_error::Deserializer::new(table.clone(), &mut track);
            T::deserialize(serde_ignored::Deserializer::new(tracked, &mut on_unknown))
        };
        match result {
            Ok(parsed) => {
                problems.extend(unknown.into_iter().map(|path| Problem {
                    key: index_in_brackets(&path),
                    message: "unknown key: remove it, or compare its spelling with config.toml".to_owned(),
                }));
                return Ok((parsed, problems));
            }
            Err(error) => {
                let path = track.path();
                let message = error.message().trim().to_owned();
                if !remove(&mut table, &path) {
                    return Err(format!("{path}: {message}"));
                }
                problems.push(Problem { key: path.to_string(), message });
            }
        }
    }
}

/// `camera.?.0.name` (`?` is an optional section) as `camera[0].name`, the way the other messages have it.
fn index_in_brackets(path: &str) -> String {
    let mut shown = String::new();
    for part in path.split('.').filter(|part| *part != "?") {
        if part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty() {
            shown.extend(["[", part, "]"]);
        } else {
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(part);
        }
    }
    shown
}

/// Removes the value at `path`; false where there is none to remove.
fn remove(table: &mut Table, path: &serde_path_to_error::Path) -> bool {
    use serde_path_to_error::Segment;

    let segments: Vec<&Segment> = path.iter().filter(|s| !matches!(s, Segment::Unknown)).collect();
    let Some((last, parents)) = segments.split_last() else { return false };
    let mut root = Value::Table(std::mem::take(table));
    let mut at = Some(&mut root);
    for segment in parents {
        at = at.and_then(|value| match segment {
            Segment::Map { key } => value.get_mut(key.as_str()),
            Segment::Seq { index } => value.get_mut(*index),
            _ => None,
        });
    }
    let removed = match (last, at) {
        (Segment::Map { key }, Some(Value::Table(inner))) => inner.remove(key.as_str()).is_some(),
        (Segment::Seq { index }, Some(Value::Array(inner))) if *index < inner.len() => {
            inner.remove(*index);
            true
        }
        _ => false,
    };
    if let Value::Table(restored) = root {
        *table = restored;
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_the_default() {
        let (config, problems) = parse(DEFAULT_TOML).unwrap();
        assert_eq!(problems, []);
        assert_eq!(config, Config::default());
        assert_eq!(validate(&config), []);
    }

    #[test]
    fn the_documented_file_names_every_key() {
        let documented: Table = DEFAULT_TOML.parse().unwrap();
        let all = Table::try_from(Config::default()).unwrap();
        for (section, value) in &all {
            let Value::Table(keys) = value else { continue };
            for key in keys.keys() {
                assert!(documented[section].get(key).is_some(), "config.toml lacks {section}.{key}");
            }
        }
    }

    #[test]
    fn all_faults_at_once_with_their_paths() {
        let text = r#"
            colour = "blue"
            [record]
            segment = "soon"
            max_age = 3
            [web]
            listen = "nowhere"
            [[camera]]
            id = "Bad Id"
            nmae = "Gate"
            [[camera]]
            id = "ok"
            transport = "pigeon"
            [[camera.zone]]
            kind = "wach"
            pionts = []
            points = [[0.1], [0.2, 0.3]]
        "#;
        let (_, problems) = parse(text).unwrap();
        let mut keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "camera[0].id",
                "camera[0].nmae",
                "camera[1].transport",
                "camera[1].zone[0].kind",
                "camera[1].zone[0].pionts",
                "camera[1].zone[0].points[0]",
                "colour",
                "record.max_age",
                "record.segment",
                "web.listen"
            ],
            "{problems:?}"
        );
        assert!(parse("= 3").is_err());
    }
}
