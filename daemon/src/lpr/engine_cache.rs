//! Where TensorRT keeps the engines that it builds: a folder for each model, graphics processor and version. An engine
//! fits only those three; building one takes minutes, and loading one that does not fit fails.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Folders kept: a handful of models over a few updates.
const KEPT: usize = 8;

/// Where Debian, NVIDIA's archives and JetPack put TensorRT.
const LIBRARY_FOLDERS: [&str; 5] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/tensorrt/lib", "/usr/lib64", "/usr/lib"];

/// The folder for `model`, made where it is new; the oldest go when there are many. `runtime` describes the build of
/// ONNX Runtime in use.
pub fn folder(cache: &Path, model: &[u8], runtime: &str) -> std::io::Result<PathBuf> {
    let root = cache.join("tensorrt");
    let folder = root.join(key(model, &gpu_name(Path::new("/proc")), &tensorrt_version(), runtime));
    std::fs::create_dir_all(&folder)?;
    prune(&root, &folder);
    Ok(folder)
}

fn key(model: &[u8], gpu: &str, tensorrt: &str, runtime: &str) -> String {
    let short = |bytes: &[u8]| hex::encode(&Sha256::digest(bytes)[..8]);
    let gpu: String = gpu.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(48).collect();
    format!("{}_{gpu}_{}", short(model), short(format!("{tensorrt}\n{runtime}").as_bytes()))
}

/// The first processor's name by the driver, or the Jetson's by its device tree.
fn gpu_name(proc: &Path) -> String {
    let mut cards: Vec<PathBuf> =
        std::fs::read_dir(proc.join("driver/nvidia/gpus")).into_iter().flatten().flatten().map(|e| e.path()).collect();
    cards.sort();
    let described = cards.first().and_then(|card| std::fs::read_to_string(card.join("information")).ok());
    let model = described.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("Model:")));
    if let Some(model) = model {
        return model.trim().to_owned();
    }
    let board = std::fs::read_to_string(proc.join("device-tree/model")).unwrap_or_default();
    let board = board.trim_matches(['\0', '\n', ' ']);
    if board.is_empty() { "unknown".to_owned() } else { board.to_owned() }
}

/// The full file names of the TensorRT libraries that can be found: `libnvinfer.so.10.3.0` and the like.
fn tensorrt_version() -> String {
    let named = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = std::env::split_paths(&named).chain(LIBRARY_FOLDERS.iter().map(PathBuf::from));
    let mut found: Vec<String> = folders
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("libnvinfer.so."))
        .collect();
    found.sort();
    found.dedup();
    found.join(" ")
}

/// Removes all but the newest folders, never the one in use; what cannot be removed only takes space.
fn prune(root: &Path, in_use: &Path) {
    let mut folders: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path() != in_use && entry.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    folders.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
    for (_, folder) in folders.into_iter().skip(KEPT - 1) {
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "an old TensorRT engine was not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_processor_and_versions_each_change_the_folder() {
        let base = key(b"model", "NVIDIA H200", "libnvinfer.so.10.3.0", "ORT 1.32");
        assert!(base.contains("_NVIDIA-H200_"), "{base}");
        for other in [
            key(b"other", "NVIDIA H200", "libnvinfer.so.10.3.0", "ORT 1.32"),
            key(b"model", "Orin", "libnvinfer.so.10.3.0", "ORT 1.32"),
            key(b"model", "NVIDIA H200", "libnvinfer.so.10.4.0", "ORT 1.32"),
            key(b"model", "NVIDIA H200", "libnvinfer.so.10.3.0", "ORT 1.33"),
        ] {
            assert_ne!(other, base);
        }
        assert!(!key(b"", "../../etc", "", "").contains('/'));
    }

    #[test]
    fn processors_are_named_by_driver_or_board() {
        let proc = tempfile::tempdir().unwrap();
        assert_eq!(gpu_name(proc.path()), "unknown");
        std::fs::create_dir_all(proc.path().join("device-tree")).unwrap();
        std::fs::write(proc.path().join("device-tree/model"), "NVIDIA Jetson Orin Nano\0").unwrap();
        assert_eq!(gpu_name(proc.path()), "NVIDIA Jetson Orin Nano");
        let card = proc.path().join("driver/nvidia/gpus/0000:01:00.0");
        std::fs::create_dir_all(&card).unwrap();
        std::fs::write(card.join("information"), "Model: \t NVIDIA H200\nIRQ: 35\n").unwrap();
        assert_eq!(gpu_name(proc.path()), "NVIDIA H200");
    }

    #[test]
    fn old_engines_make_room() {
        let cache = tempfile::tempdir().unwrap();
        let first = folder(cache.path(), b"0", "test").unwrap();
        for i in 1..20_u8 {
            folder(cache.path(), &[i], "test").unwrap();
        }
        let again = folder(cache.path(), b"0", "test").unwrap();
        assert_eq!(first, again);
        assert_eq!(std::fs::read_dir(cache.path().join("tensorrt")).unwrap().count(), KEPT);
    }
}
