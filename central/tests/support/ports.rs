//! Free ports that stay ours: picked below the range of outgoing connections and held by a lock file, so that a
//! server that is stopped for an outage finds its port free again although other tests run beside it.

use rand::RngExt;
use std::fs::{File, OpenOptions};
use std::net::TcpListener;

/// A port of 127.0.0.1 that no other test takes while this value lives.
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub fn reserve() -> Self {
        let folder = std::env::temp_dir().join("gtv-test-ports");
        std::fs::create_dir_all(&folder)
            .unwrap_or_else(|e| panic!("{}: cannot create: {e}; set TMPDIR to a writable folder", folder.display()));
        for _ in 0..1000 {
            let number = rand::rng().random_range(12_000..32_000);
            let path = folder.join(format!("{number}.lock"));
            let Ok(lock) = OpenOptions::new().create(true).truncate(false).write(true).open(&path) else { continue };
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between 12000 and 32000; stop the servers of earlier test runs");
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}
