//! The read API over a database whose owner is no superuser: who sees what, and what a plate is found by.

mod client;
mod support;

use client::{EPOCH, FakeBox, Uplink, detection, upload};
use gtv_protocol::{Body, PlateText, body};
use gtv_sync::db::Database;
use gtv_sync::settings::DatabaseArgs;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use support::{Center, Garage, Postgres};
use tokio_postgres::NoTls;
use uuid::Uuid;

const SECRET: &str = "a secret of at least thirty-two characters";
const SPAN: &str = "from=2026-09-01T00:00:00Z&to=2026-10-01T00:00:00Z";

struct Stage {
    _postgres: Postgres,
    garage: Garage,
    center: Center,
    url: String,
}

impl Stage {
    fn new() -> Self {
        let postgres = Postgres::start_new();
        let garage = Garage::start_empty();
        let url = postgres.create_owned_database("centre", "CREATEROLE", "city");
        let environment = [("GTV_SYNC_DATABASE_URL", url.as_str()), ("GTV_SYNC_API_SECRET", SECRET)];
        let center = Center::start_with(&postgres, &garage, &environment);
        Self { _postgres: postgres, garage, center, url }
    }

    fn token(&self, prefeitura: &str, role: &str) -> String {
        let arguments = ["token", "--prefeitura", prefeitura, "--role", role, "--name", "ana"];
        self.center.command_ok(&arguments).trim().to_owned()
    }

    /// Status and answer.
    fn ask(&self, token: &str, path: &str) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--globoff", "--write-out", "\n%{http_code}", "--header"]);
        curl.arg(format!("Authorization: Bearer {token}")).arg(format!("http://{}/api/{path}", self.center.address()));
        let text = String::from_utf8(curl.output().unwrap().stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|e| panic!("{path}: {e}: {body}")))
    }

    /// Plates that a question finds, sorted.
    fn plates(&self, token: &str, question: &str) -> Vec<String> {
        let (status, answer) = self.ask(token, &format!("ai/detections?{SPAN}&{question}"));
        assert_eq!(status, 200, "{answer}");
        let rows = answer["detections"].as_array().unwrap();
        let mut plates: Vec<String> = rows.iter().map(|row| row["plate"].as_str().unwrap().to_owned()).collect();
        plates.sort();
        plates
    }
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A box of a prefeitura that saw these plates, and one alert.
async fn box_with(stage: &Stage, prefeitura: &str, plates: &[&str]) -> (FakeBox, Vec<Uuid>) {
    let mut fake = FakeBox::new();
    fake.prefeitura = prefeitura.to_owned();
    let crop = fake.object("lpr-images", b"a crop");
    upload(&stage.garage, &crop, b"a crop").await;
    let mut ids = Vec::new();
    for (n, plate) in plates.iter().enumerate() {
        let id = Uuid::now_v7();
        let Body::Detection(mut seen) = detection(plate, Some(crop.sha256)) else { unreachable!("it is one") };
        seen.alternatives.clear();
        seen.first_seen_us += n as i64;
        fake.append(&Body::Detection(seen), &id.to_string(), vec![crop.clone()]);
        ids.push(id);
    }
    let alert = body::Alert {
        rule: "watchlist".into(),
        severity: "critical".into(),
        camera: Some("gate-1".into()),
        detection: ids.first().copied(),
        plate: plates.first().map(|plate| PlateText((*plate).to_owned())),
        message: "Veículos roubados passaram".into(),
        reason: Some("B.O. 1234/2026".into()),
        raised_at_us: EPOCH,
    };
    fake.append(&Body::Alert(alert), "alert-1", vec![]);
    let recording = |start_s: i64, end_s: i64| {
        Body::Recording(body::Recording {
            camera: "gate-1".into(),
            stream: "main".into(),
            start_us: EPOCH + start_s * 1_000_000,
            end_us: EPOCH + end_s * 1_000_000,
            bytes: 1,
            frames: 1,
            sha256: client::sha256(b"x"),
            mime: None,
            object: None,
        })
    };
    // EPOCH is 13 minutes and 20 seconds past the hour: the second one goes into the next hour.
    fake.append(&recording(0, 60), "r1", vec![]);
    fake.append(&recording(2740, 2860), "r2", vec![]);
    fake.prove(1, 2, 9, 9, 0);
    Uplink::dial(&stage.center.url(), &fake).await.unwrap().deliver(&fake).await;
    (fake, ids)
}

#[tokio::test]
async fn each_city_sees_its_own_and_each_role_its_part() {
    let stage = Stage::new();
    let (own, ids) = box_with(&stage, "sao-paulo", &["ABC1C34"]).await;
    let (foreign, foreign_ids) = box_with(&stage, "campinas", &["ABC1C34", "ZZZ9Z99"]).await;
    let (viewer, investigator) = (stage.token("sao-paulo", "viewer"), stage.token("sao-paulo", "investigator"));

    let (_, boxes) = stage.ask(&viewer, "cidades/boxes");
    assert_eq!(boxes["boxes"].as_array().unwrap().len(), 1);
    assert_eq!(boxes["boxes"][0]["id"], own.id.to_string());
    assert_eq!(stage.ask(&viewer, &format!("cidades/boxes/{}/delivery", foreign.id)).0, 404);
    let (_, delivery) = stage.ask(&viewer, &format!("cidades/boxes/{}/delivery?{SPAN}", own.id));
    let hour = &delivery["hours"][0];
    assert_eq!((&hour["stated"]["records"], &hour["records"]), (&9.into(), &4.into()), "{delivery}");

    for path in ["ai/detections", "ai/alerts", "streaming/clips", &format!("ai/detections/{}", ids[0])] {
        assert_eq!(stage.ask(&viewer, path).0, 403, "{path}");
        assert_eq!(stage.ask(&investigator, path).0, 200, "{path}");
        assert_eq!(stage.ask("nonsense", path).0, 401, "{path}");
        assert_eq!(stage.ask(&stage.token("nowhere", "investigator"), path).0, 401, "{path}");
    }
    assert_eq!(stage.plates(&investigator, ""), ["ABC1C34"]);
    assert_eq!(stage.ask(&investigator, &format!("ai/detections/{}", foreign_ids[1])).0, 404);
    let (_, one) = stage.ask(&investigator, &format!("ai/detections/{}", ids[0]));
    let picture = Command::new("curl").args(["--silent", one["crop_url"].as_str().unwrap()]).output().unwrap();
    assert_eq!(picture.stdout, b"a crop", "the link works without credentials");

    // Stemmed: "roubado" finds "roubados".
    let (_, alerts) = stage.ask(&investigator, &format!("ai/alerts?{SPAN}&text=roubado"));
    assert_eq!(alerts["alerts"].as_array().unwrap().len(), 1, "{alerts}");
    assert_eq!(alerts["alerts"][0]["reason"], "B.O. 1234/2026");
    let (_, alerts) = stage.ask(&investigator, &format!("ai/alerts?{SPAN}&text=incendio"));
    assert_eq!(alerts["alerts"], serde_json::json!([]));

    let (_, coverage) = stage.ask(&viewer, "streaming/coverage?from=2026-09-21T14:00:00Z&to=2026-09-21T16:00:00Z");
    let stored: Vec<_> =
        coverage["hours"].as_array().unwrap().iter().map(|h| h["stored_s"].as_f64().unwrap()).collect();
    assert_eq!(stored, [120.0, 60.0], "{coverage}");

    // Whoever looked at personal data is on record, without the plate.
    stage.ask(&investigator, "ai/detections?plate=abc-1c34");
    let sql = connect(&stage.url).await;
    let row = sql
        .query_one("SELECT subject, path, plate_hmac FROM admin.accesses ORDER BY at DESC LIMIT 1", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("ana", "/api/ai/detections"));
    // As an administrator who has the secret finds out whether a certain plate was asked for.
    let find = format!("printf plate:ABC1C34 | openssl dgst -sha256 -hmac '{SECRET}' -binary | basenc --base64url");
    let found = Command::new("sh").args(["-c", &find]).output().unwrap();
    assert_eq!(row.get::<_, &str>(2), String::from_utf8(found.stdout).unwrap().trim().trim_end_matches('='));
    // The database itself keeps the cities apart, whatever a query says, and shows nothing to who names none.
    sql.batch_execute("SET ROLE gtv_reader").await.unwrap();
    let count =
        async |what: &str| sql.query_one(&format!("SELECT count(*) FROM {what}"), &[]).await.unwrap().get::<_, i64>(0);
    for table in ["ai.detections", "ai.plates", "ai.alerts", "cidades.boxes", "cidades.cameras", "streaming.recordings"]
    {
        assert_eq!(count(table).await, 0, "{table}");
    }
    for hidden in ["sync.records", "admin.accesses", "ai.detections_other"] {
        assert!(sql.query(&format!("SELECT FROM {hidden}"), &[]).await.is_err(), "{hidden}");
    }
    let (_, health) = stage.center.get("/healthz").unwrap();
    assert!(health.contains("\"read_api\":\"on\""), "{health}");
}

#[tokio::test]
async fn a_plate_is_found_by_what_people_and_readers_make_of_it() {
    let stage = Stage::new();
    box_with(&stage, "sao-paulo", &["ABC1C34", "ABC1234", "A8C1C34", "XYZ9876", "ABC1D34"]).await;
    let token = stage.token("sao-paulo", "investigator");
    assert_eq!(stage.plates(&token, "plate=abc-1c34"), ["ABC1234", "ABC1C34"], "both layouts of one vehicle");
    assert_eq!(stage.plates(&token, "plate=ABC1234"), ["ABC1234", "ABC1C34"]);
    assert_eq!(stage.plates(&token, "plate=ABC1234&similar=true"), ["A8C1C34", "ABC1234", "ABC1C34"]);
    assert_eq!(stage.plates(&token, "plate=*BC1?34"), ["ABC1234", "ABC1C34", "ABC1D34"]);
    assert_eq!(stage.plates(&token, "plate=XYZ*"), ["XYZ9876"]);
    assert_eq!(stage.plates(&token, "plate=QQQ1A11"), [""; 0]);
    assert_eq!(stage.plates(&token, "limit=2").len(), 2);
    for (question, field) in [
        ("plate=*", "plate"),
        ("plat=ABC1234", "query"),
        ("severity=critical", "query"),
        ("from=2030-01-01T00:00:00Z", "from"),
        ("to=-262143-01-01T00:00:00Z", "to"),
        ("to=%2B262142-01-01T00:00:00Z", "to"),
        ("to=0000-12-31T23:59:59Z", "to"),
    ] {
        let (status, answer) = stage.ask(&token, &format!("ai/detections?{question}"));
        assert_eq!(status, 400, "{question}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with(field), "{answer}");
    }
    // A condition that means nothing to a path would answer everything.
    for path in ["ai/alerts?plate=ABC1234", "streaming/clips?severity=critical", "cidades/boxes?camera=gate-1"] {
        assert_eq!(stage.ask(&token, path).0, 400, "{path}");
    }
}

#[tokio::test]
async fn an_answer_says_that_a_pattern_means_more_plates_than_are_looked_for() {
    let stage = Stage::new();
    box_with(&stage, "sao-paulo", &["ABC1C34"]).await;
    let token = stage.token("sao-paulo", "investigator");
    let truncated = || stage.ask(&token, &format!("ai/detections?{SPAN}&plate=ABC*")).1["truncated"].clone();
    assert_eq!(truncated(), false);
    let sql = connect(&stage.url).await;
    let add = async |first: i32, last: i32| {
        let plates = "INSERT INTO ai.plates SELECT id, 'ABC' || n, current_date FROM cidades.prefeituras";
        sql.batch_execute(&format!("{plates}, generate_series({first}, {last}) n")).await.unwrap();
    };
    add(1, 499).await;
    assert_eq!(truncated(), false, "as many as are looked for");
    add(500, 500).await;
    assert_eq!(truncated(), true);
}

#[tokio::test]
async fn the_document_knows_every_path() {
    let stage = Stage::new();
    let token = stage.token("sao-paulo", "investigator");
    box_with(&stage, "sao-paulo", &[]).await;
    let (_, document) = stage.ask(&token, "openapi.json");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 9);
    for path in paths.keys() {
        let path = path.trim_start_matches("/api/").replace("{id}", &Uuid::nil().to_string());
        let (status, answer) = stage.ask(&token, &path);
        let unknown_thing = path.contains(&Uuid::nil().to_string());
        assert_eq!(status, if unknown_thing { 404 } else { 200 }, "{path}: {answer}");
    }
    assert_eq!(stage.ask(&token, "cidades/nothing").0, 404);
}

/// Questions that hang hold the connections of the read API and no others.
#[tokio::test(flavor = "multi_thread")]
async fn questions_that_take_long_hold_up_no_box() {
    const ASKING: usize = 30;
    let stage = Stage::new();
    let (mut fake, _) = box_with(&stage, "sao-paulo", &["ABC1C34"]).await;
    let token = stage.token("sao-paulo", "viewer");
    let mut uplink = Uplink::dial(&stage.center.url(), &fake).await.unwrap();
    let mut sql = connect(&stage.url).await;
    let lock = sql.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE cidades.cameras IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let asking: Vec<_> = (0..ASKING)
        .map(|_| {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header"]);
            curl.arg(format!("Authorization: Bearer {token}"));
            curl.arg(format!("http://{}/api/cidades/cameras", stage.center.address()));
            curl.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let hanging = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let watching = connect(&stage.url).await;
    while watching.query_one(hanging, &[]).await.unwrap().get::<_, i64>(0) < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let last = fake.head().seq;
    for seq in last + 1..=last + 5 {
        fake.detect("ABC1C34", None);
        uplink.send_batch(fake.batch(seq, seq)).await.unwrap();
        assert_eq!(uplink.ack().await.seq, seq);
        assert_eq!(stage.center.get("/readyz").unwrap().0, 200);
    }
    for curl in asking {
        let status = curl.wait_with_output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&status), "503", "it took too long");
    }
    lock.rollback().await.unwrap();
    assert_eq!(stage.ask(&token, "cidades/cameras").0, 200);
}

#[tokio::test]
async fn a_question_that_is_given_up_leaves_its_connection_as_it_was() {
    let stage = Stage::new();
    let (fake, _) = box_with(&stage, "sao-paulo", &["ABC1C34"]).await;
    let arguments = DatabaseArgs { database_url: stage.url.clone(), database_ca_file: None, database_connections: 2 };
    let db = Database::new(&arguments).unwrap();
    let mut sql = connect(&stage.url).await;
    let lock = sql.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE sync.records IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let patience = Duration::from_secs(2);
    assert!(tokio::time::timeout(patience, db.hours(fake.id, 0, i64::MAX)).await.is_err(), "it waits");
    assert!(tokio::time::timeout(patience, db.hours_asked(fake.id, 0, i64::MAX)).await.is_err(), "it waits");
    lock.rollback().await.unwrap();
    let connections = [db.client().await.unwrap(), db.client().await.unwrap(), db.reader().await.unwrap()];
    for connection in &connections {
        let row = connection.query_one("SHOW statement_timeout", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "1min");
    }
}

#[tokio::test]
async fn a_revoked_token_counts_no_more() {
    let stage = Stage::new();
    Uplink::dial(&stage.center.url(), &FakeBox::new()).await.unwrap();
    let arguments = ["token", "--prefeitura", "sao-paulo", "--name", "ana", "--hours"];
    let token = |hours| stage.center.command_ok(&[&arguments[..], &[hours]].concat()).trim().to_owned();
    let (stolen, other) = (token("8"), token("9"));
    assert_eq!(stage.ask(&stolen, "cidades/boxes").0, 200);
    stage.center.command_ok(&["revoke", &stolen]);
    assert_eq!(stage.ask(&stolen, "cidades/boxes").0, 401);
    assert_eq!(stage.ask(&other, "cidades/boxes").0, 200, "of the same person");
    assert!(!stage.center.command(&["revoke", "nonsense"]).0.success());
}

/// Where the centre's own user may create no roles, a superuser does so once, before or after the first start.
#[tokio::test]
async fn an_administrator_may_make_the_role_instead() {
    let postgres = Postgres::start_new();
    let garage = Garage::start_empty();
    let url = postgres.create_owned_database("centre", "", "city");
    let environment = [("GTV_SYNC_DATABASE_URL", url.as_str()), ("GTV_SYNC_API_SECRET", SECRET)];
    let mut center = Center::start_with(&postgres, &garage, &environment);
    let read_api = |center: &Center| {
        let (_, body) = center.get("/healthz").unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["read_api"].as_str().unwrap().to_owned()
    };
    let off = read_api(&center);
    assert!(off.contains("CREATE ROLE gtv_reader NOLOGIN; GRANT gtv_reader TO"), "{off}");
    Uplink::dial(&center.url(), &FakeBox::new()).await.unwrap();

    postgres.as_superuser("CREATE ROLE gtv_reader NOLOGIN");
    postgres.as_superuser("GRANT gtv_reader TO centre");
    center.stop();
    center.start();
    assert_eq!(read_api(&center), "on");
    let stage = Stage { _postgres: postgres, garage, center, url };
    for path in ["cidades/boxes", "cidades/cameras", "ai/alerts", "streaming/clips", "streaming/coverage"] {
        assert_eq!(stage.ask(&stage.token("sao-paulo", "investigator"), path).0, 200, "{path}");
    }
    assert_eq!(stage.plates(&stage.token("sao-paulo", "investigator"), "plate=*A1*"), Vec::<String>::new());
}
