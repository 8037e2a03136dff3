//! Reads files to compare them with their digests, no faster than it is told, and leaves the page cache to the recorder.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};

const PIECE: usize = 256 << 10;

/// Counts the bytes read since the start against the rate.
pub(super) struct Pace {
    bytes_per_second: u64,
    started: Instant,
    read: u64,
}

/// Of a file from its first byte to its last.
pub(super) struct Digests {
    pub whole: String,
    /// Of the first bytes, where asked for.
    pub head: Option<[u8; 32]>,
}

impl Pace {
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, started: Instant::now(), read: 0 }
    }

    /// Digests of the file and of its first `head` bytes.
    pub fn digests(&mut self, path: &Path, head: u64) -> io::Result<Digests> {
        let mut file = File::open(path)?;
        let mut whole = Sha256::new();
        let mut first = Sha256::new();
        let mut left = head;
        let mut buffer = vec![0; PIECE];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            let piece = &buffer[..read];
            whole.update(piece);
            let of_head = left.min(read as u64);
            first.update(&piece[..of_head as usize]);
            left -= of_head;
            self.wait(read as u64);
        }
        // What the recorder and the players read is worth more in memory; a file system without the call does no harm.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        let head = (head > 0 && left == 0).then(|| first.finalize().into());
        Ok(Digests { whole: hex::encode(whole.finalize()), head })
    }

    fn wait(&mut self, bytes: u64) {
        self.read += bytes;
        if self.bytes_per_second == 0 {
            return;
        }
        let due = Duration::from_secs_f64(self.read as f64 / self.bytes_per_second as f64);
        std::thread::sleep(due.saturating_sub(self.started.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_no_faster_than_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![7; 3 * PIECE]).unwrap();
        let started = Instant::now();
        let digests = Pace::new(5 * PIECE as u64).digests(&path, 4).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(590), "{:?}", started.elapsed());
        assert_eq!(digests.whole, hex::encode(Sha256::digest(vec![7; 3 * PIECE])));
        assert_eq!(digests.head, Some(Sha256::digest([7; 4]).into()));
        assert!(Pace::new(0).digests(&path, 1 << 30).unwrap().head.is_none(), "shorter than its head");
    }
}
