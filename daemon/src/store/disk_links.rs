//! On which disk a recording lies: rows name files below `<data_dir>/disks/<id>`, a link that leads nowhere while that
//! disk is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// In the data folder: one link a disk.
pub const LINKS: &str = "disks";

/// The id of the disk that a file lies on, by its path; empty for the data folder.
pub fn disk_of(name: &str) -> &str {
    let below = name.strip_prefix(LINKS).and_then(|rest| rest.strip_prefix('/'));
    below.and_then(|rest| rest.split_once('/')).map_or("", |(id, _)| id)
}

/// Whether the disk of a file is there, as far as its link tells.
pub fn is_there(data_dir: &Path, name: &str) -> bool {
    let id = disk_of(name);
    id.is_empty() || data_dir.join(LINKS).join(id).is_dir()
}

/// The ids of the disks that are not there.
pub(super) fn missing(data_dir: &Path) -> BTreeSet<String> {
    let links = fs::read_dir(data_dir.join(LINKS)).into_iter().flatten().flatten();
    links.filter(|link| !link.path().is_dir()).map(|link| link.file_name().to_string_lossy().into_owned()).collect()
}
