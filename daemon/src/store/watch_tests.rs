//! Watchlists, hits and deliveries through the store's own interface.

use uuid::Uuid;

use super::tests::{SECOND, camera, open, passage};
use super::*;
use crate::base::ids::BoxId;
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;

const BOX: BoxId = BoxId(Uuid::from_u128(7));

fn list(name: &str) -> WatchlistChange {
    WatchlistChange { name: name.to_owned(), severity: Severity::Critical, reason: "stolen".to_owned(), enabled: true }
}

fn entry(plate: &str) -> WatchEntry {
    WatchEntry { plate: Plate::normalize(plate), reason: String::new(), valid_from: None, valid_until: None }
}

async fn watch(store: &Store, name: &str, plates: &[&str]) -> Uuid {
    let id = store.create_watchlist(list(name), "ana").await.unwrap().id;
    for plate in plates {
        assert!(store.put_watch_entry(id, entry(plate)).await.unwrap());
    }
    id
}

/// Match, listed plate and matched reading of every alert, oldest first.
async fn hits(store: &Store) -> Vec<(String, String, String)> {
    let mut alerts = store.alerts(AlertQuery::default()).await.unwrap();
    alerts.reverse();
    let text = |alert: &AlertRow, key: &str| alert.detail[key].as_str().unwrap().to_owned();
    alerts.iter().map(|alert| (text(alert, "match"), text(alert, "plate"), text(alert, "matched"))).collect()
}

fn hit(kind: &str, plate: &str, matched: &str) -> (String, String, String) {
    (kind.to_owned(), plate.to_owned(), matched.to_owned())
}

#[tokio::test]
async fn a_listed_vehicle_raises_an_alert_with_its_passage() {
    let (store, folder) = open();
    let stolen = watch(&store, "Stolen", &["ABC1234", "BRA2E19", "QQQ0A11"]).await;
    let mut events = store.events();
    let mut read = passage("BRA2E79", 2 * SECOND);
    read.alternatives = vec![("BRA2E19".to_owned(), 0.2), ("QQQ0A11".to_owned(), 0.05)];
    store.insert_detection(passage("ABC1C34", SECOND)).await.unwrap();
    store.insert_detection(read.clone()).await.unwrap();
    store.insert_detection(read.clone()).await.unwrap();
    store.insert_detection(passage("QQQ0A11", 3 * SECOND)).await.unwrap();
    store.insert_detection(passage("XXX1X11", 4 * SECOND)).await.unwrap();
    let expected = [
        hit("equivalent", "ABC1234", "ABC1C34"),
        hit("alternative", "BRA2E19", "BRA2E19"),
        hit("exact", "QQQ0A11", "QQQ0A11"),
    ];
    assert_eq!(hits(&store).await, expected);
    let alert = store.alerts(AlertQuery { limit: 2, ..AlertQuery::default() }).await.unwrap().remove(1);
    assert_eq!((alert.kind.as_str(), alert.severity.clone()), (HIT, Severity::Critical));
    assert_eq!((alert.detection, alert.camera.clone()), (Some(read.id), Some(camera("gate"))));
    assert_eq!(alert.detail["confidence"], 0.2);
    assert_eq!((alert.detail["watchlist"].as_str(), alert.detail["reason"].as_str()), (Some("Stolen"), Some("stolen")));
    assert!(!alert.title.contains("BRA2E") && !format!("{alert:?}").contains("BRA2E"), "{alert:?}");
    assert!(matches!(events.try_recv().unwrap(), StoreEvent::Detection(_)));
    assert!(matches!(events.try_recv().unwrap(), StoreEvent::Alert(row) if row.detail["match"] == "equivalent"));
    let records = store.next_batch(BOX, 0, Pick::all(9, 1 << 20)).await.unwrap().records;
    let told =
        records.iter().filter(|record| record.kind == "alert" && record.body.get().contains(r#""reason":"stolen""#));
    assert_eq!(told.count(), 3, "the centre knows why");

    // The next start knows the lists again; a list that is off or gone raises nothing.
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.watch_status().vehicles, 3);
    store.insert_detection(passage("ABC1234", 5 * 3600 * SECOND)).await.unwrap();
    assert_eq!(hits(&store).await.len(), 4);
    store.change_watchlist(stolen, WatchlistChange { enabled: false, ..list("Stolen") }).await.unwrap();
    store.insert_detection(passage("ABC1234", 9 * 3600 * SECOND)).await.unwrap();
    store.change_watchlist(stolen, list("Stolen")).await.unwrap();
    store.delete_watch_entry(stolen, Plate::normalize("ABC1234")).await.unwrap();
    store.insert_detection(passage("ABC1234", 12 * 3600 * SECOND)).await.unwrap();
    assert_eq!(hits(&store).await.len(), 4);
    store.delete_watchlist(stolen).await.unwrap();
    assert_eq!((store.watch_status().vehicles, store.watchlists().await.unwrap().len()), (0, 0));
}

#[tokio::test]
async fn validity_and_several_lists() {
    let (store, _folder) = open();
    let first = watch(&store, "First", &[]).await;
    watch(&store, "Second", &["ABC1234", "ABC1C34"]).await;
    let valid = WatchEntry {
        reason: "court order".to_owned(),
        valid_from: Some(UtcMicros(10)),
        valid_until: Some(UtcMicros(20)),
        ..entry("ABC1234")
    };
    store.put_watch_entry(first, valid).await.unwrap();
    store.set_alert_policy(AlertPolicy { cooldown_us: 0, ..AlertPolicy::default() }).await.unwrap();
    for at in [9, 10, 19, 20] {
        store.insert_detection(passage("ABC1234", at)).await.unwrap();
    }
    let alerts = store.alerts(AlertQuery::default()).await.unwrap();
    let of = |name: &str| alerts.iter().filter(|alert| alert.detail["watchlist"] == name).count();
    assert_eq!((of("First"), of("Second")), (2, 4), "one alert a list, also where it has both spellings");
    assert!(alerts.iter().any(|alert| alert.detail["reason"] == "court order"));
    assert!(store.create_watchlist(list("second"), "ana").await.unwrap_err().to_string().contains("another name"));
    assert!(store.change_watchlist(first, list("SECOND")).await.is_err());
    assert!(store.put_watch_entry(first, entry("ABCDEFGHIJKLM")).await.is_err());
    assert!(store.watch_entries(Uuid::nil(), None, None, 9).await.is_err());
}

#[tokio::test]
async fn a_vehicle_that_comes_again_is_counted() {
    let (store, _folder) = open();
    watch(&store, "Stolen", &["ABC1234"]).await;
    let mut unsure = passage("ABC1284", SECOND);
    unsure.alternatives = vec![("ABC1234".to_owned(), 0.3)];
    store.insert_detection(unsure).await.unwrap();
    for minute in 1..6 {
        store.insert_detection(passage("ABC1234", minute * 60 * SECOND)).await.unwrap();
    }
    let mut elsewhere = passage("ABC1234", 90 * SECOND);
    elsewhere.camera = camera("yard");
    store.insert_detection(elsewhere).await.unwrap();
    let alerts = store.alerts(AlertQuery::default()).await.unwrap();
    let mut seen: Vec<_> = alerts
        .iter()
        .map(|a| (a.camera.clone().unwrap().to_string(), a.detail["match"].clone(), a.detail["repeats"].clone()))
        .collect();
    seen.sort_by_key(|seen| format!("{seen:?}"));
    let row = |camera: &str, kind: &str, repeats: i64| (camera.to_owned(), kind.into(), repeats.into());
    assert_eq!(seen, [row("gate", "alternative", 0), row("gate", "exact", 4), row("yard", "exact", 0)]);
    store.insert_detection(passage("ABC1234", (60 + 600) * SECOND)).await.unwrap();
    assert_eq!(store.alerts(AlertQuery::default()).await.unwrap().len(), 4, "the cooldown is over");
}

#[tokio::test]
async fn alerts_are_paged_acknowledged_and_expire() {
    let (store, _folder) = open();
    watch(&store, "Stolen", &["ABC1234"]).await;
    store.set_alert_policy(AlertPolicy { cooldown_us: 0, ..AlertPolicy::default() }).await.unwrap();
    for at in 1..=5 {
        store.insert_detection(passage("ABC1234", at)).await.unwrap();
    }
    let all = store.alerts(AlertQuery::default()).await.unwrap();
    let mut paged = Vec::new();
    let mut query = AlertQuery { limit: 2, ..AlertQuery::default() };
    loop {
        let page = store.alerts(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query.before = Some((last.at, last.id));
        paged.extend(page);
    }
    assert_eq!((paged.len(), &paged), (5, &all));
    let first = store.acknowledge_alert(all[0].id, "ana", UtcMicros(7)).await.unwrap();
    let again = store.acknowledge_alert(all[0].id, "rui", UtcMicros(8)).await.unwrap();
    assert_eq!((&first, again.acknowledged_by.as_deref()), (&again, Some("ana")));
    assert!(store.acknowledge_alert(Uuid::nil(), "ana", UtcMicros(7)).await.is_err());
    let open = AlertQuery { open: true, kind: Some(HIT.to_owned()), ..AlertQuery::default() };
    assert_eq!(store.alerts(open).await.unwrap().len(), 4);
    assert_eq!(store.expire_alerts(all[2].at, 100).await.unwrap(), 2);
    assert_eq!(store.alerts(AlertQuery::default()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn deliveries_outlive_restarts_and_are_given_up_visibly() {
    let (store, folder) = open();
    watch(&store, "Stolen", &["ABC1234"]).await;
    let target = |name: &str, kinds: &[&str]| AlertTarget {
        name: name.to_owned(),
        kinds: kinds.iter().map(ToString::to_string).collect(),
    };
    let targets = vec![target("webhook/a", &[HIT]), target("webhook/b", &["camera-lost"]), target("mqtt", &[])];
    let policy = AlertPolicy { cooldown_us: 0, targets, ..AlertPolicy::default() };
    store.set_alert_policy(policy.clone()).await.unwrap();
    for at in 1..=3 {
        store.insert_detection(passage("ABC1234", at)).await.unwrap();
    }
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    store.set_alert_policy(policy.clone()).await.unwrap();
    let now = UtcMicros::now();
    let due = store.due_deliveries("webhook/a", now, 9).await.unwrap();
    assert_eq!(due.len(), 3);
    assert!(store.due_deliveries("webhook/b", now, 9).await.unwrap().is_empty());
    store.delivered(due[0].id).await.unwrap();
    store.delivered(due[0].id).await.unwrap();
    store.delivery_failed(due[1].id, "it answers 422", Some(now.add_micros(60 * SECOND))).await.unwrap();
    store.delivery_failed(due[2].id, "it answers 500", None).await.unwrap();
    assert!(store.due_deliveries("webhook/a", now, 9).await.unwrap().is_empty(), "one waits for its retry");
    let later = store.due_deliveries("webhook/a", now.add_micros(61 * SECOND), 9).await.unwrap();
    assert_eq!((later.len(), later[0].tries), (1, 1));
    assert_eq!(store.due_deliveries("webhook/a", UtcMicros(5), 9).await.unwrap().len(), 1, "the clock was set back");
    let status = store.alert_targets().await.unwrap();
    let a = &status[0];
    assert_eq!((a.name.as_str(), a.waiting, a.delivered, a.given_up), ("webhook/a", 1, 1, 1));
    assert_eq!(a.error.as_deref(), Some("given up: it answers 500"));
    assert_eq!((status[1].waiting, status[2].waiting), (0, 3));

    assert_eq!(store.give_up_deliveries("mqtt", now.add_micros(SECOND), "offline").await.unwrap(), 3);
    store.set_alert_policy(AlertPolicy { targets: vec![target("mqtt", &[])], ..policy }).await.unwrap();
    let status = store.alert_targets().await.unwrap();
    assert_eq!((status.len(), status[0].waiting, status[0].given_up), (1, 0, 3));
}

#[tokio::test]
async fn plates_are_found_by_wildcard_and_likeness() {
    let (store, _folder) = open();
    let mut unsure = passage("ABC1284", 100);
    unsure.alternatives = vec![("ABC1234".to_owned(), 0.3)];
    store.insert_detection(unsure).await.unwrap();
    store.insert_detection(passage("ABC1234", 200)).await.unwrap();
    store.insert_detection(passage("ABC1Z34", 300)).await.unwrap();
    store.insert_detection(passage("XAB9Y99", 400)).await.unwrap();
    let find = |text: &str| {
        let (store, text) = (store.clone(), text.to_owned());
        async move {
            let query = DetectionQuery { text: Some(text), matching: Matching::Wildcard, ..DetectionQuery::default() };
            let rows = store.detections(query).await.unwrap();
            rows.iter().map(|row| row.plate.as_str().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(find("ABC1?34").await, ["ABC1Z34", "ABC1234", "ABC1284"], "alternatives and other spellings too");
    assert_eq!(find("ABC12*").await, ["ABC1234", "ABC1284"]);
    assert_eq!(find("A?C1?34").await.len(), 3);
    assert_eq!(find("A??1??4").await.len(), 3, "no index helps here");
    assert_eq!(find("AB*").await.len(), 3);
    assert_eq!(find("*AB9*").await, ["XAB9Y99"]);
    assert_eq!(find("ABC123").await, Vec::<String>::new(), "a whole plate");

    let similar = |text: &str| DetectionQuery { text: Some(text.to_owned()), ..DetectionQuery::default() };
    let scores = |found: Vec<Similar>| {
        found.iter().map(|s| (s.row.plate.as_str().to_owned(), (s.score * 100.0).round())).collect::<Vec<_>>()
    };
    let found = scores(store.similar_detections(similar("abc-1c34")).await.unwrap());
    assert_eq!(found, [("ABC1234".to_owned(), 98.0), ("ABC1284".to_owned(), 30.0)]);
    let found = scores(store.similar_detections(similar("AB9")).await.unwrap());
    assert_eq!(found, [("XAB9Y99".to_owned(), 98.0)]);
    assert!(store.similar_detections(similar("")).await.unwrap().is_empty());

    assert_eq!(store.expire_detections(UtcMicros(250), 10).await.unwrap(), 2);
    assert_eq!(store.similar_detections(similar("ABC1234")).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_long_search_is_continued_page_by_page() {
    let (store, _folder) = open();
    store.insert_detection(passage("ZZZ9Z99", 1)).await.unwrap();
    let inserts = (0..1000).map(|i| store.insert_detection(passage("ABC1D23", 10 + i)));
    futures_util::future::join_all(inserts).await.into_iter().for_each(Result::unwrap);
    let text = |text: &str| DetectionQuery { text: Some(text.to_owned()), limit: 5, ..DetectionQuery::default() };
    let first = store.detection_page(text("zz9z9")).await.unwrap();
    assert_eq!((first.rows.len(), first.next), (1, None), "the index leads there at once");
    let mut query = DetectionQuery { camera: Some(camera("yard")), ..text("ABC") };
    let page = store.detection_page(query.clone()).await.unwrap();
    assert!(page.rows.is_empty() && page.next.is_some(), "looked at enough for one page");
    query.before = page.next;
    let page = store.detection_page(query).await.unwrap();
    assert!(page.rows.is_empty() && page.next.is_none());
}
