//! Keys by AssumeRole from a token service and S3 that are not ours: the centre gets them, the box uploads with them, and
//! what the role does not allow is refused.

#[path = "support/passage.rs"]
mod passage;
#[path = "../../central/tests/support/mod.rs"]
mod servers;

use std::time::Duration;

use bytes::Bytes;
use gtv_edge::base::identity::Identity;
use gtv_edge::base::tasks::Tasks;
use gtv_edge::config::{Config, SyncConfig};
use gtv_edge::store::{Bucket, Store};
use gtv_edge::sync;
use passage::passage;
use servers::moto::{Moto, REGION, ROLE_ARN};
use servers::{Center, Garage, Postgres};
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_box_uploads_with_keys_of_an_assumed_role() {
    let (postgres, garage, moto) = (Postgres::start_new(), Garage::start_empty(), Moto::start_new());
    let endpoint = moto.endpoint();
    let settings = [
        ("GTV_SYNC_S3_ENDPOINT", endpoint.as_str()),
        ("GTV_SYNC_S3_REGION", REGION),
        ("GTV_SYNC_S3_ACCESS_KEY", moto.access_key.as_str()),
        ("GTV_SYNC_S3_SECRET_KEY", moto.secret_key.as_str()),
        ("GTV_SYNC_BOX_S3_ACCESS", "sts"),
        ("GTV_SYNC_STS_ROLE_ARN", ROLE_ARN),
    ];
    let center = Center::start_with(&postgres, &garage, &settings);

    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: folder.path().to_owned(),
        sync: SyncConfig { url: center.url(), ..SyncConfig::default() },
        ..Config::default()
    };
    let identity = Identity::open_or_create(folder.path()).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let tasks = Tasks::new();
    let handle = sync::start(&config, store.clone(), identity.clone(), &tasks);
    let small = vec![1; 4000];
    let crop = store.put_object(Bytes::from(small), "image/jpeg", Bucket::LprImages).await.unwrap();
    store.insert_detection(passage("ABC1D23", Some(crop))).await.unwrap();
    let delivered = async {
        while store.outbox_status(identity.box_id).await.unwrap().pending() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, delivered).await.is_ok();
    assert!(in_time, "{:#?}\n{}\n{}", handle.status().borrow(), center.log(), moto.log());
    let (sql, connection) = tokio_postgres::connect(&postgres.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let checked = sql.query_one("SELECT checked, bytes FROM sync.objects", &[]).await.unwrap();
    assert_eq!((checked.get::<_, &str>(0), checked.get::<_, i64>(1)), ("content", 4000), "read back by the centre");
    let (_, health) = center.get("/healthz").unwrap();
    assert!(health.contains("sts: each box gets keys for its own prefix\""), "{health}");
    let log = moto.log();
    let put = format!("PUT /lpr-images/boxes/{}", identity.box_id);
    assert!(log.contains(&put), "{log}");
    assert!(tasks.shutdown(Duration::from_secs(20)).await);
}
