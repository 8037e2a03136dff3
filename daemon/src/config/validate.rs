//! Pure. Everything about a configuration that types cannot say; all faults at once.

use std::collections::HashSet;
use std::time::Duration;

use gtv_protocol::limits::TEXT_BYTES_MAX;
use url::Url;

use super::{
    CameraConfig, Config, LprStream, Problem, PushStream, RecordMode, RecordStreams, WebhookConfig, ZONES_MAX,
};

const DISKS_MAX: usize = 16;
/// Each is a task and a connection of its own.
const WEBHOOKS_MAX: usize = 20;

/// Every fault, each with the path of its key. Empty means that the daemon can run on it.
pub fn validate(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut check = |ok: bool, key: &str, message: &str| {
        if !ok {
            problems.push(Problem { key: key.to_owned(), message: message.to_owned() });
        }
    };
    check(config.data_dir.is_absolute(), "data_dir", "write an absolute path");
    check(is_slug(&config.site.prefeitura), "box.prefeitura", "use 1 to 64 of the characters a-z, 0-9 and `-`");
    let name = !config.site.name.is_empty() && is_name(&config.site.name);
    check(name, "box.name", "write 1 to 128 characters, no tabs or other control characters");
    let site = config.site.site.len() <= TEXT_BYTES_MAX && is_plain(&config.site.site);
    check(site, "box.site", "write at most 512 bytes, no tabs or other control characters");

    let segment = *config.record.segment;
    let sensible = Duration::from_secs(5)..=Duration::from_secs(3600);
    check(sensible.contains(&segment), "record.segment", "choose from 5s to 1h");
    check(*config.record.max_age >= Duration::from_secs(60), "record.max_age", "choose 1min or more");
    let paths = &config.record.paths;
    let distinct = paths.iter().collect::<HashSet<_>>().len() == paths.len();
    let usable = paths.len() <= DISKS_MAX && distinct && paths.iter().all(|path| path.is_absolute());
    check(usable, "record.paths", "write at most 16 absolute paths, each once");
    check(*config.clips.pre_roll <= Duration::from_secs(60), "clips.pre_roll", "choose 60s or less");
    check(*config.clips.post_roll <= Duration::from_secs(60), "clips.post_roll", "choose 60s or less");
    let part = Duration::from_millis(40)..=Duration::from_secs(10);
    check(part.contains(&*config.live.part), "live.part", "choose from 40ms to 10s");
    check((1..=1000).contains(&config.live.max_viewers), "live.max_viewers", "choose from 1 to 1000");

    check(config.lpr.max_fps > 0.0 && config.lpr.max_fps <= 60.0, "lpr.max_fps", "choose more than 0 and at most 60");
    check((0.0..=1.0).contains(&config.lpr.min_confidence), "lpr.min_confidence", "choose from 0 to 1");
    check(config.lpr.threads <= 64, "lpr.threads", "choose at most 64; 0 picks by the number of cores");
    check(*config.lpr.deadline >= Duration::from_millis(50), "lpr.deadline", "choose 50ms or more");

    let lifetimes = Duration::from_secs(60)..=Duration::from_secs(86_400);
    check(lifetimes.contains(&*config.web.access_lifetime), "web.access_lifetime", "choose from 1min to 1day");
    let longer = config.web.refresh_lifetime > config.web.access_lifetime;
    check(longer, "web.refresh_lifetime", "choose more than web.access_lifetime");

    if !config.sync.url.is_empty() {
        check(
            is_sync_url(&config.sync.url),
            "sync.url",
            "write wss://host/sync/v1 (ws:// for a loopback address only)",
        );
    }
    check((1..=5000).contains(&config.sync.batch_records), "sync.batch_records", "choose from 1 to 5000");
    check(config.sync.records_max >= 1000, "sync.records_max", "choose 1000 or more");
    let lanes = &config.sync.lanes;
    for (name, lane) in [("detections", &lanes.detections), ("clips", &lanes.clips), ("recordings", &lanes.recordings)]
    {
        for (inner, message) in lane.problems() {
            check(false, &format!("sync.lanes.{name}.{inner}"), message);
        }
    }
    if let Some(s3) = &config.sync.s3 {
        let url = Url::parse(&s3.endpoint);
        let secure = url.as_ref().is_ok_and(|u| u.scheme() == "https" || (u.scheme() == "http" && s3.allow_http));
        check(secure, "sync.s3.endpoint", "write https://host[:port]; http:// needs allow_http = true");
        check(!s3.access_key.is_empty(), "sync.s3.access_key", "write the access key");
        check(!s3.secret_key.is_empty(), "sync.s3.secret_key", "write the secret key");
    }
    if !config.mqtt.url.is_empty() {
        let url = Url::parse(&config.mqtt.url);
        let known = url.is_ok_and(|u| matches!(u.scheme(), "mqtt" | "mqtts") && u.host().is_some());
        check(known, "mqtt.url", "write mqtts://host:8883 or mqtt://host:1883");
        let plain = !config.mqtt.topic_prefix.is_empty() && !config.mqtt.topic_prefix.contains(['+', '#', '$']);
        check(plain, "mqtt.topic_prefix", "write a topic without +, # and $");
        check(*config.mqtt.health_interval >= Duration::from_secs(1), "mqtt.health_interval", "choose 1s or more");
    }

    let day = Duration::from_secs(86_400);
    check(*config.alerts.cooldown <= day, "alerts.cooldown", "choose 1day or less");
    let share = (0.0..=1.0).contains(&config.alerts.min_alternative);
    check(share, "alerts.min_alternative", "choose from 0 to 1");
    let share = (0.0..=1.0).contains(&config.alerts.min_coverage);
    check(share, "alerts.min_coverage", "choose from 0 to 1");
    check(config.webhooks.len() <= WEBHOOKS_MAX, "webhook", "write at most 20 of them");

    let mut seen = HashSet::new();
    for (index, webhook) in config.webhooks.iter().enumerate() {
        let mut check = |ok: bool, key: &str, message: &str| {
            if !ok {
                problems.push(Problem { key: format!("webhook[{index}].{key}"), message: message.to_owned() });
            }
        };
        check(seen.insert(&webhook.name), "name", "each webhook needs a name of its own");
        validate_webhook(webhook, &mut check);
    }

    let mut seen = HashSet::new();
    for (index, camera) in config.cameras.iter().enumerate() {
        let mut check = |ok: bool, key: &str, message: &str| {
            if !ok {
                problems.push(Problem { key: format!("camera[{index}].{key}"), message: message.to_owned() });
            }
        };
        check(seen.insert(&camera.id), "id", "each camera needs an id of its own");
        validate_camera(camera, &mut check);
    }
    problems
}

fn validate_webhook(webhook: &WebhookConfig, check: &mut impl FnMut(bool, &str, &str)) {
    check(is_slug(&webhook.name), "name", "use 1 to 64 of the characters a-z, 0-9 and `-`");
    let schemes: &[&str] = if webhook.allow_http { &["https", "http"] } else { &["https"] };
    let url = "write https://host/path without user and password; http:// needs allow_http = true";
    check(has_scheme(&webhook.url, schemes), "url", url);
    let strong = webhook.secret.is_sealed() || webhook.secret.expose().len() >= WebhookConfig::SECRET_MIN;
    check(strong, "secret", "write at least 16 characters: the receiver verifies each message with it");
    let known = webhook.kinds.iter().all(|kind| WebhookConfig::KINDS.contains(&kind.as_str()));
    check(known, "kinds", "choose from the kinds of docs/alerts.md, such as watchlist-hit and camera-lost");
    let sensible = Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);
    check(sensible.contains(&*webhook.give_up), "give_up", "choose from 1min to 7days");
}

fn validate_camera(camera: &CameraConfig, check: &mut impl FnMut(bool, &str, &str)) {
    let name = "write at most 128 characters, no tabs or other control characters";
    check(is_name(&camera.name), "name", name);
    let rtsp = "write rtsp://host[:port]/path without user and password (they have keys of their own)";
    check(is_stream_url(&camera.main_url), "main_url", rtsp);
    check(camera.sub_url.as_deref().is_none_or(is_stream_url), "sub_url", rtsp);
    let onvif = camera.onvif_url.as_deref().is_none_or(|url| has_scheme(url, &["http", "https"]));
    check(onvif, "onvif_url", "write http://host[:port]/onvif/device_service without user and password");
    let has_sub = camera.sub_url.is_some();
    check(has_sub || camera.lpr != LprStream::Sub, "lpr", "`sub` needs sub_url; give it or choose `main` or `off`");
    let records_sub = matches!(camera.record, RecordStreams::Sub | RecordStreams::Both);
    check(has_sub || !records_sub, "record", "`sub` and `both` need sub_url; give it or choose `main` or `off`");
    check((0.0..=1.0).contains(&camera.min_plate_width), "min_plate_width", "choose from 0 to 1");
    for (key, sub) in [("record_main", false), ("record_sub", true)] {
        let how = if sub { &camera.record_sub } else { &camera.record_main };
        for (inner, message) in how.problems() {
            check(false, &format!("{key}.{inner}"), message);
        }
        let reads = camera.lpr != LprStream::Off || camera.records(sub).is_none();
        let readable = how.mode != RecordMode::Detection || reads;
        check(readable, &format!("{key}.mode"), "`detection` needs plate reading: choose `lpr` or another mode");
    }
    let push = &camera.push;
    let url = push.url.is_empty() || has_scheme(&push.url, &["rtsp"]);
    check(url, "push.url", "write rtsp://host[:port]/path without user and password (they have keys of their own)");
    let there = has_sub || push.stream != PushStream::Sub;
    check(there, "push.stream", "`sub` needs sub_url; give it or choose `main`");
    check(camera.zones.len() <= ZONES_MAX, "zone", "draw at most 16 zones");
    for (index, zone) in camera.zones.iter().enumerate() {
        for (key, message) in zone.problems() {
            check(false, &format!("zone[{index}].{key}"), message);
        }
    }
}

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Of at most 128 characters, which are never too many bytes for a record.
fn is_name(text: &str) -> bool {
    text.chars().count() <= TEXT_BYTES_MAX / 4 && is_plain(text)
}

/// The centre takes no control characters: they forge lines of a log.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn is_stream_url(text: &str) -> bool {
    has_scheme(text, &["rtsp", "rtsps"])
}

fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let bare = url.username().is_empty() && url.password().is_none();
        schemes.contains(&url.scheme()) && url.has_host() && bare
    })
}

fn is_sync_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| match url.scheme() {
        "wss" => url.has_host(),
        "ws" => match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        },
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ZoneConfig;

    fn keys(config: &Config) -> Vec<String> {
        validate(config).into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn names_each_fault() {
        let mut config = Config::default();
        config.lpr.max_fps = f64::NAN;
        config.sync.url = "ws://centre.example/sync/v1".to_owned();
        let camera = CameraConfig {
            main_url: "rtsp://admin:secret@10.0.0.2/main".to_owned(),
            lpr: LprStream::Sub,
            ..CameraConfig::default()
        };
        config.cameras = vec![camera.clone(), camera];
        assert_eq!(
            keys(&config),
            [
                "lpr.max_fps",
                "sync.url",
                "camera[0].main_url",
                "camera[0].lpr",
                "camera[1].id",
                "camera[1].main_url",
                "camera[1].lpr"
            ]
        );
    }

    #[test]
    fn names_are_such_as_the_centre_takes() {
        let mut config = Config::default();
        let named = |name: &str| CameraConfig {
            name: name.to_owned(),
            main_url: "rtsp://10.0.0.2/main".to_owned(),
            ..CameraConfig::default()
        };
        (config.site.name, config.site.site) = ("Caixa é".repeat(18), "ação".repeat(85));
        config.cameras = vec![named("Portão norte")];
        assert_eq!(keys(&config), Vec::<String>::new());
        (config.site.name, config.site.site) = ("Box\n1".to_owned(), "é".repeat(257));
        config.cameras = vec![named("Gate\tNorth")];
        assert_eq!(keys(&config), ["box.name", "box.site", "camera[0].name"]);
    }

    #[test]
    fn every_fault_of_every_zone_is_named() {
        let zone = |points: &[[f64; 2]]| ZoneConfig { points: points.to_vec(), ..ZoneConfig::default() };
        let triangle = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]];
        let camera = CameraConfig {
            main_url: "rtsp://10.0.0.2/main".to_owned(),
            min_plate_width: f64::NAN,
            zones: vec![
                zone(&triangle),
                zone(&triangle[..2]),
                zone(&[[0.1, 0.1], [1.2, 0.1], [f64::NAN, 0.9]]),
                ZoneConfig { name: "x".repeat(65), ..zone(&[[0.1, 0.5], [0.5, 0.5], [0.9, 0.5]]) },
                zone(&[[0.5; 2]; 33]),
            ],
            ..CameraConfig::default()
        };
        let wanted = ["min_plate_width", "zone[1].points", "zone[2].points", "zone[3].name", "zone[3].points"];
        let mut wanted = wanted.map(|key| format!("camera[0].{key}")).to_vec();
        wanted.push("camera[0].zone[4].points".to_owned());
        assert_eq!(keys(&Config { cameras: vec![camera], ..Config::default() }), wanted);
    }

    #[test]
    fn a_webhook_is_signed_and_encrypted() {
        let good = WebhookConfig {
            name: "police".to_owned(),
            url: "https://alerts.example/hook".to_owned(),
            secret: crate::base::secret::Secret::new("0123456789abcdef"),
            ..WebhookConfig::default()
        };
        let mut config = Config { webhooks: vec![good.clone()], ..Config::default() };
        assert_eq!(keys(&config), Vec::<String>::new());
        let bad = WebhookConfig {
            url: "http://alerts.example/hook".to_owned(),
            secret: crate::base::secret::Secret::new("short"),
            kinds: vec!["everything".to_owned()],
            ..good
        };
        config.webhooks.push(bad);
        assert_eq!(keys(&config), ["webhook[1].name", "webhook[1].url", "webhook[1].secret", "webhook[1].kinds"]);
    }

    #[test]
    fn loopback_may_be_plain() {
        for (url, ok) in [
            ("ws://127.0.0.1:9000/sync/v1", true),
            ("ws://[::1]/", true),
            ("wss://c.example/", true),
            ("http://x/", false),
        ] {
            assert_eq!(is_sync_url(url), ok, "{url}");
        }
    }
}
