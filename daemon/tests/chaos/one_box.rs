//! A box of the chaos test as the test holds it: its process, its disk and its clock, and what it said.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gtv_edge::base::identity::Identity;
use gtv_edge::store::Store;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::box_process::{DIR, DRAIN, LARGE, RECORDS_MAX, SPOOL_MAX, URL};
use super::servers::process::{dying_with_us, folder};

/// What waits at the end is delivered within this.
const DELIVERY: Duration = Duration::from_secs(600);

/// What may wait on a box; beyond it something goes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub spool_bytes: u64,
    pub records: u64,
}

/// What a box said.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Passages that are kept.
    pub kept: BTreeSet<String>,
    /// Objects whose file it took away or the test damaged.
    pub damaged: BTreeSet<String>,
    pub refused: u64,
}

pub struct OneBox {
    pub name: &'static str,
    pub id: Uuid,
    /// Absent: as delivered, so that nothing may ever go.
    pub limits: Option<Limits>,
    folder: tempfile::TempDir,
    shim: PathBuf,
    url: String,
    large: u64,
    control: File,
    running: Option<Child>,
    said: Arc<Mutex<Said>>,
}

impl OneBox {
    pub fn new(name: &'static str, limits: Option<Limits>, shim: &Path, url: String, large: u64) -> Self {
        let folder = folder(&format!("gtv-box-{name}-"));
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let control = File::create_new(folder.path().join("control")).unwrap();
        control.write_all_at(&[0; 16], 0).unwrap();
        let id = Identity::open_or_create(&data).unwrap().box_id.0;
        drop(Store::open(&data).unwrap());
        // The witness of what goes undelivered: SQLite itself, in the transaction in which it goes.
        let witness = "CREATE TABLE chaos_gone (kind TEXT, thing TEXT, created_at INTEGER);
            CREATE TRIGGER chaos_gone AFTER DELETE ON outbox WHEN OLD.seq IS NULL
            BEGIN INSERT INTO chaos_gone VALUES (OLD.kind, OLD.thing, OLD.created_at); END;";
        Connection::open(data.join("gtv.db")).unwrap().execute_batch(witness).unwrap();
        let (shim, said) = (shim.to_owned(), Arc::default());
        Self { name, id, limits, folder, shim, url, large, control, running: None, said }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn start(&mut self, drain: bool) {
        let mut command = dying_with_us(&std::env::current_exe().unwrap(), None);
        command.args(["--exact", "the_box", "--nocapture", "--test-threads=1"]).stdout(Stdio::piped());
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stderr(log);
        command.env(DIR, self.data()).env(URL, &self.url).env(LARGE, self.large.to_string());
        if let Some(limits) = self.limits {
            command.env(SPOOL_MAX, limits.spool_bytes.to_string()).env(RECORDS_MAX, limits.records.to_string());
        }
        command.env("LD_PRELOAD", &self.shim).env("GTV_CHAOS_CONTROL", self.folder.path().join("control"));
        if drain {
            command.env(DRAIN, "1");
        }
        self.listen(command);
    }

    fn listen(&mut self, mut command: Command) {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = self.said.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = said.lock().unwrap();
                match line.split_once(' ') {
                    Some(("kept", id)) => drop(said.kept.insert(id.to_owned())),
                    Some(("damaged", sha256)) => drop(said.damaged.insert(sha256.to_owned())),
                    Some(("refused", _)) => said.refused += 1,
                    _ => {}
                }
            }
        });
        self.running = Some(child);
    }

    /// SIGKILL, as a power cut does it.
    pub fn kill(&mut self) {
        let mut child = self.running.take().expect("it runs");
        assert_eq!(child.try_wait().unwrap(), None, "box {} ended by itself:\n{}", self.name, self.log());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// All is well again, and the box has time to deliver; it ends by itself.
    pub fn drain(&mut self) {
        self.set_disk_full(false);
        self.set_clock_error(0);
        self.kill();
        self.start(true);
        let mut child = self.running.take().unwrap();
        let started = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if started.elapsed() > DELIVERY => {
                    let _ = child.kill();
                    panic!("box {}: not delivered within {DELIVERY:?}:\n{}", self.name, self.log());
                }
                None => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        assert!(status.success(), "box {}: {status}:\n{}", self.name, self.log());
    }

    pub fn said(&self) -> Said {
        self.said.lock().unwrap().clone()
    }

    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub fn set_disk_full(&self, full: bool) {
        self.control.write_all_at(&i64::from(full).to_ne_bytes(), 0).unwrap();
    }

    pub fn set_clock_error(&self, seconds: i64) {
        self.control.write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 8).unwrap();
    }

    /// Its database as it is on the disk, beside the running box.
    pub fn database(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(self.data().join("gtv.db"), flags).unwrap();
        database.busy_timeout(Duration::from_secs(30)).unwrap();
        database
    }

    pub fn ask(&self, sql: &str) -> u64 {
        self.database().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    }

    /// Damages the newest `count` files of its disk: gone, cut short, or with a wrong byte.
    pub fn damage_files(&self, count: usize) {
        let folders = std::fs::read_dir(self.data().join("objects")).unwrap().map(|entry| entry.unwrap());
        let folders = folders.filter(|folder| folder.file_name().len() == 2);
        let mut files: Vec<_> = folders
            .flat_map(|folder| std::fs::read_dir(folder.path()).unwrap())
            // The box may remove a file meanwhile.
            .filter_map(|entry| entry.and_then(|entry| Ok((entry.metadata()?.modified()?, entry.path()))).ok())
            .collect();
        files.sort();
        for (number, (_, path)) in files.iter().rev().take(count).enumerate() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            self.said.lock().unwrap().damaged.insert(name);
            let Ok(file) = File::options().read(true).write(true).open(path) else { continue };
            let length = file.metadata().unwrap().len();
            match number % 3 {
                0 => drop(std::fs::remove_file(path)),
                1 => file.set_len(length / 2).unwrap(),
                _ => {
                    let mut byte = [0];
                    if file.read_at(&mut byte, length / 2).unwrap() == 1 {
                        file.write_all_at(&[!byte[0]], length / 2).unwrap();
                    }
                }
            }
        }
    }
}

impl Drop for OneBox {
    fn drop(&mut self) {
        if let Some(child) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
