//! Changes of tables, with a real PostgreSQL beside the server.
//!
//! | file | what is measured |
//! |---|---|
//! | `latency` | from a commit to the only subscriber |
//! | `unwatched` | what it costs a writer that a table is published, and another one is watched |
//! | `saturated` | one subscriber; ten thousand subscriptions to different values |
//! | `visibility`, `documented` | a thousand subscribers under row level security, beside a lookup for each of them in SQL |
//! | `transaction` | one of a million rows, and broadcasts meanwhile |
//!
//! Rows are numbered by their primary key, and have a hundred bytes of text.

mod burst;
mod documented;
mod frames;
mod latency;
mod saturated;
mod transaction;
mod unwatched;
mod visibility;

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use self::frames::Subscribing;
use super::Bench;
use super::database::{ROOM, TenantDatabase};
use crate::entry::Entry;
use crate::machine::Deadline;
use crate::server::Target;
use crate::session::Session;
use crate::swarm::Swarm;

pub use self::latency::run as latency;
pub use self::saturated::{filters, run as saturated};
pub use self::transaction::run as transaction;
pub use self::unwatched::run as unwatched;
pub use self::visibility::run as visibility;

/// How long a thousand clients may take to subscribe.
const SUBSCRIBED_MAX: Duration = Duration::from_secs(60);

const TABLES: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, room int, body text);
    CREATE TABLE unwatched (id int PRIMARY KEY, room int, body text);
    CREATE TABLE private_notes (id int PRIMARY KEY, user_id uuid, body text);
    GRANT SELECT ON notes, private_notes TO authenticated;
    ALTER TABLE private_notes ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON private_notes FOR SELECT TO authenticated USING ((SELECT auth.uid()) = user_id);
    ALTER PUBLICATION supabase_realtime ADD TABLE notes, unwatched, private_notes;";

/// `auth.uid()`.
const AUTH_HELPERS: &str = include_str!("../../../../../server/migrations/tenant/auth_helpers.sql");

/// The database of a tenant, with published tables.
struct PublishedTables {
    database: TenantDatabase,
}

impl PublishedTables {
    fn start(bench: &Bench) -> Result<Self> {
        let database = TenantDatabase::start(bench)?;
        let mut session = Session::connect(&database.database)?;
        session.run(AUTH_HELPERS)?;
        session.run(TABLES)?;
        Ok(Self { database })
    }

    /// Starts a server that uses them, empty.
    fn serve(&self, bench: &Bench) -> Result<Target> {
        self.serve_with(bench, Vec::new())
    }

    /// The same with further settings.
    fn serve_with(&self, bench: &Bench, variables: Vec<(&'static str, String)>) -> Result<Target> {
        self.session()?.run("TRUNCATE notes, unwatched, private_notes")?;
        self.database.serve_with(bench, variables)
    }

    fn session(&self) -> Result<Session> {
        Session::connect(&self.database.database)
    }
}

/// A subscription to what is inserted into a table.
fn binding(table: &str) -> Value {
    json!({"event": "INSERT", "schema": "public", "table": table})
}

/// A client that subscribes to this.
fn subscriber(target: &Target, member: usize, bindings: &[Value]) -> Result<Entry> {
    Ok(target.subscriber(&target.token(member)?, ROOM.0, bindings))
}

/// Adds clients, and waits until changes flow to them.
fn subscribe(swarm: &mut Swarm, target: &Target, entries: Vec<Entry>) -> Result<()> {
    let (mut subscribing, deadline) = (Subscribing::of(entries.len()), Deadline::after(SUBSCRIBED_MAX));
    swarm.enter(target.address, entries, &mut subscribing, deadline)?;
    swarm.turn_until(&mut subscribing, deadline, Subscribing::progress, Subscribing::is_over)?;
    subscribing.check()
}

/// `INSERT` of the notes with these numbers. Their `room` is the number modulo `rooms`.
fn insert_notes(table: &str, (first, last): (usize, usize), rooms: usize) -> String {
    format!(
        "INSERT INTO {table} SELECT n, n % {rooms}, repeat('x', 100) FROM generate_series({first}, {last}) AS n"
    )
}
