//! Which metrics a program has, with their labels, as its source declares them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Name to labels.
pub type Metrics = BTreeMap<String, BTreeSet<String>>;

/// Everything that `counter!`, `gauge!` and `histogram!` name below `folder`; a histogram also as its three series.
pub fn in_source(folder: &Path) -> Metrics {
    let mut files = Vec::new();
    collect(folder, &mut files);
    let constants: BTreeMap<&str, &str> = files.iter().flat_map(|text| constants(text)).collect();
    let mut found = Metrics::new();
    for text in &files {
        for (kind, at) in ["counter!(", "gauge!(", "histogram!("].iter().flat_map(|kind| places(text, kind)) {
            let call = call_at(text, at);
            let first = call.split([',', ')']).next().unwrap().trim();
            let name = match first.strip_prefix('"') {
                Some(literal) => literal.trim_end_matches('"'),
                // A variable: the names that it takes are elsewhere.
                None => match constants.get(first.trim_start_matches("metrics::")) {
                    Some(name) => name,
                    None => continue,
                },
            };
            let mut labels: BTreeSet<String> = call.split("=>").filter_map(last_literal).collect();
            if call.contains("&labels") {
                labels.extend(tuple_labels(text, at));
            }
            let names: &[&str] = if kind == "histogram!(" { &["_bucket", "_count", "_sum"] } else { &[""] };
            for suffix in names {
                let known = found.entry(format!("{name}{suffix}")).or_default();
                known.extend(labels.iter().cloned());
                known.extend((*suffix == "_bucket").then(|| "le".to_owned()));
            }
        }
    }
    found
}

/// The metrics of a running program, out of its Prometheus text.
pub fn on_page(text: &str) -> Metrics {
    let mut found = Metrics::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, _) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next());
        let labels = labels.filter(|label| !label.is_empty() && *label != "}").map(str::to_owned);
        found.entry(name.to_owned()).or_default().extend(labels);
    }
    found
}

fn collect(folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// `pub const NAME: &str = "value";`
fn constants(text: &str) -> Vec<(&str, &str)> {
    let line = |line: &'_ str| -> Option<(usize, usize)> { line.find(": &str = \"").map(|at| (at, at + 10)) };
    text.lines()
        .filter_map(|whole| {
            let rest = whole.trim().strip_prefix("pub const ")?;
            let (end, value) = line(rest)?;
            Some((&rest[..end], rest[value..].trim_end_matches("\";")))
        })
        .collect()
}

fn places<'a>(text: &'a str, kind: &'static str) -> impl Iterator<Item = (&'static str, usize)> + 'a {
    // `describe_counter!` and its like are no use of a metric.
    text.match_indices(kind).filter(|(at, _)| !text[..*at].ends_with('_')).map(move |(at, _)| (kind, at + kind.len()))
}

/// From after the opening to the closing bracket.
fn call_at(text: &str, at: usize) -> &str {
    let mut depth = 1;
    for (offset, c) in text[at..].char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at..=at + offset];
        }
    }
    panic!("a macro is not closed: {}", &text[at..text.len().min(at + 80)])
}

/// `... "label" ` at the end of what stands before an arrow.
fn last_literal(before: &str) -> Option<String> {
    let label = before.trim_end().strip_suffix('"')?;
    Some(label[label.rfind('"')? + 1..].to_owned())
}

/// `let labels = [("a", ...), ("b", ...)];` before `at`.
fn tuple_labels(text: &str, at: usize) -> Vec<String> {
    let begin = text[..at].rfind("let labels = [").expect("`&labels` without `let labels = [`");
    let end = begin + text[begin..].find("];").expect("the array is closed");
    text[begin..end].split("(\"").skip(1).filter_map(|part| Some(part.split_once('"')?.0.to_owned())).collect()
}
