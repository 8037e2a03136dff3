//! Pure. How often one address may ask, and how long a name is locked after wrong passwords.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses remembered at most; beyond it the idle ones are forgotten first.
const KEYS_MAX: usize = 10_000;

/// A token bucket per address: `per_minute` requests on average, with bursts up to the same number.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: f64,
    buckets: HashMap<IpAddr, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute: f64::from(per_minute.max(1)), buckets: HashMap::new() }
    }

    /// Takes one request off the address's allowance, or says how long until the next is free.
    pub fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let (full, rate) = (self.per_minute, self.per_minute / 60.0);
        if self.buckets.len() >= KEYS_MAX {
            self.buckets.retain(|_, bucket| {
                bucket.tokens + now.saturating_duration_since(bucket.at).as_secs_f64() * rate < full
            });
            if self.buckets.len() >= KEYS_MAX {
                self.buckets.clear();
            }
        }
        let bucket = self.buckets.entry(network(address)).or_insert(Bucket { tokens: full, at: now });
        let earned = now.saturating_duration_since(bucket.at).as_secs_f64() * rate;
        bucket.tokens = (bucket.tokens + earned).min(full);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / rate))
    }
}

/// One subscriber usually owns a whole IPv6 /64, so that is what is counted.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        IpAddr::V4(v4) => IpAddr::V4(v4),
    }
}

/// Wrong passwords in a row before a name is locked.
const FREE_ATTEMPTS: u32 = 5;
const LOCK_FIRST: Duration = Duration::from_secs(30);
const LOCK_MAX: Duration = Duration::from_secs(15 * 60);
/// Quiet time after which a name's failures are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);

/// Locks a name for a growing time after repeated wrong passwords, whether or not the name exists.
#[derive(Debug, Default)]
pub struct Lockout {
    names: HashMap<String, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Lockout {
    /// How long the name is still locked; `None` when an attempt may be made.
    pub fn locked_for(&self, name: &str, now: Instant) -> Option<Duration> {
        let failures = self.names.get(name)?;
        let over = failures.count.checked_sub(FREE_ATTEMPTS)?;
        let lock = LOCK_FIRST.saturating_mul(1 << over.min(10)).min(LOCK_MAX);
        let left = lock.checked_sub(now.saturating_duration_since(failures.last))?;
        (!left.is_zero()).then_some(left)
    }

    pub fn failed(&mut self, name: &str, now: Instant) {
        self.names.retain(|_, f| now.saturating_duration_since(f.last) < FORGET_AFTER);
        if self.names.len() >= KEYS_MAX {
            self.names.clear();
        }
        let failures = self.names.entry(name.to_owned()).or_insert(Failures { count: 0, last: now });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    pub fn succeeded(&mut self, name: &str) {
        self.names.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn an_address_gets_its_minute_and_then_waits() {
        let mut limit = RateLimit::new(60);
        let start = Instant::now();
        for _ in 0..60 {
            assert!(limit.take(A, start).is_ok());
        }
        let wait = limit.take(A, start).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert!(limit.take(B, start).is_ok(), "another address is not held up");
        assert!(limit.take(A, start + Duration::from_secs(2)).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_subscriber_share_an_allowance() {
        let mut limit = RateLimit::new(1);
        let now = Instant::now();
        assert!(limit.take("2001:db8::1".parse().unwrap(), now).is_ok());
        assert!(limit.take("2001:db8::2".parse().unwrap(), now).is_err());
    }

    #[test]
    fn the_table_of_addresses_stays_bounded() {
        let mut limit = RateLimit::new(10);
        let now = Instant::now();
        for n in 0..30_000_u32 {
            let _ = limit.take(IpAddr::V4(n.into()), now);
        }
        assert!(limit.buckets.len() <= KEYS_MAX);
    }

    #[test]
    fn a_name_is_locked_longer_each_time_and_freed_by_success() {
        let mut lockout = Lockout::default();
        let now = Instant::now();
        for _ in 0..4 {
            lockout.failed("ana", now);
            assert_eq!(lockout.locked_for("ana", now), None);
        }
        lockout.failed("ana", now);
        assert_eq!(lockout.locked_for("ana", now), Some(LOCK_FIRST));
        lockout.failed("ana", now);
        assert_eq!(lockout.locked_for("ana", now), Some(LOCK_FIRST * 2));
        assert_eq!(lockout.locked_for("ana", now + LOCK_FIRST * 2), None);
        for _ in 0..60 {
            lockout.failed("ana", now);
        }
        assert_eq!(lockout.locked_for("ana", now), Some(LOCK_MAX));
        lockout.succeeded("ana");
        assert_eq!(lockout.locked_for("ana", now), None);
    }
}
