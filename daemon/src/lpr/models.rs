//! Detector and reader as one set, and the pool that cameras take turns on.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::detect::Detector;
use super::error::LprError;
use super::manifest::Manifest;
use super::precision::{self, Choice, Precision};
use super::read::Reader;
use super::session::{Model, Options, Provider, Skipped, library_in_use};
use crate::config::LprConfig;

pub struct Models {
    pub detector: Detector,
    pub reader: Reader,
    chosen: (Choice, Choice),
}

/// A loaded model, for people.
#[derive(Clone, Debug, Serialize)]
pub struct ModelStatus {
    pub file: PathBuf,
    pub contract: &'static str,
    pub provider: Provider,
    /// Of the file in use, and how the two files compare on this machine.
    #[serde(flatten)]
    pub choice: Choice,
    /// Providers tried before, and why each was not used.
    pub skipped: Vec<Skipped>,
}

/// What runs where.
#[derive(Clone, Debug, Serialize)]
pub struct ModelsStatus {
    pub manifest: PathBuf,
    pub library: PathBuf,
    pub detector: ModelStatus,
    pub reader: ModelStatus,
}

impl Models {
    /// `count` equal sets. `threads`: inside one run of a model. `forced`: which of a model's files to load; otherwise
    /// the faster one, measured once.
    pub fn open_sets(
        config: &LprConfig,
        threads: usize,
        count: usize,
        forced: Option<Precision>,
    ) -> Result<Vec<Self>, LprError> {
        let mut manifest = Manifest::load(&find_manifest(&config.manifest))?;
        let options = Options { library: config.ort_dylib.clone(), provider: config.provider, threads };
        let chosen = precision::choose(&mut manifest, &options, forced)?;
        let open = || {
            let (detector, reader) = (Detector::open(&manifest, &options)?, Reader::open(&manifest, &options)?);
            Ok(Self { detector, reader, chosen })
        };
        (0..count).map(|_| open()).collect()
    }

    pub fn status(&self, config: &LprConfig) -> ModelsStatus {
        let of = |model: &Model, contract, choice| ModelStatus {
            file: model.file().to_owned(),
            contract,
            provider: model.provider(),
            choice,
            skipped: model.skipped().to_vec(),
        };
        ModelsStatus {
            manifest: find_manifest(&config.manifest),
            library: library_in_use().map(Path::to_owned).unwrap_or_default(),
            detector: of(self.detector.model(), self.detector.contract().name(), self.chosen.0),
            reader: of(self.reader.model(), self.reader.contract().name(), self.chosen.1),
        }
    }
}

/// The configured manifest, or, where the default is not installed, the one of the source tree the binary was built
/// in: a developer's build works without a configuration.
fn find_manifest(configured: &Path) -> PathBuf {
    if configured.exists() || *configured != LprConfig::default().manifest {
        return configured.to_owned();
    }
    let executable = std::env::current_exe().unwrap_or_default();
    let near = executable.ancestors().skip(1).map(|folder| folder.join("models/manifest.toml"));
    near.chain([PathBuf::from("models/manifest.toml")])
        .find(|path| path.exists())
        .unwrap_or_else(|| configured.to_owned())
}

#[derive(Default)]
struct Turns {
    idle: Vec<Models>,
    /// Waiting cameras in the order they came; each waits for one frame at most, so this is round-robin.
    waiting: VecDeque<u64>,
    issued: u64,
}

/// Sets of models that cameras borrow for one frame, first come first served.
#[derive(Default)]
pub struct Pool {
    turns: Mutex<Turns>,
    changed: Condvar,
}

impl Pool {
    pub fn add(&self, models: Models) {
        self.lock().idle.push(models);
        self.changed.notify_all();
    }

    /// Waits for a set until `deadline`; `None` when it is not this one's turn by then.
    pub fn borrow(self: &Arc<Self>, deadline: Instant) -> Option<Borrowed> {
        let mut turns = self.lock();
        turns.issued += 1;
        let ticket = turns.issued;
        turns.waiting.push_back(ticket);
        loop {
            if turns.waiting.front() == Some(&ticket)
                && let Some(models) = turns.idle.pop()
            {
                turns.waiting.pop_front();
                drop(turns);
                self.changed.notify_all();
                return Some(Borrowed { pool: Arc::clone(self), models: Some(models) });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                turns.waiting.retain(|t| *t != ticket);
                drop(turns);
                self.changed.notify_all();
                return None;
            }
            turns = self.changed.wait_timeout(turns, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes back to the pool when dropped, also where the work on it panicked.
pub struct Borrowed {
    pool: Arc<Pool>,
    models: Option<Models>,
}

impl Deref for Borrowed {
    type Target = Models;

    fn deref(&self) -> &Models {
        self.models.as_ref().expect("present until dropped")
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut Models {
        self.models.as_mut().expect("present until dropped")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(models) = self.models.take() {
            self.pool.add(models);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_empty_pool_gives_up_at_the_deadline() {
        let pool = Arc::new(Pool::default());
        assert!(pool.borrow(Instant::now() + Duration::from_millis(5)).is_none());
        assert!(pool.lock().waiting.is_empty());
    }

    #[test]
    fn only_the_default_manifest_is_searched_for() {
        let named = Path::new("/nowhere/manifest.toml");
        assert_eq!(find_manifest(named), named);
    }
}
