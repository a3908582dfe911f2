//! Token buckets of requests and bytes: one for each address without a token, one for all of them, and one for each token.
//!
//! A client behind the address of others is limited by its own token alone. Rule: "HTTP service".

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use townlet_shard::{Level, RateLimit, ServerLimits};

/// Clients with a bucket of their own; all others share one.
const MAX_BUCKETS: usize = 4_096;
/// The burst that a full bucket allows, as time at its rate.
const BURST: Duration = Duration::from_secs(2);

/// Whose bucket a request empties.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// A request without a token, by its address. Addresses of IPv6 count by their network of 64 bits.
    Address(IpAddr),
    /// A request with a token, by the token's id.
    Token(String),
    /// A client beyond [`MAX_BUCKETS`].
    Other,
}

impl Client {
    pub(super) fn of_address(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_none() => {
                Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()
            }
            other => other.to_canonical(),
        })
    }
}

/// The buckets of all clients.
pub(super) struct RateLimits {
    anonymous: RateLimit,
    viewer: RateLimit,
    admin: RateLimit,
    buckets: Mutex<Buckets>,
}

struct Buckets {
    clients: HashMap<Client, Bucket>,
    anonymous_total: Bucket,
}

impl RateLimits {
    pub(super) fn new(limits: &ServerLimits, now: Instant) -> Self {
        let ServerLimits { anonymous, anonymous_total, viewer, admin, .. } = limits.clone();
        let anonymous_total = Bucket::new(anonymous_total, now);
        Self { anonymous, viewer, admin, buckets: Mutex::new(Buckets { clients: HashMap::new(), anonymous_total }) }
    }

    /// Takes a request out of its buckets. The error is the time after which there is room.
    pub(super) fn take(&self, level: Level, client: &Client, now: Instant) -> Result<(), Duration> {
        self.with(level, client, now, |bucket, total| {
            let wait = total.as_ref().map_or(Duration::ZERO, |total| total.wait()).max(bucket.wait());
            if !wait.is_zero() {
                return Err(wait);
            }
            bucket.requests -= 1.0;
            if let Some(total) = total {
                total.requests -= 1.0;
            }
            Ok(())
        })
    }

    /// Takes the bytes of a request and its answer. A bucket may owe them; then the next request waits.
    pub(super) fn take_bytes(&self, level: Level, client: &Client, bytes: u64, now: Instant) {
        self.with(level, client, now, |bucket, total| {
            bucket.bytes -= bytes as f64;
            if let Some(total) = total {
                total.bytes -= bytes as f64;
            }
        });
    }

    fn with<R>(
        &self,
        level: Level,
        client: &Client,
        now: Instant,
        does: impl FnOnce(&mut Bucket, Option<&mut Bucket>) -> R,
    ) -> R {
        let limit = match level {
            Level::Admin => &self.admin,
            Level::Viewer => &self.viewer,
            Level::Anonymous => &self.anonymous,
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { clients, anonymous_total } = &mut *buckets;
        if clients.len() >= MAX_BUCKETS && !clients.contains_key(client) {
            // A bucket that is full again says no more than a new one.
            clients.retain(|_, bucket| !bucket.refilled(now).is_full());
        }
        let client = if clients.len() < MAX_BUCKETS || clients.contains_key(client) { client } else { &Client::Other };
        let bucket = clients.entry(client.clone()).or_insert_with(|| Bucket::new(limit.clone(), now)).refilled(now);
        does(bucket, (level == Level::Anonymous).then(|| anonymous_total.refilled(now)))
    }
}

struct Bucket {
    limit: RateLimit,
    requests: f64,
    bytes: f64,
    filled: Instant,
}

impl Bucket {
    fn new(limit: RateLimit, now: Instant) -> Self {
        let mut bucket = Self { limit, requests: 0.0, bytes: 0.0, filled: now };
        (bucket.requests, bucket.bytes) = bucket.size();
        bucket
    }

    fn size(&self) -> (f64, f64) {
        let seconds = BURST.as_secs_f64();
        (f64::from(self.limit.requests) * seconds, self.limit.bytes as f64 * seconds)
    }

    fn refilled(&mut self, now: Instant) -> &mut Self {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        let (requests, bytes) = self.size();
        self.requests = (self.requests + f64::from(self.limit.requests) * seconds).min(requests);
        self.bytes = (self.bytes + self.limit.bytes as f64 * seconds).min(bytes);
        self.filled = now;
        self
    }

    fn is_full(&self) -> bool {
        let (requests, bytes) = self.size();
        self.requests >= requests && self.bytes >= bytes
    }

    /// The time until a request may pass.
    fn wait(&self) -> Duration {
        let requests = (1.0 - self.requests).max(0.0) / f64::from(self.limit.requests);
        let bytes = (-self.bytes).max(0.0) / self.limit.bytes as f64;
        Duration::from_secs_f64(requests.max(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ServerLimits {
        let limit = |requests| RateLimit { requests, bytes: 100_000 };
        ServerLimits {
            connections: 512,
            reserved_connections: 64,
            connections_per_address: 128,
            anonymous: limit(10),
            anonymous_total: RateLimit { requests: 25, bytes: 1_000_000 },
            viewer: limit(20),
            admin: limit(50),
            audited_requests: 20,
            disk_reserve_bytes: 0,
        }
    }

    fn address(last: u8) -> Client {
        Client::of_address(IpAddr::from([10, 0, 0, last]))
    }

    fn passed(limits: &RateLimits, level: Level, client: &Client, now: Instant) -> u32 {
        (0..1_000).map(|_| u32::from(limits.take(level, client, now).is_ok())).sum()
    }

    #[test]
    fn each_client_has_a_burst_and_a_rate() {
        let start = Instant::now();
        let buckets = RateLimits::new(&limits(), start);
        assert_eq!(passed(&buckets, Level::Anonymous, &address(1), start), 20);
        let wait = buckets.take(Level::Anonymous, &address(1), start).expect_err("it is empty");
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(passed(&buckets, Level::Anonymous, &address(1), start + Duration::from_secs(1)), 10);
        // Admins have buckets of their own, whatever strangers do.
        assert_eq!(passed(&buckets, Level::Admin, &Client::Token("a".into()), start), 100);
        assert_eq!(passed(&buckets, Level::Admin, &Client::Token("b".into()), start), 100);
    }

    #[test]
    fn all_strangers_together_have_a_rate_too() {
        let start = Instant::now();
        let buckets = RateLimits::new(&limits(), start);
        for now in [start, start + Duration::from_secs(100)] {
            let all: u32 = (0..100).map(|last| passed(&buckets, Level::Anonymous, &address(last), now)).sum();
            assert_eq!(all, 50);
        }
    }

    #[test]
    fn addresses_beyond_the_most_share_a_bucket() {
        let start = Instant::now();
        let anonymous_total = RateLimit { requests: 1_000_000, bytes: 1_000_000 };
        let buckets = RateLimits::new(&ServerLimits { anonymous_total, ..limits() }, start);
        let take = |number: &u32| {
            let client = Client::of_address(IpAddr::from(number.to_be_bytes()));
            buckets.take(Level::Anonymous, &client, start).is_ok()
        };
        assert_eq!((0..5_000).filter(take).count(), MAX_BUCKETS + 20, "one each, and the burst of one bucket");
        let kept = buckets.buckets.lock().expect("no panic").clients.len();
        assert_eq!(kept, MAX_BUCKETS + 1);
    }

    #[test]
    fn bytes_are_owed() {
        let start = Instant::now();
        let buckets = RateLimits::new(&limits(), start);
        buckets.take_bytes(Level::Anonymous, &address(1), 300_000, start);
        assert_eq!(buckets.take(Level::Anonymous, &address(1), start), Err(Duration::from_secs(1)));
        assert_eq!(buckets.take(Level::Anonymous, &address(1), start + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn an_address_is_a_network_in_ipv6() {
        let client = |text: &str| Client::of_address(text.parse().expect("an address"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
    }
}
