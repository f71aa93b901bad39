//! An identity provider that does as a test tells it: publishes keys, changes them, stumbles, keeps silent.
//!
//! A real HTTP server on a free port, written by hand, because it must be able to answer what no library would.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::WAIT_MAX;

/// A provider; it is gone when this is dropped.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    requests: watch::Receiver<usize>,
    serving: JoinHandle<()>,
}

/// What it says to the next request.
#[derive(Debug, Clone)]
enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing, while it keeps the connection.
    Silence,
}

impl Provider {
    /// A provider that publishes this key set.
    ///
    /// # Panics
    /// When this machine has no free port.
    pub async fn publishing(keys: &Value) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(published(keys)));
        let (count, requests) = watch::channel(0);
        let serving = tokio::spawn(serve(listener, Arc::clone(&answer), count));
        Provider { address, answer, requests, serving }
    }

    /// Where its keys are.
    pub fn url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.address)
    }

    /// From now on publishes this key set.
    pub fn publish(&self, keys: &Value) {
        self.set(published(keys));
    }

    /// From now on answers with these bytes, a whole response of its own making.
    pub fn answer(&self, response: impl Into<Vec<u8>>) {
        self.set(Answer::Bytes(response.into()));
    }

    /// From now on answers this status, without a body.
    pub fn fail(&self, status: u16) {
        self.answer(format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    }

    /// From now on takes requests and says nothing.
    pub fn stop_answering(&self) {
        self.set(Answer::Silence);
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        *self.requests.borrow()
    }

    /// Waits until it was asked so often.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn wait_for_requests(&self, times: usize) {
        let mut requests = self.requests.clone();
        let asked = requests.wait_for(|requests| *requests >= times);
        timeout(WAIT_MAX, asked).await.expect("it is asked in time").expect("it still serves");
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().expect("no test panics here") = answer;
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn published(keys: &Value) -> Answer {
    let body = keys.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    Answer::Bytes((head + &body).into_bytes())
}

async fn serve(listener: TcpListener, answer: Arc<Mutex<Answer>>, count: watch::Sender<usize>) {
    let mut kept = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        if !asks(&mut stream).await {
            continue;
        }
        let answer = answer.lock().expect("no test panics here").clone();
        count.send_modify(|requests| *requests += 1);
        match answer {
            // Whoever asked may have had enough before the end.
            Answer::Bytes(bytes) => drop(stream.write_all(&bytes).await),
            Answer::Silence => kept.push(stream),
        }
    }
}

/// Reads the head of a request; whether there was one.
async fn asks(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(read) if read > 0) {
            return false;
        }
    }
    true
}
