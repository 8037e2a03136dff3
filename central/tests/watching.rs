//! What the deployment watches: real promtool and Prometheus take the files, and every metric and label that a rule or a
//! dashboard names exists, at a running gtv-sync and HAProxy or in the source of the box.

mod client;
#[path = "watching/declared.rs"]
mod declared;
#[path = "watching/promql.rs"]
mod promql;
mod support;

use client::{EPOCH, FakeBox, Uplink, upload};
use declared::Metrics;
use gtv_protocol::{Draft, Kind};
use promql::{groupings, selectors};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::prometheus::promtool;
use support::{Center, Garage, Haproxy, Postgres, Prometheus};

const RULES: [&str; 2] = ["alerts.yml", "alerts-agents.yml"];
const TESTS: [&str; 2] = ["alerts.test.yml", "alerts-week.test.yml"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn yaml(name: &str) -> Value {
    let text = std::fs::read_to_string(deploy().join(name)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn rules() -> Vec<Value> {
    RULES
        .iter()
        .flat_map(|file| list(&yaml(file), "groups").to_vec())
        .flat_map(|g| list(&g, "rules").to_vec())
        .collect()
}

/// File name to dashboard.
fn dashboards() -> BTreeMap<String, Value> {
    let folder = deploy().join("grafana/dashboards");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let dashboard = serde_json::from_str(&std::fs::read_to_string(&path).unwrap());
            (name.clone(), dashboard.unwrap_or_else(|e| panic!("{name}: {e}")))
        })
        .collect()
}

/// Each expression with where it stands.
fn expressions() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = rules().iter().map(|rule| (text(&rule["alert"]), text(&rule["expr"]))).collect();
    for (file, dashboard) in dashboards() {
        for panel in list(&dashboard, "panels") {
            let place = format!("{file}, {}", panel["title"]);
            all.extend(list(panel, "targets").iter().map(|target| (place.clone(), text(&target["expr"]))));
        }
        for variable in list(&dashboard["templating"], "list").iter().filter(|variable| variable["type"] == "query") {
            let asked = text(&variable["query"]["query"]);
            let series = asked.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(',')).unwrap();
            all.push((format!("{file}, variable"), series.0.to_owned()));
        }
    }
    all
}

#[test]
fn promtool_takes_rules_configurations_and_expressions() {
    let folder = deploy();
    promtool(&folder, &["check", "rules", RULES[0], RULES[1]]);
    promtool(&folder, &["check", "config", "prometheus.yml"]);
    promtool(&folder, &["check", "config", "--agent", "box-agent.yml"]);
    promtool(&folder, &["test", "rules", TESTS[0], TESTS[1]]);
    // What dashboards ask, as rules.
    let records: Vec<Value> = expressions().iter().map(|(_, e)| json!({ "record": "asked", "expr": e })).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "groups": [{ "name": "asked", "rules": records }] }).to_string()).unwrap();
    // The same name many times is what this check wants.
    promtool(&folder, &["check", "rules", "--lint=none", &file.path().display().to_string()]);
}

#[test]
fn every_alert_says_what_to_do_and_is_tested() {
    let tests = TESTS.map(|name| std::fs::read_to_string(deploy().join(name)).unwrap()).concat();
    let mut names = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        for text in ["summary", "remedy"] {
            assert!(rule["annotations"][text].as_str().is_some_and(|text| text.len() > 15), "{name}: {text}");
        }
        let tested = [format!("alertname=\"{name}\"}}"), format!("alertname: {name}")];
        assert!(tested.iter().any(|place| tests.contains(place.as_str())), "{name} has no test");
    }
    assert!(names.len() > 40, "{names:?}");
}

#[test]
fn every_dashboard_is_whole() {
    let all = dashboards();
    let titles: Vec<_> = all.values().map(|dashboard| dashboard["title"].as_str().unwrap()).collect();
    for title in ["System Overview", "API Performance", "Streaming Health", "AI Detection Stats", "Business Metrics"] {
        assert!(titles.contains(&title), "{title}: {titles:?}");
    }
    let uids: BTreeSet<_> = all.values().map(|dashboard| dashboard["uid"].as_str().unwrap()).collect();
    assert_eq!(uids.len(), all.len(), "{uids:?}");
    for (file, dashboard) in &all {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in list(dashboard, "panels") {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: panel {} twice", panel["id"]);
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for cell in (0..place("w")).flat_map(|x| (0..place("h")).map(move |y| (x, y))) {
                let cell = (place("x") + cell.0, place("y") + cell.1);
                assert!(cell.0 < 24 && taken.insert(cell), "{file}: {} covers another panel", panel["title"]);
            }
        }
    }
}

/// A service that took a box's records and answered questions, behind HAProxy.
struct Stage {
    _postgres: Postgres,
    _garage: Garage,
    center: Center,
    haproxy: Haproxy,
    fake: FakeBox,
    _uplink: Uplink,
}

impl Stage {
    async fn new() -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let secret = [("GTV_SYNC_API_SECRET", "a secret of at least thirty-two characters")];
        let center = Center::start_with(&postgres, &garage, &secret);
        let haproxy = Haproxy::start_new(&deploy().join("haproxy.cfg"), [&center.address(), &center.address()]);
        let mut fake = FakeBox::new();
        let crop = fake.object("lpr-images", b"a crop");
        upload(&garage, &crop, b"a crop").await;
        fake.detect("ABC1C34", Some(&crop));
        let status = json!({
            "software": "gtv-edge 1", "uptime_s": 60, "cameras": 3, "cameras_streaming": 2, "recorded_bytes": 1,
            "disk_free_bytes": 2, "pending_records": 3, "recorder": "recording", "disk_total_bytes": 4,
            "spool_bytes": 5, "spool_max_bytes": 6, "clock_synchronized": true, "temperature_c": 60.5,
        });
        fake.append_draft(Draft {
            kind: Kind::BoxStatus.as_str().to_owned(),
            id: "status".to_owned(),
            created_at_us: EPOCH,
            objects: vec![],
            body: serde_json::value::to_raw_value(&status).unwrap(),
        });
        let mut uplink = Uplink::dial(&center.url(), &fake).await.unwrap();
        uplink.deliver(&fake).await;
        for path in ["/api/cidades/boxes", "/api/cidades/boxes/7/delivery", "/api/nothing", "/wp-login.php"] {
            center.get(path).unwrap();
        }
        Self { _postgres: postgres, _garage: garage, center, haproxy, fake, _uplink: uplink }
    }
}

#[tokio::test]
async fn every_metric_that_is_watched_exists_with_its_labels() {
    let stage = Stage::new().await;
    let (_, page) = stage.center.get("/metrics").unwrap();
    let (_, boxes) = stage.center.get("/metrics/boxes").unwrap();
    let (_, statistics) = support::center::http_get(stage.haproxy.stats_port(), "/metrics").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (centre, on_box) = (declared::in_source(&root.join("src")), declared::in_source(&root.join("../daemon/src")));
    let (page, fleet, haproxy) =
        (declared::on_page(&page), declared::on_page(&boxes), declared::on_page(&unchunked(&statistics)));

    // The source says of gtv-sync what gtv-sync says of itself.
    for (name, labels) in page.iter().filter(|(name, _)| name.starts_with("gtv_")) {
        assert!(centre.get(name).is_some_and(|declared| labels.is_subset(declared)), "{name}: {labels:?}");
    }
    for name in ["gtv_sync_ready", "gtv_sync_records_total", "gtv_sync_http_request_duration_seconds_bucket"] {
        assert!(page.contains_key(name), "{name}: {:?}", page.keys());
    }
    assert!(on_box.len() > 60, "{:?}", on_box.keys());

    let labels = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<String>>();
    let target = labels(&["job", "instance"]);
    let pushed = labels(&["job", "instance", "box", "prefeitura"]);
    let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let process: Metrics =
        page.iter().filter(|(n, _)| n.starts_with("process_")).map(|(n, l)| (n.clone(), l.clone())).collect();
    for (metrics, added) in
        [(&centre, &target), (&process, &pushed), (&fleet, &target), (&haproxy, &target), (&on_box, &pushed)]
    {
        for (name, labels) in metrics {
            known.entry(name).or_default().extend(labels.iter().chain(added).cloned());
        }
    }
    known.insert("up", pushed.clone());
    known.insert("ALERTS", pushed.iter().cloned().chain(labels(&["alertname", "alertstate", "severity"])).collect());

    let mut asked = 0;
    for (place, expression) in expressions() {
        let mut there = BTreeSet::new();
        for selector in selectors(&expression) {
            let name = selector.metric.as_str();
            let has = known.get(name).unwrap_or_else(|| panic!("{place}: nothing exports {name}"));
            let unknown: Vec<_> = selector.labels.difference(has).collect();
            assert!(unknown.is_empty(), "{place}: {name} has no {unknown:?}, only {has:?}");
            let told_apart = ["job", "box"].iter().any(|label| selector.labels.contains(*label));
            assert!(
                !(centre.contains_key(name) && on_box.contains_key(name)) || told_apart,
                "{place}: boxes and services both export {name}; say job=\"gtv-sync\""
            );
            there.extend(has.iter().cloned());
            asked += 1;
        }
        let strange: Vec<_> = groupings(&expression).difference(&there).cloned().collect();
        assert!(strange.is_empty(), "{place}: nothing in {expression} has {strange:?}");
    }
    assert!(asked > 150, "{asked}");
}

#[tokio::test]
async fn what_outsiders_ask_makes_no_new_series() {
    let stage = Stage::new().await;
    let (_, page) = stage.center.get("/metrics").unwrap();
    let count = "gtv_sync_http_request_duration_seconds_count";
    for series in [
        "{method=\"GET\",route=\"/api/cidades/boxes\",status=\"401\"} 1",
        "{method=\"GET\",route=\"/api/cidades/boxes/{id}/delivery\",status=\"401\"} 1",
        "{method=\"GET\",route=\"other\",status=\"401\"} 1",
        "{method=\"GET\",route=\"other\",status=\"404\"} 1",
    ] {
        assert!(page.contains(&format!("{count}{series}")), "{series}: {page}");
    }
    assert!(!page.contains("wp-login"), "{page}");
}

#[tokio::test]
async fn prometheus_scrapes_the_services_and_takes_what_boxes_push() {
    let stage = Stage::new().await;
    let read = |name: &str| std::fs::read_to_string(deploy().join(name)).unwrap();
    let quick = |text: String| text.replace("interval: 15s", "interval: 1s").replace("interval: 60s", "interval: 1s");
    let server = Prometheus::start_new(
        |folder| {
            let statistics = format!("127.0.0.1:{}", stage.haproxy.stats_port());
            let text = quick(read("prometheus.yml"));
            let text = text.replace("127.0.0.1:8600", &stage.center.address()).replace("127.0.0.1:8404", &statistics);
            std::fs::write(folder.join("prometheus.yml"), text).unwrap();
            for name in RULES {
                std::fs::write(folder.join(name), read(name)).unwrap();
            }
        },
        false,
        &[],
    );
    // In the place of gtv-edge another program that has metrics: what counts here is the way they go.
    let _agent = Prometheus::start_new(
        |folder| {
            std::fs::write(folder.join("password"), "secret").unwrap();
            let text = quick(read("box-agent.yml")).replace("127.0.0.1:8080", &stage.center.address());
            let text = text.replace("https://metrics.example.org", &server.url());
            let text = text.replace("/etc/gtv-edge/metrics-password", &folder.join("password").display().to_string());
            std::fs::write(folder.join("prometheus.yml"), text).unwrap();
        },
        true,
        &[("GTV_BOX_ID", "b1"), ("GTV_PREFEITURA", "sao-paulo")],
    );
    let heard = format!("gtv_box_last_heard_timestamp_seconds{{box=\"{}\",prefeitura=\"sao-paulo\"}}", stage.fake.id);
    let expected = [
        ("up{job=\"gtv-sync\"} == 1", "gtv-sync"),
        ("up{job=\"gtv-boxes\"} == 1", "gtv-boxes"),
        ("haproxy_server_status{proxy=\"gtv_sync\",state=\"UP\"} == 1", "sync2"),
        (heard.as_str(), "test box"),
        ("up{job=\"gtv-edge\",box=\"b1\",prefeitura=\"sao-paulo\",instance=\"gtv-edge\"} == 1", "b1"),
    ];
    for (expression, shown) in expected {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !server.query(expression).contains(shown) {
            assert!(Instant::now() < deadline, "{expression}: {}\n{}", server.query(expression), server.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The bodies of a chunked answer, one after the other.
fn unchunked(body: &str) -> String {
    let is_size = |line: &str| !line.is_empty() && line.len() < 6 && line.chars().all(|c| c.is_ascii_hexdigit());
    body.split("\r\n").filter(|part| !is_size(part)).collect()
}
