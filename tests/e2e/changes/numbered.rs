//! Rows that are numbered in the order of their commits, and what a subscriber has received of them: none twice, and all of them
//! unless it was notified of a gap.

use std::ops::RangeInclusive;
use std::time::Duration;

use harness::{Client, Frame, Postgres};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Changes, expect_subscribed, join};

/// How long a server may take until it has recovered from a failure, or has given up: the pauses between its attempts, and those of
/// subscriptions, and how long changes wait.
const RECOVERY_MAX: Duration = Duration::from_secs(45);

/// How often it is looked what was received.
const POLL: Duration = Duration::from_millis(20);

/// What a subscriber receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Receipt {
    /// A row that was inserted.
    Row(i64),
    /// The notice of a gap.
    Gap,
    /// That the subscription is complete.
    Subscribed,
    /// Another notice.
    Notice(String),
}

/// A subscriber to `public.todos`.
pub(super) struct Subscriber {
    pub(super) client: Client,
    pub(super) receipts: Vec<Receipt>,
    /// How many of them were waited for.
    waited: usize,
}

impl Subscriber {
    /// A user's client that has subscribed.
    pub(super) async fn subscribed(changes: &Changes, user: &str) -> Self {
        let mut subscriber = Self::joined(changes, user).await;
        expect_subscribed(&mut subscriber.client).await;
        subscriber
    }

    /// A user's client that has joined.
    pub(super) async fn joined(changes: &Changes, user: &str) -> Self {
        let inserts = json!([{"event": "INSERT", "schema": "public", "table": "todos"}]);
        Self::of(changes, user, &inserts).await
    }

    /// A user's client that has joined with these bindings.
    pub(super) async fn of(changes: &Changes, user: &str, bindings: &Value) -> Self {
        let mut client = changes.client(user).await;
        join(&mut client, bindings).await;
        Self { client, receipts: Vec::new(), waited: 0 }
    }

    /// Waits until this is received, after what was waited for before.
    pub(super) async fn until(&mut self, expected: &Receipt) {
        let started = Instant::now();
        loop {
            let new = &self.receipts[self.waited..];
            if let Some(place) = new.iter().position(|receipt| receipt == expected) {
                self.waited += place + 1;
                return;
            }
            assert!(started.elapsed() < RECOVERY_MAX, "{expected:?} is not among {new:?}");
            self.receipts.extend(self.client.received().await.iter().filter_map(receipt));
            sleep(POLL).await;
        }
    }

    /// No subscription is complete yet.
    pub(super) async fn assert_not_subscribed(&mut self) {
        self.receipts.extend(self.client.received().await.iter().filter_map(receipt));
        assert!(!self.receipts.contains(&Receipt::Subscribed), "{:?}", self.receipts);
    }

    /// Inserts a row, and waits until it is received.
    pub(super) async fn until_written(&mut self, postgres: &Postgres, number: i64) {
        postgres.sql(&format!("INSERT INTO public.todos (id) VALUES ({number})"));
        self.until(&Receipt::Row(number)).await;
    }

    /// The rows of the table, up to the last one, were received once, in order; one that is missing was missed before a notice.
    pub(super) fn assert_complete(&self, postgres: &Postgres) {
        let rows = postgres.sql("SELECT id FROM public.todos ORDER BY id");
        let rows: Vec<i64> = rows.lines().map(|id| id.parse().expect("a number")).collect();
        let (mut next, mut may_lack) = (0, false);
        for receipt in &self.receipts {
            match receipt {
                Receipt::Gap => may_lack = true,
                Receipt::Row(row) => {
                    let place = rows.binary_search(row).expect("it was committed");
                    assert!(place >= next, "row {row} comes a second time or too late: {:?}", self.receipts);
                    assert!(place == next || may_lack, "rows before {row} are missing: {:?}", self.receipts);
                    (next, may_lack) = (place + 1, false);
                }
                Receipt::Subscribed | Receipt::Notice(_) => {}
            }
        }
        assert_eq!(next, rows.len(), "the last rows are missing: {:?}", self.receipts);
    }
}

fn receipt(frame: &Frame) -> Option<Receipt> {
    let Frame::Json(message) = frame else { panic!("expected JSON, got {frame}") };
    let payload = &message["payload"];
    match message["event"].as_str() {
        Some("postgres_changes") => payload["data"]["record"]["id"].as_i64().map(Receipt::Row),
        Some("system") if payload["extension"] == "postgres_changes" => Some(notice(payload)),
        _ => None,
    }
}

fn notice(payload: &Value) -> Receipt {
    match payload["message"].as_str().unwrap_or_default() {
        "Changes may have been missed" => Receipt::Gap,
        "Subscribed to PostgreSQL" => Receipt::Subscribed,
        other => Receipt::Notice(other.to_owned()),
    }
}

/// Commits rows one after the other in a session of its own, until it has written all or the database has ended it.
pub(super) fn write(postgres: &Postgres, numbers: RangeInclusive<i64>) -> JoinHandle<bool> {
    let postgres = postgres.clone();
    let (first, last) = numbers.into_inner();
    let statement = format!(
        "DO $$ BEGIN FOR n IN {first}..{last} LOOP
             INSERT INTO public.todos (id) VALUES (n); COMMIT; PERFORM pg_sleep(0.002);
         END LOOP; END $$"
    );
    tokio::task::spawn_blocking(move || postgres.try_sql(&statement))
}
