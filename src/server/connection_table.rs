//! The open connections, and which of them gives way when a new one needs its place.
//!
//! An admin is known only after the headers of a request were read. So a new connection is always let in, in place of one
//! without a token, and keeps its place while it is fresh. Rule: "HTTP service".

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use townlet_shard::{Level, ServerLimits};

/// Time in which a new connection should name its sender. After it, it gives way before all others.
const FRESH: Duration = Duration::from_secs(1);

/// What is known of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// No headers were read yet.
    Unknown,
    Anonymous,
    /// An anonymous subscriber of the stream.
    Stream,
    Viewer,
    Admin,
}

impl Sender {
    const fn has_token(self) -> bool {
        matches!(self, Self::Viewer | Self::Admin)
    }
}

struct Connection {
    address: IpAddr,
    sender: Sender,
    /// When it was opened, or its last request began.
    since: Instant,
    evicted: Arc<Notify>,
}

impl Connection {
    /// The order in which connections without a token give way: late senders, then anonymous ones, then fresh ones, streams
    /// last; the oldest first.
    fn precedence(&self, now: Instant) -> (u8, Instant) {
        let fresh = now.saturating_duration_since(self.since) < FRESH;
        let class = match self.sender {
            Sender::Unknown if !fresh => 0,
            Sender::Anonymous => 1,
            Sender::Unknown => 2,
            Sender::Stream => 3,
            Sender::Viewer => 4,
            Sender::Admin => 5,
        };
        (class, self.since)
    }
}

/// The open connections. Clones are the same table.
#[derive(Clone)]
pub(super) struct ConnectionTable(Arc<Mutex<Table>>);

struct Table {
    /// Most connections, most without a token, and most without a token of one address.
    limits: (usize, usize, usize),
    next: u64,
    open: BTreeMap<u64, Connection>,
}

impl ConnectionTable {
    pub(super) fn new(limits: &ServerLimits) -> Self {
        let ServerLimits { connections, reserved_connections, connections_per_address, .. } = *limits;
        Self::with_limits(connections as usize, reserved_connections as usize, connections_per_address as usize)
    }

    fn with_limits(all: usize, reserved: usize, of_address: usize) -> Self {
        let limits = (all, all.saturating_sub(reserved), of_address);
        Self(Arc::new(Mutex::new(Table { limits, next: 0, open: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a new connection; says whether another one gave way. `None` when all connections are those of admins.
    pub(super) fn open(&self, address: IpAddr, now: Instant) -> Option<(OpenConnection, bool)> {
        let mut table = self.lock();
        let gave_way = table.make_room(address, now)?;
        let (number, evicted) = (table.next, Arc::new(Notify::new()));
        table.next += 1;
        let connection = Connection { address, sender: Sender::Unknown, since: now, evicted: Arc::clone(&evicted) };
        table.open.insert(number, connection);
        Some((OpenConnection { table: self.clone(), number, evicted }, gave_way))
    }
}

impl Table {
    fn make_room(&mut self, address: IpAddr, now: Instant) -> Option<bool> {
        let (most, most_without, most_of_address) = self.limits;
        let mut of_address: HashMap<IpAddr, usize> = HashMap::new();
        for connection in self.open.values().filter(|connection| !connection.sender.has_token()) {
            *of_address.entry(connection.address).or_default() += 1;
        }
        let without: usize = of_address.values().sum();
        if of_address.get(&address).is_some_and(|count| *count >= most_of_address) {
            return self.evict(now, |connection| connection.address == address && !connection.sender.has_token());
        }
        if without >= most_without || self.open.len() >= most {
            // The address with the most connections gives one up.
            if let Some((address, _)) = of_address.iter().max_by_key(|(address, count)| (**count, Reverse(**address))) {
                return self.evict(now, |connection| connection.address == *address && !connection.sender.has_token());
            }
            return self.evict(now, |connection| connection.sender != Sender::Admin);
        }
        Some(false)
    }

    /// Closes the first connection of these; `None` when there is none.
    fn evict(&mut self, now: Instant, among: impl Fn(&Connection) -> bool) -> Option<bool> {
        let candidates = self.open.iter().filter(|(_, connection)| among(connection));
        let (number, _) = candidates.min_by_key(|(_, connection)| connection.precedence(now))?;
        let number = *number;
        self.open.remove(&number)?.evicted.notify_one();
        Some(true)
    }
}

/// A connection in the table until it is dropped.
pub(super) struct OpenConnection {
    table: ConnectionTable,
    number: u64,
    evicted: Arc<Notify>,
}

impl OpenConnection {
    /// Notes whose request begins.
    pub(super) fn begin_request(&self, level: Level, is_stream: bool, now: Instant) {
        if let Some(connection) = self.table.lock().open.get_mut(&self.number) {
            connection.since = now;
            connection.sender = match level {
                Level::Admin => Sender::Admin,
                Level::Viewer => Sender::Viewer,
                Level::Anonymous if is_stream => Sender::Stream,
                Level::Anonymous => Sender::Anonymous,
            };
        }
    }

    /// Waits until the connection has to give way.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.table.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Opens so many connections, a millisecond apart.
    fn fill(table: &ConnectionTable, from: IpAddr, count: u64, start: Instant) -> Vec<OpenConnection> {
        (0..count).map(|number| table.open(from, start + Duration::from_millis(number)).expect("a place").0).collect()
    }

    fn is_open(table: &ConnectionTable, connection: &OpenConnection) -> bool {
        table.lock().open.contains_key(&connection.number)
    }

    #[test]
    fn an_admin_gets_in_behind_the_address_of_strangers_and_stays() {
        let (table, start) = (ConnectionTable::with_limits(32, 8, 16), Instant::now());
        let strangers = fill(&table, address(1), 16, start);
        for stranger in &strangers {
            stranger.begin_request(Level::Anonymous, false, start);
        }
        let (admin, gave_way) = table.open(address(1), start).expect("a place");
        assert!(gave_way && !is_open(&table, &strangers[0]), "the oldest gives way");
        // More strangers come before the admin has sent anything: known strangers give way first.
        let more = fill(&table, address(1), 15, start);
        assert!(is_open(&table, &admin), "a fresh connection keeps its place");
        admin.begin_request(Level::Admin, false, start);
        let flood = fill(&table, address(1), 100, start + FRESH);
        assert!(is_open(&table, &admin), "an admin never gives way");
        let open = flood.iter().chain(&more).chain(&strangers).filter(|stranger| is_open(&table, stranger)).count();
        assert_eq!(open, 16);
    }

    #[test]
    fn slow_senders_give_way_first_and_streams_last() {
        let (table, start) = (ConnectionTable::with_limits(16, 1, 4), Instant::now());
        let all = fill(&table, address(1), 4, start);
        all[0].begin_request(Level::Anonymous, true, start);
        all[1].begin_request(Level::Anonymous, false, start + 2 * FRESH);
        all[3].begin_request(Level::Anonymous, true, start);
        let mut newer = Vec::new();
        for gone in [2, 1] {
            newer.extend(fill(&table, address(1), 1, start + 2 * FRESH));
            assert!(!is_open(&table, &all[gone]), "{gone}: who sends nothing, then who asks");
        }
        newer.extend(fill(&table, address(1), 3, start + 2 * FRESH));
        assert!(
            !is_open(&table, &newer[0]) && is_open(&table, &all[0]) && is_open(&table, &all[3]),
            "streams come last"
        );
    }

    #[test]
    fn strangers_of_many_addresses_leave_the_reserve_to_tokens() {
        let (table, start) = (ConnectionTable::with_limits(32, 8, 16), Instant::now());
        let mut strangers = Vec::new();
        for last in 0..30 {
            strangers.extend(fill(&table, address(last), 4, start));
        }
        assert_eq!(strangers.iter().filter(|stranger| is_open(&table, stranger)).count(), 24);
        let admins: Vec<_> = (0..16)
            .map(|_| {
                let (admin, _) = table.open(address(99), start).expect("a place");
                admin.begin_request(Level::Admin, false, start);
                admin
            })
            .collect();
        assert!(admins.iter().all(|admin| is_open(&table, admin)));
        drop(strangers);
        let full: Vec<_> = std::iter::from_fn(|| {
            let (connection, _) = table.open(address(98), start)?;
            connection.begin_request(Level::Admin, false, start);
            Some(connection)
        })
        .take(100)
        .collect();
        assert_eq!(full.len() + admins.len(), 32, "all are admins, so none gives way");
    }
}
