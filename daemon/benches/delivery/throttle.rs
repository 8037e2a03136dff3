//! An uplink of limited speed: TCP connections that share one bottleneck towards the servers, and that break where the
//! tests say so.
#![allow(dead_code, reason = "tests and benchmark use a part each")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Mutex, mpsc, watch};

/// What a modem would hold for a connection; more would hide the bottleneck from the box.
const BUFFER: u32 = 64 << 10;
/// Bytes that go in one piece, so that connections take turns.
const PIECE: usize = 4 << 10;
/// What the modem holds of all connections together: a full uplink is this late.
const QUEUE: Duration = Duration::from_millis(500);
/// A bad line lets nothing through for this long of each period, and takes up to `SWAY` longer, as each span has it.
const PERIOD: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);
const SWAY: Duration = Duration::from_millis(200);
const SPAN: Duration = Duration::from_millis(50);

/// The bottleneck.
#[derive(Clone)]
pub struct Line {
    bytes_per_s: f64,
    free_at: Arc<Mutex<Instant>>,
    /// Since when it pauses and sways.
    bad: Option<Instant>,
}

impl Line {
    pub fn new(bytes_per_s: f64) -> Self {
        Self { bytes_per_s, free_at: Arc::new(Mutex::new(Instant::now())), bad: None }
    }

    /// One that pauses and sways, as radio does.
    pub fn bad(bytes_per_s: f64) -> Self {
        Self { bad: Some(Instant::now()), ..Self::new(bytes_per_s) }
    }

    /// In the long run.
    pub fn bytes_per_s(&self) -> f64 {
        let pauses = if self.bad.is_some() { PAUSE.div_duration_f64(PERIOD) } else { 0.0 };
        self.bytes_per_s * (1.0 - pauses)
    }

    /// Listens on a port of its own for what goes to `target`.
    pub fn forward(&self, target: &str) -> Forward {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(BUFFER).expect("a small buffer");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let listener: TcpListener = socket.listen(64).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let passed = Arc::new(Passed::new());
        let (line, shared, target) = (self.clone(), passed.clone(), target.to_owned());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (line, passed, target) = (line.clone(), shared.clone(), target.clone());
                tokio::spawn(async move {
                    let mut cut = passed.cut.subscribe();
                    let carry = async {
                        if let Ok(far) = TcpStream::connect(&target).await {
                            line.join(near, far, &passed).await;
                        }
                    };
                    tokio::select! {
                        biased;
                        _ = cut.wait_for(|cut| *cut) => {}
                        () = carry => {}
                    }
                });
            }
        });
        Forward { address, passed }
    }

    async fn join(&self, near: TcpStream, far: TcpStream, passed: &Passed) {
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
        // Bounded by the queue of the line, which `enter` waits for.
        let (queue, mut leaving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        let up = async move {
            loop {
                let mut piece = vec![0; PIECE];
                let length = match near_in.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) => length,
                };
                piece.truncate(length);
                passed.count(length);
                let through = self.enter(length).await;
                if queue.send((through, piece)).is_err() {
                    break;
                }
            }
        };
        let out = async {
            while let Some((through, piece)) = leaving.recv().await {
                tokio::time::sleep_until(through.into()).await;
                if far_out.write_all(&piece).await.is_err() {
                    break;
                }
            }
            let _ = far_out.shutdown().await;
        };
        let down = async {
            let _ = copy(&mut far_in, &mut near_out).await;
            let _ = near_out.shutdown().await;
        };
        tokio::join!(up, out, down);
    }

    /// Waits for room in the queue; when these bytes are through.
    async fn enter(&self, bytes: usize) -> Instant {
        let mut free_at = self.free_at.lock().await;
        // Held meanwhile: nobody enters a full queue, and those who wait enter in turn.
        tokio::time::sleep_until((*free_at).checked_sub(QUEUE).unwrap_or(*free_at).into()).await;
        let begins = self.paused_until((*free_at).max(Instant::now()));
        *free_at = begins + Duration::from_secs_f64(bytes as f64 / self.bytes_per_s);
        *free_at + self.sway(*free_at)
    }

    fn paused_until(&self, time: Instant) -> Instant {
        let Some(since) = self.bad else { return time };
        let into = Duration::from_nanos((time.duration_since(since).as_nanos() % PERIOD.as_nanos()) as u64);
        time + PAUSE.saturating_sub(into)
    }

    fn sway(&self, time: Instant) -> Duration {
        let Some(since) = self.bad else { return Duration::ZERO };
        let span = time.duration_since(since).as_nanos() / SPAN.as_nanos();
        SWAY.mul_f64((span * 7919 % 200) as f64 / 200.0)
    }
}

struct Passed {
    upward: AtomicU64,
    cut_at: AtomicU64,
    /// Connections end, and no other one is served.
    cut: watch::Sender<bool>,
}

impl Passed {
    fn new() -> Self {
        Self { upward: AtomicU64::new(0), cut_at: AtomicU64::new(u64::MAX), cut: watch::channel(false).0 }
    }

    fn count(&self, bytes: usize) {
        let before = self.upward.fetch_add(bytes as u64, Ordering::SeqCst);
        if before + bytes as u64 >= self.cut_at.load(Ordering::SeqCst) {
            self.cut.send_replace(true);
        }
    }
}

/// One way through the line.
pub struct Forward {
    pub address: SocketAddr,
    passed: Arc<Passed>,
}

impl Forward {
    pub fn upward_bytes(&self) -> u64 {
        self.passed.upward.load(Ordering::SeqCst)
    }

    /// Works, and breaks when so many bytes more have passed.
    pub fn cut_after(&self, bytes: u64) {
        self.passed.cut_at.store(self.upward_bytes().saturating_add(bytes), Ordering::SeqCst);
        self.passed.cut.send_replace(false);
    }

    /// Works from now on.
    pub fn mend(&self) {
        self.cut_after(u64::MAX);
    }

    pub async fn until_cut(&self) {
        let _ = self.passed.cut.subscribe().wait_for(|cut| *cut).await;
    }
}
