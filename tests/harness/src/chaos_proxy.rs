//! A TCP proxy that a test puts between a server and what it depends on, to close its connections, to delay or slow them
//! down, and to lead them elsewhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How the proxy treats connections now.
#[derive(Debug, Clone, Copy)]
struct Conditions {
    target: SocketAddr,
    state: State,
    delay: Duration,
    /// Bytes per second, in each direction of all connections together.
    bandwidth: Option<u32>,
    /// Connections that are idle for this long are closed.
    idle_limit: Option<Duration>,
    /// Grows when open connections have to be closed.
    cuts: u64,
    /// Grows when open connections are stranded.
    strands: u64,
    /// Connections opened before this strand are stuck.
    stranded: u64,
}

impl Conditions {
    /// Whether bytes pass in a connection that was opened after so many strands.
    fn passes(&self, born: u64) -> bool {
        self.state != State::Stuck && born >= self.stranded
    }

    /// How long this many bytes occupy the line.
    fn transfer(&self, bytes: usize) -> Duration {
        let transfer = self.bandwidth.map(|bandwidth| bytes as f64 / f64::from(bandwidth));
        transfer.map(Duration::from_secs_f64).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Connections are closed, and new ones at once.
    Cut,
    /// No byte passes, and no connection is closed.
    Stuck,
}

/// The proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    conditions: Arc<watch::Sender<Conditions>>,
    listener: AbortHandle,
}

impl ChaosProxy {
    /// A proxy to `target` that passes everything.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(target: SocketAddr) -> ChaosProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a port");
        let open = Conditions {
            target,
            state: State::Open,
            delay: Duration::ZERO,
            bandwidth: None,
            idle_limit: None,
            cuts: 0,
            strands: 0,
            stranded: 0,
        };
        let conditions = Arc::new(watch::Sender::new(open));
        let listener = tokio::spawn(serve(listener, Arc::clone(&conditions))).abort_handle();
        ChaosProxy { address, conditions, listener }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.change(|conditions| {
            conditions.state = State::Cut;
            conditions.cuts += 1;
        });
    }

    /// From now on no byte passes, as after a network failure: no connection is closed.
    pub fn stick(&self) {
        self.change(|conditions| conditions.state = State::Stuck);
    }

    /// From now on no byte passes in the connections that are open; new ones work.
    pub fn strand(&self) {
        self.change(|conditions| {
            conditions.strands += 1;
            conditions.stranded = conditions.strands;
        });
    }

    /// Passes everything again. What was stuck arrives now.
    pub fn mend(&self) {
        self.change(|conditions| {
            conditions.state = State::Open;
            conditions.stranded = 0;
        });
    }

    /// From now on everything takes this much longer.
    pub fn delay(&self, delay: Duration) {
        self.change(|conditions| conditions.delay = delay);
    }

    /// From now on all connections together pass this many bytes per second in each direction.
    pub fn limit_bandwidth(&self, bandwidth: u32) {
        self.change(|conditions| conditions.bandwidth = Some(bandwidth));
    }

    /// From now on closes connections that are idle for this long, as load balancers do.
    pub fn limit_idle(&self, limit: Duration) {
        self.change(|conditions| conditions.idle_limit = Some(limit));
    }

    /// From now on new connections lead to `target`; open ones stay.
    pub fn redirect(&self, target: SocketAddr) {
        self.change(|conditions| conditions.target = target);
    }

    /// Closes all connections; new ones lead to `target`.
    pub fn plug_into(&self, target: SocketAddr) {
        self.change(|conditions| {
            conditions.target = target;
            conditions.state = State::Open;
            conditions.cuts += 1;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Conditions)) {
        self.conditions.send_modify(change);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.change(|conditions| conditions.cuts += 1);
    }
}

async fn serve(listener: TcpListener, conditions: Arc<watch::Sender<Conditions>>) {
    let lines = Arc::new([Line::new(), Line::new()]);
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, conditions.subscribe(), Arc::clone(&lines)));
    }
}

/// One direction, which all connections share.
struct Line(Mutex<Instant>);

impl Line {
    fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Occupies the line for this long, when it is free. Returns when that ends.
    fn occupy(&self, transfer: Duration) -> Instant {
        let mut free = self.0.lock().expect("no holder panics");
        *free = Instant::now().max(*free) + transfer;
        *free
    }
}

async fn connect(client: TcpStream, mut conditions: watch::Receiver<Conditions>, lines: Arc<[Line; 2]>) {
    let now = *conditions.borrow_and_update();
    if now.state == State::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(now.target).await else { return };
    // Small packets go at once, or the proxy would be slower than what it stands for.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let ((client_read, client_write), (server_read, server_write)) =
        (client.into_split(), server.into_split());
    let last_use = LastUse::new();
    tokio::select! {
        () = pass(client_read, server_write, conditions.clone(), &lines[0], now.strands, &last_use) => {}
        () = pass(server_read, client_write, conditions.clone(), &lines[1], now.strands, &last_use) => {}
        () = last_use.idle(conditions.clone()) => {}
        _ = conditions.wait_for(|it| it.cuts != now.cuts) => {}
    }
}

/// When bytes last passed in a connection.
struct LastUse(Mutex<Instant>);

impl LastUse {
    fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    fn update(&self) {
        *self.0.lock().expect("no holder panics") = Instant::now();
    }

    /// Waits until the connection has been idle for as long as is allowed.
    async fn idle(&self, mut conditions: watch::Receiver<Conditions>) {
        loop {
            let limited = conditions.wait_for(|it| it.idle_limit.is_some()).await;
            let Some(limit) = limited.ok().and_then(|it| it.idle_limit) else { return };
            let end = *self.0.lock().expect("no holder panics") + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end.into()).await;
        }
    }
}

/// Passes bytes in one direction, until an end is reached.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut conditions: watch::Receiver<Conditions>,
    line: &Line,
    born: u64,
    last_use: &LastUse,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(now) = conditions.wait_for(|it| it.passes(born)).await.map(|it| *it) else { return };
        let transfer = now.transfer(length);
        if !transfer.is_zero() {
            tokio::time::sleep_until(line.occupy(transfer).into()).await;
        }
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        last_use.update();
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
