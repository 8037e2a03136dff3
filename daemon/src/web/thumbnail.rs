//! Small pictures of recorded time: the key frame nearest to a moment, decoded once and kept while there is room.
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};

use super::app::App;
use super::error::{ApiError, ApiResult};
use crate::base::error::Kind;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::media::{jpeg, still};
use crate::record::RecordError;
use crate::store::{FragmentAt, Stream};

/// Wide enough for a strip and for the picture beside the pointer.
const WIDTH: u32 = 240;
const QUALITY: u8 = 70;
/// About 3000 pictures.
const CACHE_BYTES: usize = 24 << 20;
/// Those that somebody waits for count as well.
const CACHE_MAX: usize = 8192;
/// A strip asks for twenty at once; recording and live video must not wait for them.
const AT_ONCE: usize = 2;

/// A fragment is named by where it was recorded: what it shows never changes.
type Key = (CameraId, Stream, UtcMicros);
type Slot = Arc<OnceCell<Bytes>>;

pub struct Thumbnails {
    cache: Mutex<Cache>,
    decoding: Semaphore,
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self { cache: Mutex::default(), decoding: Semaphore::new(AT_ONCE) }
    }
}

/// The picture nearest to a moment, and when it was taken.
pub struct Thumbnail {
    pub at: UtcMicros,
    pub jpeg: Bytes,
}

/// When the picture for `at` was taken, without decoding it.
pub async fn find(
    app: &App,
    camera: &CameraId,
    stream: Stream,
    at: UtcMicros,
    within_us: i64,
) -> ApiResult<FragmentAt> {
    app.store().key_fragment_near(camera, stream, at, within_us).await?.ok_or_else(|| {
        let mut error = ApiError::not_found(format!("A recorded picture of camera `{camera}` near that time"));
        error.remedy = "Choose a time inside a recorded stretch, or a larger `within`.".into();
        error
    })
}

pub async fn take(app: &App, camera: &CameraId, stream: Stream, row: &FragmentAt) -> ApiResult<Thumbnail> {
    let key = (camera.clone(), stream, row.start);
    let slot = app.thumbnails.lock().slot(&key);
    // Whoever asks for the same picture meanwhile waits for this one.
    let jpeg = slot.get_or_try_init(|| decode(app, row)).await.cloned();
    let mut cache = app.thumbnails.lock();
    match jpeg {
        Ok(jpeg) => {
            cache.filled(&key, &slot, jpeg.len());
            Ok(Thumbnail { at: row.start, jpeg })
        }
        Err(error) => {
            cache.forget(&key, &slot);
            Err(error)
        }
    }
}

async fn decode(app: &App, row: &FragmentAt) -> ApiResult<Bytes> {
    let _turn = app.thumbnails.decoding.acquire().await.map_err(|error| ApiError::internal("waiting", error))?;
    let no_init = || RecordError::NoInit { id: row.init_id.clone() };
    let init = app.store().init(&row.init_id).await?.ok_or_else(no_init)?;
    let (path, offset, bytes) = (app.store().dir().join(&row.path), row.offset, row.bytes);
    let picture = tokio::task::spawn_blocking(move || {
        let mut data = vec![0; usize::try_from(bytes).unwrap_or_default()];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut data, offset))
            .map_err(|error| ApiError::from(RecordError::file("read the recording", &path, error)))?;
        let failed = |error: crate::media::MediaError| {
            ApiError::of_kind(error.kind(), error.to_string(), super::error::kind_remedy(Kind::Internal))
        };
        let image = still::first_stored_picture(&init.codec, &init.data, &data, WIDTH).map_err(failed)?;
        jpeg::encode(&image, QUALITY).map_err(failed)
    });
    picture.await.map_err(|error| ApiError::internal("decoding a picture", error))?
}

impl Thumbnails {
    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The least recently used pictures go first.
#[derive(Default)]
struct Cache {
    slots: HashMap<Key, Entry>,
    order: BTreeMap<u64, Key>,
    turn: u64,
    bytes: usize,
}

struct Entry {
    slot: Slot,
    turn: u64,
    bytes: usize,
}

impl Cache {
    fn slot(&mut self, key: &Key) -> Slot {
        self.turn += 1;
        let turn = self.turn;
        let entry = self.slots.entry(key.clone()).or_insert_with(|| Entry { slot: Slot::default(), turn, bytes: 0 });
        self.order.remove(&entry.turn);
        entry.turn = turn;
        self.order.insert(turn, key.clone());
        let slot = entry.slot.clone();
        self.trim();
        slot
    }

    fn filled(&mut self, key: &Key, slot: &Slot, bytes: usize) {
        let Some(entry) = self.slots.get_mut(key).filter(|entry| Arc::ptr_eq(&entry.slot, slot)) else { return };
        if entry.bytes == 0 {
            entry.bytes = bytes;
            self.bytes += bytes;
            metrics::counter!("gtv_thumbnails_decoded_total").increment(1);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while (self.bytes > CACHE_BYTES || self.slots.len() > CACHE_MAX)
            && let Some((_, oldest)) = self.order.pop_first()
            && let Some(gone) = self.slots.remove(&oldest)
        {
            self.bytes -= gone.bytes;
        }
    }

    /// A picture that could not be made is tried again by the next who asks.
    fn forget(&mut self, key: &Key, slot: &Slot) {
        if let Some(entry) = self.slots.get(key).filter(|entry| Arc::ptr_eq(&entry.slot, slot) && entry.bytes == 0) {
            self.order.remove(&entry.turn);
            self.slots.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_pictures_go_first() {
        let key = |n: i64| (CameraId::try_from("gate".to_owned()).unwrap(), Stream::Main, UtcMicros(n));
        let mut cache = Cache::default();
        let half = CACHE_BYTES / 2;
        for n in [1, 2] {
            let slot = cache.slot(&key(n));
            cache.filled(&key(n), &slot, half);
        }
        let again = cache.slot(&key(1));
        cache.filled(&key(1), &again, half);
        assert_eq!(cache.bytes, CACHE_BYTES, "counted once");
        let third = cache.slot(&key(3));
        cache.filled(&key(3), &third, half);
        assert!(cache.slots.contains_key(&key(1)) && !cache.slots.contains_key(&key(2)));
        assert_eq!((cache.bytes, cache.order.len()), (CACHE_BYTES, 2));
        let failed = cache.slot(&key(4));
        cache.forget(&key(4), &failed);
        assert_eq!(cache.slots.len(), 2);
    }
}
