//! A TCP cable that can be cut, mended, slowed down, and plugged in elsewhere.
//!
//! Stands between a server and what it depends on, so that a test breaks the cable and not the code.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How the cable is now.
#[derive(Debug, Clone, Copy)]
struct Cable {
    target: SocketAddr,
    state: State,
    delay: Duration,
    /// Connections in which nothing has moved for so long end.
    idle_limit: Option<Duration>,
    /// Grows when connections that are open have to end.
    cut: u64,
    /// Grows when connections that are open are stranded.
    strands: u64,
    /// Connections from before this strand are stuck.
    stranded: u64,
}

impl Cable {
    /// Whether bytes move in a connection that was opened after so many strands.
    fn moves(&self, born: u64) -> bool {
        self.state != State::Stuck && born >= self.stranded
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections end, and new ones end at once.
    Cut,
    /// Nothing moves, and nobody is told.
    Stuck,
}

/// The proxy. Dropping it ends everything.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    cable: Arc<watch::Sender<Cable>>,
    listener: AbortHandle,
}

impl ChaosProxy {
    /// A whole cable to `target`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(target: SocketAddr) -> ChaosProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a port");
        let whole = Cable {
            target,
            state: State::Whole,
            delay: Duration::ZERO,
            idle_limit: None,
            cut: 0,
            strands: 0,
            stranded: 0,
        };
        let cable = Arc::new(watch::Sender::new(whole));
        let listener = tokio::spawn(serve(listener, Arc::clone(&cable))).abort_handle();
        ChaosProxy { address, cable, listener }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections; new ones end at once.
    pub fn cut(&self) {
        self.change(|cable| {
            cable.state = State::Cut;
            cable.cut += 1;
        });
    }

    /// From now on nothing moves, as if somebody had pulled the plug: no end is told, no byte comes through.
    pub fn stick(&self) {
        self.change(|cable| cable.state = State::Stuck);
    }

    /// From now on nothing moves in the connections there are, and new ones are whole.
    pub fn strand(&self) {
        self.change(|cable| {
            cable.strands += 1;
            cable.stranded = cable.strands;
        });
    }

    /// Makes the cable whole again. What was stuck arrives now.
    pub fn mend(&self) {
        self.change(|cable| {
            cable.state = State::Whole;
            cable.stranded = 0;
        });
    }

    /// From now on whatever passes takes this much longer.
    pub fn delay(&self, delay: Duration) {
        self.change(|cable| cable.delay = delay);
    }

    /// From now on ends each connection in which nothing has moved for so long, as load balancers do.
    pub fn limit_idle(&self, limit: Duration) {
        self.change(|cable| cable.idle_limit = Some(limit));
    }

    /// From now on new connections lead to `target`; those that are open stay.
    pub fn redirect(&self, target: SocketAddr) {
        self.change(|cable| cable.target = target);
    }

    /// Ends all connections; new ones lead to `target`.
    pub fn plug_into(&self, target: SocketAddr) {
        self.change(|cable| {
            cable.target = target;
            cable.state = State::Whole;
            cable.cut += 1;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Cable)) {
        self.cable.send_modify(change);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.change(|cable| cable.cut += 1);
    }
}

async fn serve(listener: TcpListener, cable: Arc<watch::Sender<Cable>>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, cable.subscribe()));
    }
}

async fn connect(client: TcpStream, mut cable: watch::Receiver<Cable>) {
    let now = *cable.borrow_and_update();
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
    let used = Used::new();
    tokio::select! {
        () = pass(client_read, server_write, cable.clone(), now.strands, &used) => {}
        () = pass(server_read, client_write, cable.clone(), now.strands, &used) => {}
        () = used.idle(cable.clone()) => {}
        _ = cable.wait_for(|it| it.cut != now.cut) => {}
    }
}

/// When something last moved in a connection.
struct Used(Mutex<Instant>);

impl Used {
    fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    fn now(&self) {
        *self.0.lock().expect("nobody panics here") = Instant::now();
    }

    /// Waits until nothing has moved for as long as the cable allows.
    async fn idle(&self, mut cable: watch::Receiver<Cable>) {
        loop {
            let limited = cable.wait_for(|it| it.idle_limit.is_some()).await;
            let Some(limit) = limited.ok().and_then(|it| it.idle_limit) else { return };
            let end = *self.0.lock().expect("nobody panics here") + limit;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end.into()).await;
        }
    }
}

/// Passes bytes on in one direction, until an end is reached.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut cable: watch::Receiver<Cable>,
    born: u64,
    used: &Used,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(delay) = cable.wait_for(|it| it.moves(born)).await.map(|it| it.delay) else {
            return;
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        used.now();
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
