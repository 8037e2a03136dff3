//! The disks that recordings go to. Each carries a file with its id, so that it is known again wherever it is mounted,
//! and an empty mount point is not taken for it. `<data_dir>/disks/<id>` leads to the folder of this box on it: rows name
//! files below that link, and everything else reads them as if they were in the data folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;

use super::error::RecordError;
use crate::base::atomic_file;
use crate::store::disk_links::{LINKS, disk_of};

/// On each disk, beside the folder of the box.
const ID_FILE: &str = "gtv-disk.id";
/// A disk that failed a write is not tried again for this long while there is another one.
const REST: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskState {
    Ok,
    /// It did not take what was written; tried again.
    Failing,
    /// Not mounted, unplugged or swapped.
    Missing,
}

/// One disk as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskStatus {
    /// Empty for the data folder itself.
    pub id: String,
    pub path: PathBuf,
    pub state: DiskState,
    /// What is wrong and what to do; empty while all is well.
    pub reason: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
}

impl DiskStatus {
    /// What the paths of its files begin with, relative to the data folder.
    pub fn prefix(&self) -> String {
        if self.id.is_empty() { String::new() } else { format!("{LINKS}/{}/", self.id) }
    }
}

/// See the module.
pub struct Disks {
    data_dir: PathBuf,
    /// Part of the name of the folder on each disk: a disk may have served another box.
    store_id: Uuid,
    inner: Mutex<Inner>,
    looking: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    disks: Vec<DiskStatus>,
    /// When a disk failed, by id, and how.
    failed: BTreeMap<String, (Instant, String)>,
}

impl Disks {
    pub fn new(data_dir: &Path, store_id: Uuid) -> Self {
        Self { data_dir: data_dir.to_owned(), store_id, inner: Mutex::default(), looking: Mutex::default() }
    }

    /// Looks at the disks of `paths`; without any the data folder is the one disk, and where none of them is there it
    /// helps out. Blocks as long as a disk does.
    pub fn refresh(&self, paths: &[PathBuf]) {
        // One that waits for a disk is enough.
        let Ok(_looking) = self.looking.try_lock() else { return };
        let mut disks: Vec<DiskStatus> = paths.iter().map(|path| self.look(path)).collect();
        if disks.iter().all(|disk| disk.state == DiskState::Missing) {
            disks.push(measured(String::new(), self.data_dir.clone(), &self.data_dir));
        }
        let mut inner = self.lock();
        inner.failed.retain(|_, (at, _)| at.elapsed() < REST);
        for disk in &mut disks {
            if let Some((_, reason)) = inner.failed.get(&disk.id).filter(|_| disk.state == DiskState::Ok) {
                disk.state = DiskState::Failing;
                disk.reason.clone_from(reason);
            }
            let before = inner.disks.iter().find(|known| known.path == disk.path).map(|known| known.state);
            match (before, disk.state) {
                (None | Some(DiskState::Ok | DiskState::Failing), DiskState::Missing) => {
                    tracing::error!(path = %disk.path.display(), reason = disk.reason, "a disk is missing");
                }
                (Some(DiskState::Missing), DiskState::Ok) => {
                    tracing::info!(path = %disk.path.display(), id = disk.id, "a disk is back");
                }
                _ => {}
            }
        }
        inner.disks = disks;
    }

    pub fn statuses(&self) -> Vec<DiskStatus> {
        self.lock().disks.clone()
    }

    /// Where a new file goes: the disk with the most room of those that work.
    pub fn choose(&self) -> String {
        let inner = self.lock();
        let most = |state: DiskState| {
            let disks = inner.disks.iter().filter(|disk| disk.state == state);
            disks.max_by_key(|disk| disk.free_bytes).map(DiskStatus::prefix)
        };
        most(DiskState::Ok).or_else(|| most(DiskState::Failing)).unwrap_or_default()
    }

    /// A file with this path could not be written.
    pub fn failed(&self, name: &str, error: &RecordError) {
        let mut inner = self.lock();
        let there = |disk: &&mut DiskStatus| disk.state != DiskState::Missing && disk.id == disk_of(name);
        let Some(disk) = inner.disks.iter_mut().find(there) else { return };
        disk.state = DiskState::Failing;
        disk.reason = error.to_string();
        let id = disk.id.clone();
        inner.failed.insert(id, (Instant::now(), error.to_string()));
    }

    fn look(&self, path: &Path) -> DiskStatus {
        match self.adopt(path) {
            Ok((id, folder)) => measured(id, path.to_owned(), &folder),
            Err(reason) => DiskStatus {
                id: String::new(),
                path: path.to_owned(),
                state: DiskState::Missing,
                reason,
                total_bytes: 0,
                free_bytes: 0,
            },
        }
    }

    /// The id of the disk at `path` and the box's folder on it, with the link that leads there.
    fn adopt(&self, path: &Path) -> Result<(String, PathBuf), String> {
        let shown = path.display();
        if !path.is_dir() {
            return Err(format!("{shown} is not there: plug the disk in and mount it"));
        }
        let said = |error: io::Error| format!("{shown} cannot be used: {error}; check the disk and its permissions");
        let id = match fs::read_to_string(path.join(ID_FILE)) {
            Ok(text) => Uuid::try_parse(text.trim())
                .map_err(|_| format!("{shown}/{ID_FILE} is damaged: restore it, or remove it to begin a new disk"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.had_disk(path) && !is_mount_point(path).map_err(said)? {
                    return Err(format!(
                        "nothing is mounted on {shown}, which had a disk: mount it, or give `record.paths` another folder"
                    ));
                }
                let id = Uuid::now_v7();
                atomic_file::write_private(&path.join(ID_FILE), format!("{id}\n").as_bytes()).map_err(said)?;
                tracing::info!(path = %shown, %id, "a new disk for recordings");
                id
            }
            Err(error) => return Err(said(error)),
        };
        // With the id of the disk: the link of the disk that was mounted here before must not lead to this one.
        let folder = path.join(format!("gtv-edge-{}-{id}", self.store_id));
        if !folder.is_dir() {
            fs::create_dir(&folder).map_err(said)?;
        }
        self.link(&id.to_string(), &folder).map_err(|error| {
            format!("{}/{LINKS} cannot be written: {error}; free space there", self.data_dir.display())
        })?;
        Ok((id.to_string(), folder))
    }

    /// Whether a link leads below `path`.
    fn had_disk(&self, path: &Path) -> bool {
        let links = fs::read_dir(self.data_dir.join(LINKS)).into_iter().flatten().flatten();
        links.filter_map(|link| fs::read_link(link.path()).ok()).any(|target| target.parent() == Some(path))
    }

    fn link(&self, id: &str, folder: &Path) -> io::Result<()> {
        let links = self.data_dir.join(LINKS);
        let link = links.join(id);
        match fs::read_link(&link) {
            Ok(target) if target == folder => return Ok(()),
            Ok(_) => fs::remove_file(&link)?,
            Err(_) => fs::create_dir_all(&links)?,
        }
        symlink(folder, &link)?;
        fs::File::open(&links)?.sync_all()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn measured(id: String, path: PathBuf, folder: &Path) -> DiskStatus {
    match rustix::fs::statvfs(folder) {
        Ok(stat) => DiskStatus {
            id,
            path,
            state: DiskState::Ok,
            reason: String::new(),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        },
        Err(error) => {
            let reason = format!("{} does not answer: {error}; check the disk", path.display());
            DiskStatus { id, path, state: DiskState::Missing, reason, total_bytes: 0, free_bytes: 0 }
        }
    }
}

fn is_mount_point(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(fs::metadata(path)?.dev() != fs::metadata(parent)?.dev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk_links::is_there;

    #[test]
    fn a_disk_is_known_by_its_id_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (data, one, two) = (folder.path().join("data"), folder.path().join("one"), folder.path().join("two"));
        for dir in [&data, &one, &two] {
            fs::create_dir(dir).unwrap();
        }
        let disks = Disks::new(&data, Uuid::nil());
        disks.refresh(&[]);
        assert_eq!((disks.choose(), disks.statuses().len()), (String::new(), 1), "the data folder");
        disks.refresh(&[one.clone(), two.clone()]);
        let ids: Vec<String> = disks.statuses().iter().map(|disk| disk.id.clone()).collect();
        assert!(ids[0] != ids[1] && ids.iter().all(|id| !id.is_empty()), "{ids:?}");
        fs::write(data.join(format!("disks/{}/file", ids[0])), "x").unwrap();
        assert!(disks.choose().starts_with("disks/"));

        // Swapped: each is found at the other place.
        let aside = folder.path().join("aside");
        fs::rename(&one, &aside).unwrap();
        fs::rename(&two, &one).unwrap();
        fs::rename(&aside, &two).unwrap();
        disks.refresh(&[one.clone(), two.clone()]);
        let swapped: Vec<String> = disks.statuses().iter().map(|disk| disk.id.clone()).collect();
        assert_eq!(swapped, [ids[1].clone(), ids[0].clone()]);
        assert_eq!(fs::read_to_string(data.join(format!("disks/{}/file", ids[0]))).unwrap(), "x");

        // An empty folder where a disk was is no disk; the other one goes on, and with both gone the data folder.
        fs::rename(&one, &aside).unwrap();
        fs::create_dir(&one).unwrap();
        disks.refresh(&[one.clone(), two.clone()]);
        let states: Vec<_> = disks.statuses().iter().map(|disk| disk.state).collect();
        assert_eq!(states, [DiskState::Missing, DiskState::Ok]);
        assert!(disks.statuses()[0].reason.contains("nothing is mounted"), "{:?}", disks.statuses());
        assert!(!is_there(&data, &format!("disks/{}/file", ids[1])) && is_there(&data, &format!("disks/{}/x", ids[0])));
        fs::rename(&two, folder.path().join("away")).unwrap();
        disks.refresh(&[one.clone(), two]);
        assert_eq!(disks.choose(), "");
        fs::remove_dir(&one).unwrap();
        fs::rename(&aside, &one).unwrap();
        disks.refresh(&[one]);
        assert_eq!(disks.choose(), format!("disks/{}/", ids[1]), "back");
    }

    #[test]
    fn a_disk_that_failed_rests_while_another_works() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = ["a", "b"].iter().map(|name| folder.path().join(name)).collect();
        for path in &paths {
            fs::create_dir(path).unwrap();
        }
        let disks = Disks::new(folder.path(), Uuid::nil());
        disks.refresh(&paths);
        let first = disks.choose();
        let error = RecordError::file("write", Path::new("x"), io::ErrorKind::ReadOnlyFilesystem.into());
        disks.failed(&format!("{first}recordings/x.mp4"), &error);
        let second = disks.choose();
        assert_ne!(first, second);
        disks.refresh(&paths);
        let failing = disks.statuses().into_iter().find(|disk| disk.state == DiskState::Failing).unwrap();
        assert_eq!(failing.prefix(), first);
        assert!(failing.reason.contains("read-only"), "{}", failing.reason);
        disks.failed(&second, &error);
        assert!(!disks.choose().is_empty(), "rather a failing disk than none");
        assert_eq!((disk_of("recordings/a.mp4"), disk_of("disks/7/recordings/a.mp4")), ("", "7"));
    }
}
