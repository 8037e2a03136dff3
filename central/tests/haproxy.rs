//! Two gtv-sync behind the real HAProxy with the configuration that is delivered: one is killed under load.

mod client;
mod support;

use client::{Failure, FakeBox, Uplink};
use gtv_protocol::Message;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Center, Garage, Haproxy, Postgres};
use tokio_postgres::NoTls;
use tokio_tungstenite::Connector;
use tokio_util::sync::CancellationToken;

const BOXES: usize = 12;
/// From the loss of a session to the next Welcome.
const MOVED_WITHIN: Duration = Duration::from_secs(5);

struct Stage {
    postgres: Postgres,
    garage: Garage,
    centers: [Center; 2],
    haproxy: Haproxy,
}

impl Stage {
    fn new() -> Self {
        Self::with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/haproxy.cfg"))
    }

    fn with(config: &Path) -> Self {
        let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
        let centers = [(); 2].map(|()| Center::start_new(&postgres, &garage));
        let addresses = centers.each_ref().map(Center::address);
        let haproxy = Haproxy::start_new(config, addresses.each_ref().map(String::as_str));
        Self { postgres, garage, centers, haproxy }
    }

    /// TLS that trusts the load balancer's authority and nothing else.
    fn tls(&self) -> Connector {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.haproxy.ca_file()).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Connector::Rustls(Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth()))
    }

    async fn count(&self, what: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get(0)
    }

    /// Status codes of `count` requests to a path of the public side, over as few connections as possible.
    fn statuses(&self, path: &str, count: u32) -> Vec<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}\n", "--cacert"]);
        curl.arg(self.haproxy.ca_file());
        curl.arg(format!("https://127.0.0.1:{}{path}?n=[1-{count}]", self.haproxy.port()));
        let output = curl.output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

/// A box under load: detections one after the other, and dialing again as often as needed. Returns it with all it has
/// told, and how long it was without a session after it had lost one.
async fn keep_sending(url: String, tls: Connector, stop: CancellationToken) -> (FakeBox, Vec<Duration>) {
    let mut fake = FakeBox::new();
    let mut lost_at: Option<Instant> = None;
    let mut outages = Vec::new();
    loop {
        let mut uplink = match Uplink::dial_with(&url, &fake, Some(tls.clone())).await {
            Ok(uplink) => uplink,
            Err(Failure::Refused(refusal)) => panic!("{refusal:?}"),
            Err(Failure::Broken(_)) => {
                lost_at.get_or_insert_with(Instant::now);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        outages.extend(lost_at.take().map(|at| at.elapsed()));
        let mut acknowledged = uplink.welcome.resume_after.map_or(0, |position| position.seq);
        loop {
            if acknowledged == fake.head().seq {
                if stop.is_cancelled() {
                    return (fake, outages);
                }
                fake.detect("AAA1A11", None);
            }
            let last = fake.head().seq;
            if uplink.send_batch(fake.batch(acknowledged + 1, last)).await.is_err() {
                break;
            }
            match uplink.receive().await {
                Ok(Message::Ack(ack)) => acknowledged = ack.seq,
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
        lost_at = Some(Instant::now());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_is_killed_under_load_and_its_boxes_move_on() {
    let mut stage = Stage::new();
    let stop = CancellationToken::new();
    let boxes: Vec<_> =
        (0..BOXES).map(|_| tokio::spawn(keep_sending(stage.haproxy.url(), stage.tls(), stop.clone()))).collect();
    while stage.count("sync.chains WHERE seq > 5").await < BOXES as i64 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for center in &stage.centers {
        let (_, metrics) = center.get("/metrics").unwrap();
        assert!(metrics.contains(&format!("gtv_sync_sessions {}", BOXES / 2)), "shared evenly: {metrics}");
    }
    stage.centers[0].kill();
    let killed_at = Instant::now();
    while !stage.centers[1].get("/metrics").unwrap().1.contains(&format!("gtv_sync_sessions {BOXES}\n")) {
        assert!(killed_at.elapsed() < Duration::from_secs(60), "all boxes are with the other one");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    let (mut told, mut outages) = (0, Vec::new());
    for sending in boxes {
        let (fake, lost) = sending.await.unwrap();
        told += fake.head().seq as i64;
        outages.extend(lost);
    }
    outages.sort_unstable();
    assert_eq!(outages.len(), BOXES / 2, "those of the other one noticed nothing");
    // The middle one, so that a machine that stands still for a moment does not count.
    assert!(outages[outages.len() / 2] < MOVED_WITHIN, "{outages:?}");
    assert_eq!(stage.count("sync.records").await, told);
    assert_eq!(stage.count("(SELECT DISTINCT id FROM ai.detections) d").await, told);
    assert_eq!(stage.count("sync.incidents").await, 0);
    let (status, report) = stage.centers[1].command(&["audit", "--json"]);
    assert!(status.success(), "{report}");

    // A service that comes back gets its share of what is dialed from then on.
    stage.centers[0].start();
    let mut uplinks = Vec::new();
    for _ in 0..100 {
        uplinks.push(Uplink::dial_with(&stage.haproxy.url(), &FakeBox::new(), Some(stage.tls())).await.unwrap());
        let (_, metrics) = stage.centers[0].get("/metrics").unwrap();
        if metrics.lines().any(|line| line.starts_with("gtv_sync_sessions ") && line != "gtv_sync_sessions 0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing came to the service that is up again");
}

#[tokio::test]
async fn a_silent_object_store_cuts_no_session() {
    let stage = Stage::new();
    let mut boxes = Vec::new();
    for _ in 0..4 {
        let fake = FakeBox::new();
        boxes.push((Uplink::dial_with(&stage.haproxy.url(), &fake, Some(stage.tls())).await.unwrap(), fake));
    }
    stage.garage.pause();
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (uplink, fake) in &mut boxes {
            fake.detect("AAA1A11", None);
            let last = fake.head().seq;
            uplink.send_batch(fake.batch(last, last)).await.unwrap();
            assert_eq!(uplink.ack().await.seq, last);
        }
    }
    assert_eq!(stage.statuses("/api/openapi.json", 1), ["200"], "and new ones find a service");
}

#[tokio::test]
async fn what_is_for_the_inside_stays_inside_and_nobody_asks_too_often() {
    let stage = Stage::new();
    assert_eq!(stage.statuses("/api/openapi.json", 1), ["200"]);
    for inside in ["/metrics", "/metrics/boxes", "/readyz", "/healthz"] {
        assert_eq!(stage.statuses(inside, 1), ["404"], "{inside}");
    }
    // However long a slow machine takes for them.
    let asked_too_often = || stage.statuses("/nothing", 1010).last().unwrap() == "429";
    assert!((0..5).any(|_| asked_too_often()));
    // Boxes behind the same address are not locked out by who asks too often there.
    Uplink::dial_with(&stage.haproxy.url(), &FakeBox::new(), Some(stage.tls())).await.unwrap();
    let url = format!("http://127.0.0.1:{}/metrics", stage.haproxy.stats_port());
    let stats = Command::new("curl").args(["--silent", &url]).output().unwrap();
    assert!(String::from_utf8_lossy(&stats.stdout).contains("haproxy_server_status"));
}

/// With a limit that a slow machine exceeds too: 20 in 5 s instead of 1000 in a minute.
#[tokio::test]
async fn boxes_that_dial_too_often_from_one_address_get_in_one_after_the_other() {
    let delivered = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/haproxy.cfg")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("haproxy.cfg");
    std::fs::write(&config, delivered.replace("gt 1000", "gt 20").replace("http_req_rate(1m)", "http_req_rate(5s)"))
        .unwrap();
    let stage = Stage::with(&config);
    // No WebSocket: what gets through is refused by the service (400), the others by the limit.
    let (mut refused, mut let_in_again) = (0, 0);
    let started = Instant::now();
    while let_in_again < 40 {
        for status in stage.statuses("/sync/v1", 100) {
            match status.as_str() {
                "429" => refused += 1,
                "400" if refused > 0 => let_in_again += 1,
                "400" => {}
                other => panic!("{other}"),
            }
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{refused} refused, {let_in_again} let in since");
    }
    assert!(refused > let_in_again, "{refused} refused, {let_in_again} let in since");
}

#[tokio::test]
async fn what_is_asked_for_is_not_in_the_log() {
    let stage = Stage::new();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--output", "/dev/null", "--cacert"]).arg(stage.haproxy.ca_file());
    curl.arg(format!("https://127.0.0.1:{}/api/ai/detections?plate=ABC1C34", stage.haproxy.port()));
    assert!(curl.status().unwrap().success());
    let started = Instant::now();
    while !stage.haproxy.log().contains("GET \"/api/ai/detections\"") {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", stage.haproxy.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!stage.haproxy.log().contains("ABC1C34"), "{}", stage.haproxy.log());
}
