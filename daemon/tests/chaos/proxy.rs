//! A bad network: a TCP proxy that delays, swallows, cuts, truncates and repeats connections as the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens to connections from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Weather {
    Fair,
    /// Every piece is late by some tens of milliseconds.
    Slow,
    /// Bytes go nowhere, and no connection ends.
    Hole,
    /// No new connection is taken, and those that are there end.
    Cut,
    /// Connections end in the middle of what they carry.
    Short,
    /// What the client says, it also says on a second connection, whose answers nobody reads.
    Twice,
}

impl Weather {
    pub const BAD: [Self; 5] = [Self::Slow, Self::Hole, Self::Cut, Self::Short, Self::Twice];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fair => "fair",
            Self::Slow => "slow",
            Self::Hole => "hole",
            Self::Cut => "cut",
            Self::Short => "short",
            Self::Twice => "twice",
        }
    }

    fn of(number: u8) -> Self {
        Self::BAD.into_iter().find(|weather| *weather as u8 == number).unwrap_or(Self::Fair)
    }
}

/// Bytes after which a connection ends in `Short` weather, one after the other.
const ENDS_AFTER: [usize; 5] = [1, 700, 4_000, 30_000, 200_000];

#[derive(Default)]
struct Shared {
    weather: AtomicU8,
    connections: AtomicU64,
    changed: Notify,
}

pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

impl Proxy {
    /// Carries to `target` (`host:port`).
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let state = shared.clone();
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                if state.weather() == Weather::Cut {
                    continue;
                }
                tokio::spawn(carry(client, target.clone(), state.clone()));
            }
        });
        Self { shared, port }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Connections that were there keep the weather they had, but end if it is `Cut` now or was `Hole` before.
    pub fn set(&self, weather: Weather) {
        let before = self.shared.weather.swap(weather as u8, Ordering::SeqCst);
        if weather == Weather::Cut || before == Weather::Hole as u8 {
            self.shared.changed.notify_waiters();
        }
    }

    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        Weather::of(self.weather.load(Ordering::SeqCst))
    }
}

async fn carry(client: TcpStream, target: String, shared: Arc<Shared>) {
    let number = shared.connections.fetch_add(1, Ordering::SeqCst) as usize;
    let Ok(server) = TcpStream::connect(&target).await else { return };
    let second = if shared.weather() == Weather::Twice { TcpStream::connect(&target).await.ok() } else { None };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let short = shared.weather() == Weather::Short;
    let budget = if short { ENDS_AFTER[number % ENDS_AFTER.len()] } else { usize::MAX };
    let changed = shared.changed.notified();
    tokio::select! {
        () = changed => {}
        () = pump(from_client, to_server, second, budget, &shared) => {}
        () = pump(from_server, to_client, None, budget, &shared) => {}
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut also: Option<TcpStream>,
    mut budget: usize,
    shared: &Shared,
) {
    let mut buffer = vec![0; 16 << 10];
    while budget > 0 {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        match shared.weather() {
            Weather::Slow => tokio::time::sleep(Duration::from_millis(30)).await,
            Weather::Hole => std::future::pending().await,
            _ => {}
        }
        let part = read.min(budget);
        budget -= part;
        if to.write_all(&buffer[..part]).await.is_err() {
            return;
        }
        if let Some(second) = &mut also {
            let _ = second.write_all(&buffer[..part]).await;
        }
    }
}
