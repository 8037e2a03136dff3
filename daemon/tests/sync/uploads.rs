//! Large uploads that break off: they go on where they stopped, with keys and with signed requests.

use std::time::Duration;

use gtv_edge::store::{Begun, ObjectRef, Unfinished};
use object_store::multipart::MultipartStore;
use object_store::{ObjectStoreExt, PutPayload};

use crate::harness::{Centre, EdgeBox, PATIENCE, key, noise};
use crate::throttle::{Forward, Line};

const MIB: u64 = 1 << 20;
const PART: u64 = 5 * MIB;

struct Stage {
    centre: Centre,
    /// What boxes reach S3 through.
    s3: Forward,
    edge: EdgeBox,
}

impl Stage {
    async fn new(access: &str) -> Self {
        let (centre, s3) = Centre::behind(&Line::new(200e6), access);
        let edge = EdgeBox::new(centre.center.url(), None);
        edge.until("connected", |status| status.connected).await;
        Self { centre, s3, edge }
    }

    /// A clip whose upload was cut in its third part.
    async fn cut_clip(&self, bytes: Vec<u8>) -> ObjectRef {
        let (id, _) = self.edge.detect(bytes.len() as u64 % 9000).await;
        self.edge.until_delivered().await;
        self.s3.cut_after(12 * MIB);
        let clip = self.edge.attach_clip(id, bytes).await;
        self.edge.until("cut", |status| status.objects.is_some()).await;
        assert_eq!(self.unfinished(&clip).await.unwrap().receipts.len(), 2);
        clip
    }

    async fn unfinished(&self, object: &ObjectRef) -> Option<Unfinished> {
        self.edge.store().unfinished_upload(&object.sha256).await.unwrap()
    }

    async fn lost(&self) -> i64 {
        self.centre.count("sync.objects WHERE checked = 'lost'").await
    }

    /// Cuts, a restart of the box, kills of centre and S3: no part is sent twice but the one that was under way.
    async fn goes_on_after_everything(&mut self) {
        let bytes = noise(41 * MIB as usize + 7, 1);
        let before = self.s3.upward_bytes();
        let clip = self.cut_clip(bytes.clone()).await;
        self.edge.stop().await;
        self.s3.cut_after(12 * MIB);
        self.edge.start();
        self.s3.until_cut().await;
        self.centre.center.kill();
        self.centre.garage.kill();
        self.centre.garage.start();
        self.centre.center.start();
        self.s3.mend();
        self.edge.until_delivered().await;
        assert_eq!(self.centre.stored(&self.edge.identity, &clip).await, bytes);
        assert_eq!(self.unfinished(&clip).await, None);
        let sent = self.s3.upward_bytes() - before;
        let most = clip.bytes + 2 * PART + MIB;
        assert!(sent < most, "{sent} bytes for an object of {}, cut twice", clip.bytes);
    }

    async fn begins_anew_where_it_is_unknown(&self) {
        let bytes = noise(16 * MIB as usize, 2);
        let clip = self.cut_clip(bytes.clone()).await;
        let upload = self.unfinished(&clip).await.unwrap().begun.upload;
        let path = key(&self.edge.identity, &clip);
        self.centre.bucket(&clip).abort_multipart(&path, &upload).await.unwrap();
        self.s3.mend();
        self.edge.until_delivered().await;
        assert_eq!(self.centre.stored(&self.edge.identity, &clip).await, bytes);
        assert_eq!(self.lost().await, 0);
    }

    /// As after a crash between the end of the upload and its row.
    async fn knows_what_was_finished_before(&mut self, begun: Begun) {
        let bytes = noise(11 * MIB as usize, 3);
        // Nothing begins before all is written: the box ends an upload of an object that no record names, and begins anew
        // where it finds none.
        self.edge.rest().await;
        let (id, _) = self.edge.detect(3).await;
        let clip = self.edge.attach_clip(id, bytes.clone()).await;
        let (bucket, path) = (self.centre.bucket(&clip), key(&self.edge.identity, &clip));
        let upload = bucket.create_multipart(&path).await.unwrap();
        let store = self.edge.store();
        store.upload_begun(&clip.sha256, Begun { upload: upload.clone(), ..begun }).await.unwrap();
        let mut parts = Vec::new();
        for (number, part) in bytes.chunks(PART as usize).enumerate() {
            let part = bucket.put_part(&path, &upload, number, PutPayload::from(part.to_vec())).await.unwrap();
            store.upload_part_done(&clip.sha256, &upload, number as u32, &part.content_id).await.unwrap();
            parts.push(part);
        }
        bucket.complete_multipart(&path, &upload, parts).await.unwrap();
        let before = self.s3.upward_bytes();
        self.edge.stop().await;
        self.edge.start();
        self.edge.until_delivered().await;
        let sent = self.s3.upward_bytes() - before;
        assert!(sent < MIB, "{sent} bytes for what is there");
        assert_eq!(self.centre.stored(&self.edge.identity, &clip).await, bytes);
        assert_eq!((self.unfinished(&clip).await, self.lost().await), (None, 0));
    }

    async fn gives_up_what_is_damaged(&self) {
        let mut bytes = noise(17 * MIB as usize, 4);
        let clip = self.cut_clip(bytes.clone()).await;
        let upload = self.unfinished(&clip).await.unwrap().begun.upload;
        // In a part that the server has already.
        bytes[1000] ^= 1;
        std::fs::write(self.edge.store().object_path(&clip.sha256).unwrap(), &bytes).unwrap();
        self.s3.mend();
        self.edge.until_delivered().await;
        assert_eq!(self.lost().await, 1);
        self.until_ended(&clip, &upload).await;
        let (bucket, path) = (self.centre.bucket(&clip), key(&self.edge.identity, &clip));
        assert!(bucket.head(&path).await.is_err(), "and it is no object");
    }

    async fn ends_what_the_box_lets_go(&self) {
        let clip = self.cut_clip(noise(18 * MIB as usize, 6)).await;
        let upload = self.unfinished(&clip).await.unwrap().begun.upload;
        let store = self.edge.store();
        // As when the spool is full.
        store.mark_object_lost(&clip.sha256, "more waited than sync.spool_max allows").await.unwrap();
        store.delete_object(&clip.sha256).await.unwrap();
        self.s3.mend();
        self.edge.until_delivered().await;
        self.until_ended(&clip, &upload).await;
    }

    async fn ends_what_does_not_become_an_object(&self) {
        let bytes = noise(19 * MIB as usize, 7);
        let clip = self.cut_clip(bytes.clone()).await;
        let upload = self.unfinished(&clip).await.unwrap().begun.upload;
        let wrong = "\"00000000000000000000000000000000\"";
        self.edge.store().upload_part_done(&clip.sha256, &upload, 0, wrong).await.unwrap();
        self.s3.mend();
        self.edge.until_delivered().await;
        assert_eq!(self.centre.stored(&self.edge.identity, &clip).await, bytes, "it began anew");
        self.until_ended(&clip, &upload).await;
    }

    /// The box has forgotten the upload, and the object store has none of its parts.
    async fn until_ended(&self, clip: &ObjectRef, upload: &str) {
        let ended = async {
            while self.unfinished(clip).await.is_some() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the upload ends");
        let (bucket, path) = (self.centre.bucket(clip), key(&self.edge.identity, clip));
        let put = bucket.put_part(&path, &upload.to_owned(), 0, PutPayload::from_static(b"x")).await;
        let gone = put.unwrap_err().to_string();
        assert!(gone.contains("NoSuchUpload"), "its parts are not kept: {gone}");
    }

    async fn all(&mut self) {
        self.goes_on_after_everything().await;
        let place = {
            let clip = self.cut_clip(noise(15 * MIB as usize, 5)).await;
            self.unfinished(&clip).await.unwrap().begun
        };
        self.s3.mend();
        self.edge.until_delivered().await;
        self.knows_what_was_finished_before(place).await;
        self.begins_anew_where_it_is_unknown().await;
        self.ends_what_does_not_become_an_object().await;
        self.gives_up_what_is_damaged().await;
        self.ends_what_the_box_lets_go().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn with_keys() {
    Stage::new("keys").await.all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn with_signed_requests() {
    Stage::new("presigned").await.all().await;
}
