//! Flags and environment variables, the same names for every subcommand.

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Args, Clone)]
pub struct DatabaseArgs {
    /// PostgreSQL address, postgres://user:password@host:port/database
    #[arg(long, env = "GTV_SYNC_DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// PEM file with the certificate authority of the PostgreSQL server; turns TLS on
    #[arg(long, env = "GTV_SYNC_DATABASE_CA_FILE")]
    pub database_ca_file: Option<PathBuf>,
    /// Connections to PostgreSQL
    #[arg(long, env = "GTV_SYNC_DATABASE_CONNECTIONS", default_value_t = 16)]
    pub database_connections: usize,
}

#[derive(Args, Clone)]
pub struct S3Args {
    /// Address of the S3 server
    #[arg(long, env = "GTV_SYNC_S3_ENDPOINT")]
    pub s3_endpoint: String,
    #[arg(long, env = "GTV_SYNC_S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,
    #[arg(long, env = "GTV_SYNC_S3_ACCESS_KEY")]
    pub s3_access_key: String,
    #[arg(long, env = "GTV_SYNC_S3_SECRET_KEY", hide_env_values = true)]
    pub s3_secret_key: String,
    /// Allow an http:// endpoint
    #[arg(long, env = "GTV_SYNC_S3_ALLOW_HTTP", value_parser = BoolishValueParser::new())]
    pub s3_allow_http: bool,
    /// Put before the names of the four buckets
    #[arg(long, env = "GTV_SYNC_BUCKET_PREFIX", default_value = "")]
    pub bucket_prefix: String,
    /// Days after which the buckets drop objects; 0 keeps them for ever
    #[arg(long, env = "GTV_SYNC_RETENTION_DAYS", default_value_t = 90)]
    pub retention_days: u32,
    /// Objects up to this many bytes are read back and hashed before the row that names them is acknowledged;
    /// of larger ones only the size is compared (`gtv-sync audit` hashes them too)
    #[arg(long, env = "GTV_SYNC_OBJECT_READ_BYTES", default_value_t = 64 << 20)]
    pub object_read_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EnrolMode {
    /// Any box may register itself under the prefeitura it names
    Open,
    /// Only with a one-time code or a registered key (`gtv-sync enrol`)
    Code,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessMode {
    /// Keys for the box's own prefix, from the AssumeRole of the S3 server (MinIO, AWS)
    Sts,
    /// Each upload is signed by this service; any S3 server
    Presigned,
    /// The same keys for every box: the last resort
    Keys,
    /// Each box has S3 keys in its own configuration
    Own,
}

#[derive(Args, Clone)]
pub struct ServeArgs {
    /// Address for boxes and health checks; TLS is the load balancer's task
    #[arg(long, env = "GTV_SYNC_LISTEN", default_value = "127.0.0.1:8600")]
    pub listen: SocketAddr,
    /// Who may register
    #[arg(long, env = "GTV_SYNC_ENROL", value_enum, default_value = "code")]
    pub enrol: EnrolMode,
    /// How boxes upload; absent: `keys` where the two keys below are set, else `own`
    #[arg(long, env = "GTV_SYNC_BOX_S3_ACCESS", value_enum)]
    pub box_s3_access: Option<AccessMode>,
    /// S3 address as the boxes reach it; absent: --s3-endpoint
    #[arg(long, env = "GTV_SYNC_BOX_S3_ENDPOINT")]
    pub box_s3_endpoint: Option<String>,
    #[arg(long, env = "GTV_SYNC_BOX_S3_ACCESS_KEY", requires = "box_s3_secret_key")]
    pub box_s3_access_key: Option<String>,
    #[arg(long, env = "GTV_SYNC_BOX_S3_SECRET_KEY", requires = "box_s3_access_key", hide_env_values = true)]
    pub box_s3_secret_key: Option<String>,
    /// Token service for `sts`; absent: --s3-endpoint, where MinIO has it
    #[arg(long, env = "GTV_SYNC_STS_ENDPOINT")]
    pub sts_endpoint: Option<String>,
    /// Role that boxes assume with `sts`; MinIO ignores it
    #[arg(long, env = "GTV_SYNC_STS_ROLE_ARN", default_value = "arn:aws:iam::000000000000:role/gtv-box")]
    pub sts_role_arn: String,
    /// Minutes after which a box asks for these credentials again; with `sts` at least 15
    #[arg(long, env = "GTV_SYNC_BOX_S3_MINUTES", default_value_t = 60)]
    pub box_s3_minutes: u32,
    /// Sessions at a time; further boxes are told to come back later
    #[arg(long, env = "GTV_SYNC_SESSIONS_MAX", default_value_t = 10_000)]
    pub sessions_max: usize,
    /// Days that records are kept after they came, with all they told; 0 keeps them for ever
    #[arg(long, env = "GTV_SYNC_ROWS_DAYS", default_value_t = 0, value_parser = rows_days)]
    pub rows_days: u32,
    #[command(flatten)]
    pub api: ApiArgs,
    #[command(flatten)]
    pub events: EventsArgs,
    #[command(flatten)]
    pub live: LiveArgs,
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub s3: S3Args,
}

/// What is younger may still be on its way, to the centre or to the broker.
const ROWS_DAYS_MIN: u32 = 7;

fn rows_days(text: &str) -> Result<u32, String> {
    let days: u32 = text.parse().map_err(|e| format!("{e}"))?;
    if days == 0 || days >= ROWS_DAYS_MIN {
        return Ok(days);
    }
    Err(format!("give 0 or at least {ROWS_DAYS_MIN} days"))
}

impl ServeArgs {
    /// What no flag can say for itself.
    pub fn check(&self) -> Result<(), String> {
        let (days, hours) = (self.rows_days, self.events.events_hours);
        if self.events.amqp_url.is_some() && days > 0 && hours > days.saturating_mul(24) {
            return Err(format!(
                "--events-hours {hours} is more than --rows-days {days}: records would go before they are published; \
                 give at most {} hours or more days",
                days.saturating_mul(24)
            ));
        }
        Ok(())
    }
}

#[derive(Args, Clone)]
pub struct ApiArgs {
    /// Secret that signs the tokens of the read API, 32 characters or more; absent: the API is off
    #[arg(long, env = "GTV_SYNC_API_SECRET", hide_env_values = true)]
    pub api_secret: Option<String>,
}

#[derive(Args, Clone)]
pub struct EventsArgs {
    /// RabbitMQ that domain events go to, amqps://user:password@host:5671/%2f; absent: there are none
    #[arg(long, env = "GTV_SYNC_AMQP_URL", hide_env_values = true)]
    pub amqp_url: Option<String>,
    /// PEM file with the certificate authority of an amqps:// broker; absent: those that the machine knows
    #[arg(long, env = "GTV_SYNC_AMQP_CA_FILE", requires = "amqp_url")]
    pub amqp_ca_file: Option<PathBuf>,
    /// Records that may wait for the broker; beyond that the oldest are not published any more
    #[arg(long, env = "GTV_SYNC_EVENTS_MAX", default_value_t = 5_000_000)]
    pub events_max: u64,
    /// Hours after which a record that waits for the broker is not published any more
    #[arg(long, env = "GTV_SYNC_EVENTS_HOURS", default_value_t = 72)]
    pub events_hours: u32,
}

#[derive(Args, Clone)]
pub struct LiveArgs {
    /// Redis that holds which boxes and cameras are alive, rediss://user:password@host:6379/0; absent: nobody can ask
    #[arg(long, env = "GTV_SYNC_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// PEM file with the certificate authority of a rediss:// server; absent: those that the machine knows
    #[arg(long, env = "GTV_SYNC_REDIS_CA_FILE", requires = "redis_url")]
    pub redis_ca_file: Option<PathBuf>,
    /// Questions to the read API that one person may ask in a minute; needs Redis to be counted
    #[arg(long, env = "GTV_SYNC_API_PER_MINUTE", default_value_t = 300)]
    pub api_per_minute: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Serve {
        #[command(flatten)]
        args: ServeArgs,
    }

    #[test]
    fn records_do_not_go_before_they_are_published() {
        let check = |more: &[&str]| {
            let needed = ["gtv-sync", "--database-url=x", "--s3-endpoint=x", "--s3-access-key=x", "--s3-secret-key=x"];
            Serve::try_parse_from(needed.iter().chain(more)).map_err(|e| e.to_string()).and_then(|s| s.args.check())
        };
        let events = ["--amqp-url=amqp://x", "--rows-days=7", "--events-hours=169"];
        assert!(check(&events).unwrap_err().contains("at most 168 hours"));
        assert_eq!(check(&events[1..]), Ok(()), "nobody is told of events");
        assert_eq!(check(&["--amqp-url=amqp://x", "--rows-days=7", "--events-hours=168"]), Ok(()));
        assert_eq!(check(&["--amqp-url=amqp://x", "--events-hours=9999"]), Ok(()), "records stay");
    }
}
