//! An identity provider under the control of a test: publishes a key set, replaces it, fails, or does not respond.
//!
//! An HTTP server on a free port, written by hand, because it must send responses that no library would.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::WAIT_MAX;

/// A running provider; stops on drop.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    answer: watch::Sender<Reply>,
    requests: watch::Receiver<usize>,
    serving: JoinHandle<()>,
}

/// The response to the next requests.
#[derive(Debug, Clone)]
enum Reply {
    /// These bytes.
    Bytes(Vec<u8>),
    /// None until it is another one.
    Nothing,
}

impl Provider {
    /// A provider that publishes this key set.
    ///
    /// # Panics
    /// When this machine has no free port.
    pub async fn publishing(keys: &Value) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (answer, replies) = watch::channel(published(keys));
        let (count, requests) = watch::channel(0);
        let serving = tokio::spawn(serve(listener, replies, count));
        Provider { address, answer, requests, serving }
    }

    /// The address of its key set.
    pub fn url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.address)
    }

    /// Publishes this key set from now on.
    pub fn publish(&self, keys: &Value) {
        self.set(published(keys));
    }

    /// Responds with these bytes from now on: a whole HTTP response.
    pub fn answer(&self, response: impl Into<Vec<u8>>) {
        self.set(Reply::Bytes(response.into()));
    }

    /// Responds with this status and no body from now on.
    pub fn fail(&self, status: u16) {
        self.answer(format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    }

    /// Accepts requests from now on and sends no response, until it is to publish or answer something again.
    pub fn stop_answering(&self) {
        self.set(Reply::Nothing);
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        *self.requests.borrow()
    }

    /// Waits until it has received this number of requests.
    ///
    /// # Panics
    /// When it does not within [`WAIT_MAX`].
    pub async fn wait_for_requests(&self, times: usize) {
        let mut requests = self.requests.clone();
        let received = requests.wait_for(|requests| *requests >= times);
        timeout(WAIT_MAX, received).await.expect("requests come in time").expect("the provider runs");
    }

    fn set(&self, answer: Reply) {
        self.answer.send_replace(answer);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn published(keys: &Value) -> Reply {
    let body = keys.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    Reply::Bytes((head + &body).into_bytes())
}

async fn serve(listener: TcpListener, replies: watch::Receiver<Reply>, count: watch::Sender<usize>) {
    let mut responding = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        if !read_request(&mut stream).await {
            continue;
        }
        // Taken before the request is counted: a test that waits for the request changes the reply of later ones.
        let reply = replies.borrow().clone();
        count.send_modify(|requests| *requests += 1);
        responding.spawn(respond(stream, reply, replies.clone()));
    }
}

/// Sends `reply`, or the first bytes that are set after it.
async fn respond(mut stream: TcpStream, reply: Reply, mut replies: watch::Receiver<Reply>) {
    let bytes = match reply {
        Reply::Bytes(bytes) => bytes,
        Reply::Nothing => match replies.wait_for(|reply| matches!(reply, Reply::Bytes(_))).await.as_deref() {
            Ok(Reply::Bytes(bytes)) => bytes.clone(),
            _ => return,
        },
    };
    // The client may close the connection before it has read everything.
    drop(stream.write_all(&bytes).await);
}

/// Reads the head of a request; false if the connection ends before.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(read) if read > 0) {
            return false;
        }
    }
    true
}
