//! Tells the centre about the cameras: a record for each one that is new, changed or gone since the last time.

use std::collections::BTreeMap;

use gtv_protocol::body::{Body, Camera};

use super::error::SyncError;
use crate::config::CameraConfig;
use crate::store::{Lane, Store};

/// What was announced last, by camera id, as JSON.
const ANNOUNCED: &str = "sync.cameras";

pub(super) async fn cameras(store: &Store, cameras: &[CameraConfig]) -> Result<(), SyncError> {
    let known = store.state(ANNOUNCED).await?.unwrap_or_default();
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
        store.set_state(ANNOUNCED, Some(text)).await?;
    }
    Ok(())
}

async fn put(store: &Store, id: &str, name: &str, enabled: bool, removed: bool) -> Result<(), SyncError> {
    let body = Body::Camera(Camera {
        name: name.to_owned(),
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

    #[tokio::test]
    async fn only_changes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let gate = CameraConfig { id: "gate".parse().unwrap(), ..CameraConfig::default() };
        let yard = CameraConfig { id: "yard".parse().unwrap(), name: "Yard".to_owned(), ..CameraConfig::default() };
        let count = async || store.outbox_status(BoxId::default()).await.unwrap().waiting[1];
        cameras(&store, &[gate.clone(), yard.clone()]).await.unwrap();
        cameras(&store, &[gate.clone(), yard.clone()]).await.unwrap();
        assert_eq!(count().await, 2);
        cameras(&store, &[CameraConfig { name: "Gate".to_owned(), ..gate }]).await.unwrap();
        assert_eq!(count().await, 4, "one renamed, one gone");
    }
}
