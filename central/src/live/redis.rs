//! The keys and channels in Redis, and the only place that speaks to it.

use super::status::{Activity, BoxStatus};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{RedisError, RedisResult, TlsCertificates};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// Longer than a session may be silent before it is ended: the key of a service that was killed goes by itself.
const BOX_SECONDS: u64 = 150;
const STREAM_SECONDS: u64 = 900;
const RATE_SECONDS: u64 = 120;
const TIMEOUT: Duration = Duration::from_secs(3);

/// Sets a key and says so on a channel if its state is another one than before; an older word does not replace a newer,
/// and what was concluded not what the box said.
/// KEYS: the key. ARGV: value, seconds, state, channel, message, time of the word or 0, its source.
const SET: &str = "
local before = redis.call('GET', KEYS[1])
local old = before and cjson.decode(before)
if old and old.at_us and old.at_us > tonumber(ARGV[6]) then return 0 end
if old and old.source == 'status' and ARGV[7] == 'activity' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if not old or old.state ~= ARGV[3] then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1";

/// Removes a box's key if it still is that of the session that ended. KEYS: the key. ARGV: session, channel, message.
const REMOVE: &str = "
local before = redis.call('GET', KEYS[1])
if not before or cjson.decode(before).session ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1";

#[derive(Clone)]
pub struct Redis {
    manager: ConnectionManager,
}

impl Redis {
    /// Nothing is connected yet.
    pub fn new(url: &str, ca: Option<Vec<u8>>) -> RedisResult<Self> {
        let client = match ca {
            Some(pem) => {
                redis::Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert: Some(pem) })?
            }
            None => redis::Client::open(url)?,
        };
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        Ok(Self { manager: client.get_connection_manager_lazy(config)? })
    }

    pub async fn set_box(&self, status: &BoxStatus) -> RedisResult<()> {
        let key = format!("gtv:box:{}", status.box_id);
        let message = json!({ "box": status.box_id, "state": status.state }).to_string();
        let mut set = redis::cmd("EVAL");
        set.arg(SET).arg(1).arg(key).arg(text(status)?).arg(BOX_SECONDS).arg(status.state).arg(channel(status));
        set.arg(message).arg(0).arg("session");
        set.query_async(&mut self.manager.clone()).await
    }

    pub async fn remove_box(&self, status: &BoxStatus) -> RedisResult<()> {
        let message = json!({ "box": status.box_id, "state": "offline" }).to_string();
        let mut eval = redis::cmd("EVAL");
        eval.arg(REMOVE).arg(1).arg(format!("gtv:box:{}", status.box_id));
        eval.arg(status.session.to_string()).arg(channel(status)).arg(message);
        eval.query_async(&mut self.manager.clone()).await
    }

    /// All in one round trip: a status tells of every camera of its box.
    pub async fn set_streams(&self, status: &BoxStatus, activities: &[Activity]) -> RedisResult<()> {
        let mut pipe = redis::pipe();
        for activity in activities {
            let message = json!({ "box": status.box_id, "camera": activity.camera, "state": activity.state });
            pipe.cmd("EVAL").arg(SET).arg(1).arg(stream_key(status.box_id, &activity.camera));
            pipe.arg(text(activity)?).arg(STREAM_SECONDS).arg(&activity.state).arg(channel(status));
            pipe.arg(message.to_string()).arg(activity.at_us).arg(activity.source).ignore();
        }
        pipe.query_async(&mut self.manager.clone()).await
    }

    /// What is known of these cameras of these boxes, in this order.
    pub async fn streams(&self, cameras: &[(Uuid, &str)]) -> RedisResult<Vec<Option<String>>> {
        if cameras.is_empty() {
            return Ok(Vec::new());
        }
        let mut get = redis::cmd("MGET");
        for (box_id, camera) in cameras {
            get.arg(stream_key(*box_id, camera));
        }
        get.query_async(&mut self.manager.clone()).await
    }

    /// The value of a key, and for how many seconds it still is.
    pub async fn recall(&self, key: &str) -> RedisResult<Option<(String, u64)>> {
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(key).cmd("TTL").arg(key);
        let (value, seconds): (Option<String>, i64) = pipe.query_async(&mut self.manager.clone()).await?;
        Ok(value.map(|value| (value, seconds.max(0).cast_unsigned())))
    }

    pub async fn keep(&self, key: &str, value: &str, seconds: u64) -> RedisResult<()> {
        redis::cmd("SET").arg(key).arg(value).arg("EX").arg(seconds).query_async(&mut self.manager.clone()).await
    }

    pub async fn online(&self, boxes: &[Uuid]) -> RedisResult<BTreeSet<Uuid>> {
        if boxes.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut get = redis::cmd("MGET");
        for id in boxes {
            get.arg(format!("gtv:box:{id}"));
        }
        let values: Vec<Option<String>> = get.query_async(&mut self.manager.clone()).await?;
        Ok(boxes.iter().zip(values).filter_map(|(id, value)| value.map(|_| *id)).collect())
    }

    pub async fn count_question(&self, subject: &str) -> RedisResult<u64> {
        let minute = chrono::Utc::now().timestamp() / 60;
        let key = format!("gtv:rate:{minute}:{subject}");
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("INCR").arg(&key).cmd("EXPIRE").arg(&key).arg(RATE_SECONDS).ignore();
        let (count,): (u64,) = pipe.query_async(&mut self.manager.clone()).await?;
        Ok(count)
    }
}

fn stream_key(box_id: Uuid, camera: &str) -> String {
    format!("gtv:stream:{box_id}:{camera}")
}

/// One channel a prefeitura.
fn channel(status: &BoxStatus) -> String {
    format!("gtv:status:{}", status.prefeitura)
}

fn text(value: &impl serde::Serialize) -> RedisResult<String> {
    serde_json::to_string(value).map_err(|e| RedisError::from((redis::ErrorKind::Client, "own status", e.to_string())))
}
