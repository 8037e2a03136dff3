//! One server process: own process group, output in a log file, dies with the test.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long any server may take to come up on a loaded machine.
pub const START_TIMEOUT: Duration = Duration::from_secs(90);

pub struct Process {
    name: &'static str,
    child: Option<Child>,
    log: PathBuf,
}

impl Process {
    pub fn new(name: &'static str, log: PathBuf) -> Self {
        Self { name, child: None, log }
    }

    /// Starts `command`; output is appended to the log file.
    pub fn spawn(&mut self, mut command: Command) {
        assert!(!self.running(), "{} is already running", self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap_or_else(|e| panic!("{}: cannot open: {e}", self.log.display()));
        let log_too = log.try_clone().expect("a file handle can be cloned");
        command.stdin(Stdio::null()).stdout(log).stderr(log_too).process_group(0);
        let program = command.get_program().to_owned();
        let child = spawn_from_lasting_thread(command)
            .unwrap_or_else(|e| panic!("{}: cannot start {}: {e}", self.name, program.display()));
        self.child = Some(child);
    }

    pub fn running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Waits until `ready` holds; panics with the end of the log if the process ends or the time is up.
    pub fn wait_ready(&mut self, mut ready: impl FnMut() -> bool) {
        assert!(self.became_ready(&mut ready), "{} did not come up:\n{}", self.name, self.log_tail());
    }

    /// Like `wait_ready`, but an early end (a port taken by somebody else) is `false`.
    pub fn became_ready(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if !self.running() {
                return false;
            }
            if ready() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(40));
        }
        false
    }

    /// Sends `signal` to the process group and waits for the end; SIGKILL after `timeout`.
    pub fn stop(&mut self, signal: Signal, timeout: Duration) -> Option<ExitStatus> {
        self.signal(signal);
        self.wait_or_kill(timeout)
    }

    /// Sends `signal` to the first process only, which ends its children itself.
    pub fn stop_leader(&mut self, signal: Signal, timeout: Duration) -> Option<ExitStatus> {
        if let Some(pid) = self.group() {
            let _ = kill_process(pid, signal);
        }
        self.wait_or_kill(timeout)
    }

    fn wait_or_kill(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        while self.running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.running() {
            self.signal(Signal::KILL);
        }
        self.child.take().and_then(|mut child| child.wait().ok())
    }

    /// SIGKILL to the whole group.
    pub fn kill(&mut self) {
        self.stop(Signal::KILL, Duration::from_secs(10));
    }

    /// It takes connections from then on, and says nothing.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.group() {
            // An error means that the group is gone, which is what a signal to it is for.
            let _ = kill_process_group(pid, signal);
        }
    }

    fn group(&self) -> Option<Pid> {
        Pid::from_raw(self.pid()?.cast_signed())
    }

    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// A temporary folder; GTV_KEEP leaves it there, for whoever looks for the cause of a failure.
pub fn folder(prefix: &str) -> TempDir {
    let keep = std::env::var_os("GTV_KEEP").is_some();
    tempfile::Builder::new().prefix(prefix).disable_cleanup(keep).tempdir().expect("a temporary folder")
}

/// `program` wrapped so that it dies with this process, even by SIGKILL, and, started by root, runs as `user`.
pub fn dying_with_us(program: &Path, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user {
        let (uid, gid) = user_ids(user).unwrap_or_else(|| panic!("user {user} does not exist; create it"));
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

/// User and group number of `user`.
pub fn user_ids(user: &str) -> Option<(u32, u32)> {
    let number = |flag| {
        let output = Command::new("id").args([flag, user]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some((number("-u")?, number("-g")?))
}

/// Runs a helper program to its end; panics with its output if it fails.
pub fn run(mut command: Command) -> String {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{shown}: cannot start: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{shown} failed ({}):\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Finds a program by environment variable, in the given places, then on PATH; panics with the remedy.
pub fn find_program(name: &str, variable: &str, places: &[PathBuf]) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable} names {}, which is not a file", path.display());
        return path;
    }
    let on_path = std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect::<Vec<_>>()).unwrap_or_default();
    let fixed = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    places
        .iter()
        .cloned()
        .chain(on_path.into_iter().chain(fixed).map(|folder| folder.join(name)))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; scripts/test installs it, or set {variable} to its path"))
}

/// A file where scripts/test keeps what it installed.
pub fn cached(file: &str) -> Vec<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.into_iter().map(|folder| folder.join("gtv").join(file)).collect()
}

/// The kernel sends the death signal when the *thread* that started a process ends, so all are started by one thread
/// that lives as long as this process (a tokio blocking thread would end after ten idle seconds).
fn spawn_from_lasting_thread(command: Command) -> std::io::Result<Child> {
    type Job = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in queue {
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    });
    let (reply, answer) = mpsc::channel();
    let gone = || std::io::Error::other("the thread that starts servers is gone");
    spawner.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
