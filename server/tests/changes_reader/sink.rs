//! Receives changes for a test.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use harness::WAIT_MAX;
use realtime_server::tenants::database::{ChangeBatch, ChangeSession, ChangeSink};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use wire::pgoutput::{LogMessage, Value, decode};

/// What a sink was called with.
enum Call {
    Begin(ChangeSession, mpsc::Receiver<ChangeBatch>),
    Unavailable(String),
}

/// Notes what it is called with.
pub struct TestSink {
    calls: mpsc::Sender<Call>,
    received: Mutex<mpsc::Receiver<Call>>,
}

impl ChangeSink for TestSink {
    fn begin(&self, session: ChangeSession) -> mpsc::Sender<ChangeBatch> {
        let (sender, batches) = mpsc::channel(1);
        self.note(Call::Begin(session, batches));
        sender
    }

    fn unavailable(&self, shown: &str) {
        self.note(Call::Unavailable(shown.to_owned()));
    }

    fn tables(&self) -> Vec<(String, usize)> {
        Vec::new()
    }
}

impl TestSink {
    pub fn new() -> Arc<TestSink> {
        let (calls, received) = mpsc::channel(64);
        Arc::new(TestSink { calls, received: Mutex::new(received) })
    }

    fn note(&self, call: Call) {
        assert!(self.calls.try_send(call).is_ok(), "few sessions");
    }

    async fn next(&self, limit: Duration) -> Call {
        let mut received = self.received.lock().await;
        timeout(limit, received.recv()).await.expect("a call in time").expect("the sink is there")
    }

    /// Waits for a session that begins. Returns whether changes may have been missed, and what it receives.
    pub async fn begun(&self) -> (bool, Received) {
        self.begun_within(WAIT_MAX).await
    }

    /// As [`begun`](Self::begun).
    pub async fn begun_within(&self, limit: Duration) -> (bool, Received) {
        loop {
            if let Call::Begin(session, batches) = self.next(limit).await {
                return (session.has_gap, Received { batches });
            }
        }
    }

    /// Waits until no session can read, and returns what clients are shown.
    pub async fn unavailable(&self) -> String {
        match self.next(WAIT_MAX).await {
            Call::Unavailable(shown) => shown,
            Call::Begin(..) => panic!("a session has begun"),
        }
    }

    /// Nothing has begun since the last call.
    pub async fn is_unchanged(&self) -> bool {
        self.received.lock().await.try_recv().is_err()
    }
}

/// The batches of a session.
pub struct Received {
    batches: mpsc::Receiver<ChangeBatch>,
}

impl Received {
    /// Waits for the end of the session.
    pub async fn ended(mut self) {
        let all = async { while self.batches.recv().await.is_some() {} };
        timeout(WAIT_MAX, all).await.expect("the session ends");
    }

    pub async fn batch(&mut self) -> ChangeBatch {
        timeout(WAIT_MAX, self.batches.recv()).await.expect("a batch in time").expect("an open session")
    }

    /// What the next `count` rows have in their first column.
    pub async fn rows(&mut self, count: usize) -> Vec<String> {
        let mut rows = Vec::new();
        while rows.len() < count {
            rows.extend(inserted(&self.batch().await.messages));
        }
        rows
    }
}

/// What inserted rows have in their first column.
pub fn inserted(messages: &[Bytes]) -> Vec<String> {
    let first = |message: &Bytes| match decode(message).expect("a message of pgoutput") {
        LogMessage::Insert(insert) => match insert.new.values().next() {
            Some(Value::Text(text)) => Some(String::from_utf8(text.to_vec()).expect("UTF-8")),
            _ => None,
        },
        _ => None,
    };
    messages.iter().filter_map(first).collect()
}

/// The kinds of messages, a letter each.
pub fn kinds(messages: &[Bytes]) -> String {
    messages.iter().map(|message| char::from(message[0])).collect()
}
