//! The keys and channels in Redis, and the only place that speaks to it.

use super::status::{Activity, BoxStatus};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{RedisError, RedisResult};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// Longer than a session may be silent before it is ended: the key of a service that was killed goes by itself.
const BOX_SECONDS: u64 = 150;
const STREAM_SECONDS: u64 = 900;
const RATE_SECONDS: u64 = 120;
const TIMEOUT: Duration = Duration::from_secs(3);

/// Sets a key and says so on a channel if its state is another one than before; an older word does not replace a newer.
/// KEYS: the key. ARGV: value, seconds, state, channel, message, time of the word or 0.
const SET: &str = "
local before = redis.call('GET', KEYS[1])
local old = before and cjson.decode(before)
if old and old.at_us and old.at_us > tonumber(ARGV[6]) then return 0 end
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
    pub fn new(url: &str) -> RedisResult<Self> {
        let client = redis::Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        Ok(Self { manager: client.get_connection_manager_lazy(config)? })
    }

    pub async fn set_box(&self, status: &BoxStatus) -> RedisResult<()> {
        let key = format!("gtv:box:{}", status.box_id);
        let message = json!({ "box": status.box_id, "state": status.state });
        self.set(&key, &text(status)?, BOX_SECONDS, status.state, &channel(status), &message.to_string(), 0).await
    }

    pub async fn remove_box(&self, status: &BoxStatus) -> RedisResult<()> {
        let message = json!({ "box": status.box_id, "state": "offline" }).to_string();
        let mut eval = redis::cmd("EVAL");
        eval.arg(REMOVE).arg(1).arg(format!("gtv:box:{}", status.box_id));
        eval.arg(status.session.to_string()).arg(channel(status)).arg(message);
        eval.query_async(&mut self.manager.clone()).await
    }

    pub async fn set_streams(&self, status: &BoxStatus, activities: &[Activity]) -> RedisResult<()> {
        for activity in activities {
            let key = format!("gtv:stream:{}:{}", status.box_id, activity.camera);
            let message = json!({ "box": status.box_id, "camera": activity.camera, "state": activity.state });
            let (value, message) = (text(activity)?, message.to_string());
            self.set(&key, &value, STREAM_SECONDS, activity.state, &channel(status), &message, activity.at_us).await?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "they are those of the script")]
    async fn set(
        &self,
        key: &str,
        value: &str,
        seconds: u64,
        state: &str,
        channel: &str,
        message: &str,
        at_us: i64,
    ) -> RedisResult<()> {
        let mut eval = redis::cmd("EVAL");
        eval.arg(SET).arg(1).arg(key).arg(value).arg(seconds).arg(state).arg(channel).arg(message).arg(at_us);
        eval.query_async(&mut self.manager.clone()).await
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

/// One channel a prefeitura.
fn channel(status: &BoxStatus) -> String {
    format!("gtv:status:{}", status.prefeitura)
}

fn text(value: &impl serde::Serialize) -> RedisResult<String> {
    serde_json::to_string(value).map_err(|e| RedisError::from((redis::ErrorKind::Client, "own status", e.to_string())))
}
