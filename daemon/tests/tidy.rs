//! The architecture as a test: layers import only downwards, each vendor library has one home, and no file of the
//! repository names a path of somebody's machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Module and layer; a module may use modules of lower layers, and itself.
const LAYERS: &[(&str, u8)] = &[
    ("base", 0),
    ("config", 1),
    ("store", 2),
    ("media", 2),
    ("onvif", 3),
    ("camera", 3),
    ("record", 3),
    ("evidence", 3),
    ("live", 3),
    ("lpr", 3),
    ("alerts", 3),
    ("sync", 3),
    ("update", 3),
    ("control", 4),
    ("web", 5),
    ("fleet", 5),
    ("cmd", 6),
];

/// Crate (as it is written in paths) and the only files or folders of `src` that may use it, with `|` between them.
const HOMES: &[(&str, &str)] = &[
    ("ffmpeg_next", "media/"),
    ("libc", "base/box_clock.rs"),
    ("retina", "media/rtsp.rs"),
    ("ort", "lpr/session.rs"),
    ("rusqlite", "store/"),
    ("oxvif", "onvif/"),
    ("str0m", "live/whep/"),
    ("rtsp_types", "live/rtsp/"),
    ("http_auth", "live/rtsp/"),
    ("md5", "live/rtsp/"),
    ("if_addrs", "live/whep/"),
    ("rumqttc", "fleet/client.rs"),
    ("object_store", "sync/objects/"),
    ("tokio_tungstenite", "sync/uplink.rs"),
    ("warp", "web/"),
    ("reqwest", "alerts/webhooks.rs|sync/objects/"),
    ("csv", "alerts/sheet.rs"),
    ("zip", "evidence/"),
    ("metrics_process", "base/metrics.rs"),
    ("anyhow", "cmd/"),
];

/// `unsafe` is for FFmpeg's C interface, and for the one call of the system that no crate wraps.
const UNSAFE_HOMES: [&str; 2] = ["media/", "base/box_clock.rs"];

fn source_files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(source_files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Path below `src` and text without comments.
fn code() -> Vec<(String, String)> {
    let root = src();
    source_files(&root, "rs")
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code: String = text
                .lines()
                .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
                .fold(String::new(), |all, line| all + line + "\n");
            (path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), code)
        })
        .collect()
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// The first path segments after each `crate::`, groups (`crate::{a, b::c}`) included.
fn imported_modules(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => modules.push(std::mem::take(&mut name)),
                    _ if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            modules.push(name);
        } else {
            modules.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    modules.iter().map(|m| m.split("::").next().unwrap_or("").trim().to_owned()).filter(|m| !m.is_empty()).collect()
}

#[test]
fn every_folder_has_a_layer() {
    for entry in fs::read_dir(src()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(layer(&name).is_some(), "daemon/src/{name} has no layer: give it one in tests/tidy.rs and DESIGN");
        }
    }
}

#[test]
fn arrows_point_down() {
    let mut faults = Vec::new();
    for (path, code) in code() {
        let Some((module, _)) = path.split_once('/') else { continue };
        let own = layer(module).expect("every folder has a layer");
        for used in imported_modules(&code) {
            let Some(other) = layer(&used) else { continue };
            if used != module && other >= own {
                faults.push(format!("{path} (layer {own}, {module}) imports {used} (layer {other})"));
            }
        }
    }
    assert!(faults.is_empty(), "imports must point to lower layers:\n{}", faults.join("\n"));
}

#[test]
fn each_vendor_library_has_one_home() {
    let mut faults = Vec::new();
    for (path, code) in code() {
        for (vendor, home) in HOMES {
            let uses = code
                .match_indices(&format!("{vendor}::"))
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
            if uses && !home.split('|').any(|home| path.starts_with(home)) {
                faults.push(format!("{path} uses {vendor}, whose home is {home}"));
            }
        }
        if code.contains("unsafe ") && !UNSAFE_HOMES.iter().any(|home| path.starts_with(home)) {
            faults.push(format!("{path} has unsafe code, whose homes are {}", UNSAFE_HOMES.join(" and ")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_files_touch_nothing() {
    let forbidden = ["Instant::now", "SystemTime::now", "UtcMicros::now", "std::fs", "tokio::", "rand::", "std::env"];
    let mut faults = Vec::new();
    for path in source_files(&src(), "rs") {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//! Pure.") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        for word in forbidden.iter().filter(|word| code.contains(*word)) {
            faults.push(format!("{} says it is pure and uses {word}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_file_says_what_it_is_for() {
    let repository = src().join("../..");
    let mut faults = Vec::new();
    for crate_folder in ["daemon/src", "daemon/tests", "central/src", "central/tests", "protocol/src"] {
        for path in source_files(&repository.join(crate_folder), "rs") {
            if !fs::read_to_string(&path).unwrap().starts_with("//! ") {
                faults.push(format!("{} does not begin with `//! ` and what it is for", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_check_itself_sees_groups() {
    let modules = imported_modules("use crate::{base::ids::CameraId, store::{Store, rows}};\ncrate::web::serve();");
    assert_eq!(modules, ["base", "store", "web"]);
}
