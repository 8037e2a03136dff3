//! A CSV file becomes entries of a watchlist, piece by piece: memory stays small whatever the size of the file, and the
//! writer takes passages in between.

use std::fs::File;
use std::io::BufReader;

use chrono::{Local, NaiveDateTime, TimeZone};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::problem::{HeaderProblem, LineProblem};
use super::sheet::{Line, Lines};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;
use crate::store::{Store, StoreError, WatchEntry};

/// Entries of a piece: about 30 ms of the writer.
const PIECE: usize = 4000;
/// Pieces that may wait for the writer.
const PIECES_WAITING: usize = 2;
/// Bad lines that are named; the others are counted.
const REJECTED_SHOWN: usize = 1000;

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    /// The first of the bad lines.
    pub rejected: Vec<Rejected>,
    /// All of them.
    pub rejected_total: u64,
}

/// A line that cannot be used. What the list had of its plate stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub line: u64,
    pub problem: LineProblem,
}

/// Why an import did not end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("the file cannot be used: {0}")]
    Header(#[from] HeaderProblem),
    #[error("the file cannot be read: {0}; send it again")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the import ended before the file did; send it again")]
    Ended,
}

/// Some lines of the file.
#[derive(Default)]
struct Piece {
    entries: Vec<WatchEntry>,
    rejected: Vec<Rejected>,
    rejected_plates: Vec<Plate>,
}

/// Adds and changes what `file` names; with `replace` the list holds nothing else afterwards, unless no line of the
/// file was good.
pub async fn import(store: &Store, list: Uuid, file: File, replace: bool) -> Result<Summary, ImportError> {
    let (sender, mut pieces) = mpsc::channel(PIECES_WAITING);
    let parser = tokio::task::spawn_blocking(move || parse(file, &sender));
    let number = store.begin_import(list).await?;
    let mut summary = Summary::default();
    let mut good = 0;
    while let Some(Piece { entries, rejected, rejected_plates }) = pieces.recv().await {
        good += entries.len();
        summary.rejected_total += rejected.len() as u64;
        let room = REJECTED_SHOWN.saturating_sub(summary.rejected.len());
        summary.rejected.extend(rejected.into_iter().take(room));
        let done = store.import_entries(list, number, entries, rejected_plates).await?;
        summary.added += done.added;
        summary.changed += done.changed;
    }
    parser.await.map_err(|_| ImportError::Ended)??;
    if replace && good > 0 {
        summary.removed = store.finish_replacing(list, number).await?;
    }
    Ok(summary)
}

fn parse(file: File, sender: &mpsc::Sender<Piece>) -> Result<(), ImportError> {
    let lines = Lines::new(BufReader::new(file), local)?;
    let mut piece = Piece::default();
    for line in lines {
        match line? {
            Line::Entry(entry) => piece.entries.push(entry),
            Line::Bad { line, problem, plate } => {
                piece.rejected.push(Rejected { line, problem });
                piece.rejected_plates.extend(plate);
            }
        }
        if piece.entries.len() + piece.rejected.len() >= PIECE {
            sender.blocking_send(std::mem::take(&mut piece)).map_err(|_| ImportError::Ended)?;
        }
    }
    sender.blocking_send(piece).map_err(|_| ImportError::Ended)
}

/// By the clock on the box's wall.
pub(super) fn local(time: NaiveDateTime) -> Option<UtcMicros> {
    Local.from_local_datetime(&time).earliest().map(|time| UtcMicros(time.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;
    use crate::store::{Severity, WatchlistChange};

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    }

    #[tokio::test]
    async fn a_file_is_merged_or_replaces_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let new = WatchlistChange {
            name: "Stolen".to_owned(),
            severity: Severity::Critical,
            reason: String::new(),
            enabled: true,
        };
        let list = store.create_watchlist(new, "ana").await.unwrap().id;
        let many: Vec<String> = (0..10_000).map(|i| format!("AAA{i:04},x\n")).collect();
        let first = import(&store, list, file(&format!("plate,reason\n{}", many.concat())), false).await.unwrap();
        assert_eq!(first, Summary { added: 10_000, ..Summary::default() });
        let again = import(&store, list, file("plate,reason\nAAA0001,y\nAAA0002,x\nnonsense at all!,z\n"), false).await;
        let again = again.unwrap();
        assert_eq!((again.added, again.changed, again.removed, again.rejected[0].line), (0, 1, 0, 4));
        assert_eq!(store.watch_status().vehicles, 10_000);

        // A bad line keeps what the list has of its plate.
        let replaced = "plate,reason,valid_from\nAAA0001,y,\nAAA0003,x,never\nBBB0001,new,\n";
        let replaced = import(&store, list, file(replaced), true).await.unwrap();
        assert_eq!((replaced.added, replaced.changed, replaced.removed, replaced.rejected_total), (1, 0, 9_998, 1));
        let (left, next) = store.watch_entries(list, None, None, 10).await.unwrap();
        assert_eq!(
            left.iter().map(|entry| entry.plate.as_str()).collect::<Vec<_>>(),
            ["AAA0001", "AAA0003", "BBB0001"]
        );
        assert_eq!((next, store.watch_status().vehicles), (None, 3));

        let wrong = import(&store, list, file("plate\n!\n"), true).await.unwrap();
        assert_eq!((wrong.removed, wrong.rejected_total), (0, 1), "a file of another kind empties no list");
        assert!(matches!(import(&store, list, file("a;b\n"), true).await, Err(ImportError::Header(_))));
        assert_eq!(store.watchlists().await.unwrap()[0].entries, 3);
    }
}
