//! The UDP sockets of WebRTC: one for each address of the box, shared by all sessions, on one port that a firewall can
//! be told of. A datagram finds its session by the ICE user name, afterwards by where it came from.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::ice::StunMessage;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Larger ones are no media of ours; Ethernet carries 1500.
const DATAGRAM_MAX: usize = 2048;
/// A box with more addresses than this has container bridges that no viewer reaches.
const ADDRESSES_MAX: usize = 16;
/// Addresses that one viewer may send from: each of its interfaces, and what NAT makes of them.
const PEERS_MAX: usize = 16;

const PAUSE: Duration = Duration::from_millis(5);

/// What a session receives.
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub at: Instant,
    pub data: Bytes,
}

/// One bound address.
#[derive(Clone)]
pub struct Bound {
    pub address: SocketAddr,
    pub socket: Arc<UdpSocket>,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Sockets {
    port: u16,
    /// Dropping the guard ends the socket's receiver.
    bound: Arc<Mutex<HashMap<IpAddr, (Bound, DropGuard)>>>,
    routes: Arc<Mutex<Routes>>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Routes {
    sessions: HashMap<String, mpsc::Sender<Datagram>>,
    peers: HashMap<SocketAddr, String>,
}

impl Sockets {
    pub fn new(port: u16, stop: CancellationToken) -> Self {
        Self { port, bound: Arc::default(), routes: Arc::default(), stop }
    }

    /// A socket on each address that the box has now. Loopback is for viewers on the box itself.
    pub fn open(&self, loopback: bool) -> io::Result<Vec<Bound>> {
        let addresses: Vec<IpAddr> = if_addrs::get_if_addrs()?
            .into_iter()
            .map(|interface| interface.ip())
            .filter(|ip| (loopback || !ip.is_loopback()) && reachable(*ip))
            .take(ADDRESSES_MAX)
            .collect();
        let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "the box has no network address");
        let mut bound = lock(&self.bound);
        // An address that the box lost must not keep its socket.
        bound.retain(|ip, _| ip.is_loopback() || addresses.contains(ip));
        let mut open = Vec::new();
        for ip in addresses {
            if let Some((known, _)) = bound.get(&ip) {
                open.push(known.clone());
                continue;
            }
            match self.bind(ip) {
                Ok((socket, guard)) => {
                    bound.insert(ip, (socket.clone(), guard));
                    open.push(socket);
                }
                Err(error) => {
                    tracing::warn!(%ip, port = self.port, %error, "no WebRTC on this address");
                    failure = error;
                }
            }
        }
        if open.is_empty() { Err(failure) } else { Ok(open) }
    }

    /// Datagrams for the session with this ICE user name go to `queue`, until the guard is dropped.
    pub fn register(&self, ufrag: String, queue: mpsc::Sender<Datagram>) -> Registered {
        lock(&self.routes).sessions.insert(ufrag.clone(), queue);
        Registered { ufrag, routes: self.routes.clone() }
    }

    fn bind(&self, ip: IpAddr) -> io::Result<(Bound, DropGuard)> {
        let socket = std::net::UdpSocket::bind((ip, self.port))?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let bound = Bound { address: socket.local_addr()?, socket };
        let stop = self.stop.child_token();
        let guard = stop.clone().drop_guard();
        let (Bound { address: to, socket }, routes) = (bound.clone(), self.routes.clone());
        tokio::spawn(async move {
            let mut buffer = vec![0; DATAGRAM_MAX];
            loop {
                let received = tokio::select! {
                    () = stop.cancelled() => return,
                    received = socket.recv_from(&mut buffer) => received,
                };
                let Ok((length, from)) = received else {
                    // Mostly a viewer's closed port (ICMP); a socket that fails for good must not take a core.
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let data = Bytes::copy_from_slice(&buffer[..length]);
                lock(&routes).deliver(Datagram { from, to, at: Instant::now(), data });
            }
        });
        Ok((bound, guard))
    }
}

impl Routes {
    fn deliver(&mut self, datagram: Datagram) {
        let named = StunMessage::parse(&datagram.data)
            .ok()
            .and_then(|message| message.split_username().map(|(ours, _)| ours.to_owned()));
        let ufrag = match named {
            Some(ufrag) if self.sessions.contains_key(&ufrag) => {
                let known = self.peers.values().filter(|owner| **owner == ufrag).count();
                if known < PEERS_MAX {
                    self.peers.insert(datagram.from, ufrag.clone());
                }
                ufrag
            }
            Some(_) => return,
            None => match self.peers.get(&datagram.from) {
                Some(ufrag) => ufrag.clone(),
                None => return,
            },
        };
        if self.sessions.get(&ufrag).is_some_and(|queue| queue.try_send(datagram).is_err()) {
            crate::base::metrics::dropped("live", "webrtc_input", 1);
        }
    }
}

/// Ends the delivery to a session when it is dropped.
pub struct Registered {
    ufrag: String,
    routes: Arc<Mutex<Routes>>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut routes = lock(&self.routes);
        routes.sessions.remove(&self.ufrag);
        routes.peers.retain(|_, owner| *owner != self.ufrag);
    }
}

/// Link-local addresses of IPv6 need a scope that a candidate cannot name.
fn reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_unicast_link_local(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_without_a_session_go_nowhere() {
        let stop = CancellationToken::new();
        let sockets = Sockets::new(0, stop.clone());
        let open = sockets.open(true).unwrap();
        let local = open.iter().find(|bound| bound.address.ip().is_loopback()).unwrap();
        assert_eq!(sockets.open(true).unwrap().len(), open.len(), "sockets are shared, not opened again");
        let (queue, mut received) = mpsc::channel(4);
        let registered = sockets.register("ours".to_owned(), queue);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for data in [&b"noise"[..], &[0; 20], &[]] {
            stranger.send_to(data, local.address).await.unwrap();
        }
        let known = client.local_addr().unwrap();
        lock(&sockets.routes).peers.insert(known, "ours".to_owned());
        client.send_to(b"media", local.address).await.unwrap();
        let datagram = received.recv().await.unwrap();
        assert_eq!((datagram.from, &datagram.data[..]), (known, &b"media"[..]));
        drop(registered);
        assert!(lock(&sockets.routes).peers.is_empty());
        stop.cancel();
    }
}
