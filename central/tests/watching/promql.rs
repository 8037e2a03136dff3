//! What an expression of PromQL asks for: metrics with the labels that its matchers and groupings name. No parser of the
//! language; promtool is that.

use regex::Regex;
use std::collections::BTreeSet;

/// A selector: name of the metric, and labels in its braces.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub labels: BTreeSet<String>,
    /// The whole text between the braces.
    pub matchers: String,
}

pub fn selectors(expression: &str) -> Vec<Selector> {
    let selector = Regex::new(r"\b((?:gtv|haproxy|process)_[a-z0-9_]+|up|ALERTS)\b(\{[^}]*\})?").unwrap();
    let label = Regex::new(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)").unwrap();
    let found = selector.captures_iter(expression);
    found
        .map(|found| {
            let matchers = found.get(2).map_or("", |braces| braces.as_str()).to_owned();
            let labels = label.captures_iter(&without_values(&matchers)).map(|c| c[1].to_owned()).collect();
            Selector { metric: found[1].to_owned(), labels, matchers }
        })
        .collect()
}

/// Labels of `by (...)`, `on (...)` and their like.
pub fn groupings(expression: &str) -> BTreeSet<String> {
    let list = Regex::new(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)").unwrap();
    let lists = list.captures_iter(expression).map(|c| c[1].to_owned()).collect::<Vec<_>>();
    let labels = lists.iter().flat_map(|list| list.split(',')).map(|label| label.trim().to_owned());
    labels.filter(|label| !label.is_empty()).collect()
}

fn without_values(matchers: &str) -> String {
    Regex::new(r#""[^"]*""#).unwrap().replace_all(matchers, "\"\"").into_owned()
}

#[test]
fn selectors_and_groupings_are_found() {
    let found = selectors(r#"sum by (le, box) (rate(gtv_a_bucket{x="y",z=~"{q}"}[5m])) / up{job="gtv_b"} > gtv_c"#);
    let names: Vec<&str> = found.iter().map(|selector| selector.metric.as_str()).collect();
    assert_eq!(names[..2], ["gtv_a_bucket", "up"]);
    assert_eq!(names.last(), Some(&"gtv_c"));
    assert!(found[0].labels.contains("x"));
    assert_eq!(groupings("sum by (le, box) (a) and on (c) b"), ["box", "c", "le"].map(str::to_owned).into());
}
