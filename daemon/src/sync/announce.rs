//! Tells the centre about the cameras: a record for each one that is new, changed or gone since the last time.

use std::collections::BTreeMap;

use gtv_protocol::body::{Body, Camera};
use gtv_protocol::limits::TEXT_BYTES_MAX;
use gtv_protocol::status::short;
use tokio::sync::Mutex;

use super::error::SyncError;
use crate::config::CameraConfig;
use crate::store::{Lane, Store, TOLD_CAMERAS};

/// The cameras as they are now. One at a time tells of them, or an older name could come after a newer one.
#[derive(Debug)]
pub(super) struct Announcer {
    store: Store,
    cameras: Mutex<Vec<CameraConfig>>,
}

impl Announcer {
    pub(super) fn new(store: Store, cameras: Vec<CameraConfig>) -> Self {
        Self { store, cameras: Mutex::new(cameras) }
    }

    /// These are the cameras from now on.
    pub(super) async fn set(&self, cameras: &[CameraConfig]) -> Result<(), SyncError> {
        let mut now = self.cameras.lock().await;
        *now = cameras.to_vec();
        tell(&self.store, &now).await
    }

    /// Nothing, but at the start and where the centre lost what it was told.
    pub(super) async fn again(&self) -> Result<(), SyncError> {
        tell(&self.store, &self.cameras.lock().await).await
    }
}

async fn tell(store: &Store, cameras: &[CameraConfig]) -> Result<(), SyncError> {
    let known = store.state(TOLD_CAMERAS).await?.unwrap_or_default();
    // Unreadable means that all are announced again, which changes nothing at the centre.
    let known: BTreeMap<String, String> = serde_json::from_str(&known).unwrap_or_default();
    let mut now = BTreeMap::new();
    for camera in cameras {
        now.insert(camera.id.to_string(), (camera.shown_name().to_owned(), camera.enabled));
    }
    let mut announced = BTreeMap::new();
    for (id, (name, enabled)) in &now {
        let text = format!("{enabled} {name}");
        if known.get(id) != Some(&text) {
            put(store, id, name, *enabled, false).await?;
        }
        announced.insert(id.clone(), text);
    }
    for (id, text) in &known {
        if !now.contains_key(id) {
            let name = text.split_once(' ').map_or(id.as_str(), |(_, name)| name);
            put(store, id, name, false, true).await?;
        }
    }
    if announced != known {
        let text = serde_json::to_string(&announced).map_err(crate::store::StoreError::from)?;
        store.set_state(TOLD_CAMERAS, Some(text)).await?;
    }
    Ok(())
}

async fn put(store: &Store, id: &str, name: &str, enabled: bool, removed: bool) -> Result<(), SyncError> {
    let body = Body::Camera(Camera {
        // From a database of before names were checked, it may be no text of a record.
        name: short(name, TEXT_BYTES_MAX).unwrap_or_else(|| id.to_owned()),
        enabled,
        removed,
        manufacturer: None,
        model: None,
        latitude: None,
        longitude: None,
    });
    Ok(store.enqueue(Lane::Detections, body, id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BoxId;
    use crate::store::Pick;

    #[tokio::test]
    async fn only_changes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let gate = CameraConfig { id: "gate".parse().unwrap(), ..CameraConfig::default() };
        let yard = CameraConfig { id: "yard".parse().unwrap(), name: "Yard".to_owned(), ..CameraConfig::default() };
        let count = async || store.outbox_status(BoxId::default()).await.unwrap().waiting[1];
        let announcer = Announcer::new(store.clone(), vec![gate.clone(), yard.clone()]);
        announcer.again().await.unwrap();
        announcer.set(&[gate.clone(), yard]).await.unwrap();
        assert_eq!(count().await, 2);
        announcer.set(&[CameraConfig { name: "Gate".to_owned(), ..gate }]).await.unwrap();
        announcer.again().await.unwrap();
        assert_eq!(count().await, 4, "one renamed, one gone");

        let box_id = BoxId::default();
        let sent = store.next_batch(box_id, 0, Pick::all(9, 1 << 20)).await.unwrap().records;
        let epoch = sent[0].epoch;
        store.ack(box_id, epoch, 4).await.unwrap();
        store.begin_epoch(box_id, epoch + 1, false).await.unwrap();
        announcer.again().await.unwrap();
        assert_eq!(count().await, 0, "the centre has all of it");
        store.begin_epoch(box_id, epoch + 2, true).await.unwrap();
        announcer.again().await.unwrap();
        assert_eq!(count().await, 1, "a centre that was restored hears the names again");
    }

    #[tokio::test]
    async fn a_name_that_no_record_can_have_is_told_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let named = |id: &str, name: &str| CameraConfig {
            id: id.parse().unwrap(),
            name: name.to_owned(),
            ..CameraConfig::default()
        };
        let long = "é".repeat(300);
        let cameras = vec![named("a", "Gate\tNorth"), named("b", "\n"), named("c", &long)];
        Announcer::new(store.clone(), cameras).again().await.unwrap();
        let told = store.next_batch(BoxId::default(), 0, Pick::all(9, 1 << 20)).await.unwrap().records;
        let names = told.iter().map(|record| match Body::parse(&record.kind, &record.body).unwrap() {
            Body::Camera(camera) => camera.name,
            other => panic!("{other:?}"),
        });
        assert_eq!(names.collect::<Vec<_>>(), ["Gate North", "b", &long[..512]]);
    }
}
