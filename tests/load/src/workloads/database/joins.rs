//! A thousand members come back to one private room after a restart of the server.
//!
//! Each with claims of its own is a transaction each, which `pgbench` runs on as many connections as the server has. With the
//! same claims they share an answer, and what a private room adds to a public one is left. The request ids of the
//! handshakes, which a proxy adds, differ.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::{Bench, Ignored, JOINED_MAX, ROOM, TenantDatabase};
use crate::entry::Entry;
use crate::machine::Deadline;
use crate::message::Privacy;
use crate::pgbench::{Pgbench, Script};
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Target;
use crate::swarm::Swarm;

/// The connections of a server to a database (`database.max_connections`).
const CONNECTIONS: usize = 5;

/// The transaction that a private join is (`server/src/tenants/database/question.rs`), the same SQL in one message.
const TRANSACTION: &str = r#"\set member random(10000, 19999)
\set id random(100000000000, 999999999999)
BEGIN \;
DO $question$
    DECLARE state text; reason text; place text;
    BEGIN
        INSERT INTO realtime.messages (id, topic, extension, inserted_at, updated_at) VALUES ('00000000-0000-4000-8000-:id', 'room-0000', 'broadcast', pg_catalog.timezone('UTC', pg_catalog.now()), pg_catalog.timezone('UTC', pg_catalog.now())), ('00000000-0000-4000-8001-:id', 'room-0000', 'presence', pg_catalog.timezone('UTC', pg_catalog.now()), pg_catalog.timezone('UTC', pg_catalog.now()));
        PERFORM pg_catalog.set_config('role', 'authenticated', true), pg_catalog.set_config('realtime.topic', 'room-0000', true),
            pg_catalog.set_config('request.jwt.claims', '{"sub":"member-:member","role":"authenticated","aud":"authenticated","iat":1700000000,"exp":1700003600}', true),
            pg_catalog.set_config('request.jwt.claim.sub', 'member-:member', true),
            pg_catalog.set_config('request.jwt.claim.role', 'authenticated', true),
            pg_catalog.set_config('request.headers', '{"x-request-id":"request-:id"}', true);
        PERFORM pg_catalog.set_config('realtime.' || extension || '_readable', 'yes', true)
            FROM realtime.messages WHERE id IN ('00000000-0000-4000-8000-:id', '00000000-0000-4000-8001-:id');
        BEGIN
            INSERT INTO realtime.messages (id, topic, extension, inserted_at, updated_at) VALUES ('00000000-0000-4000-8002-:id', 'room-0000', 'broadcast', pg_catalog.timezone('UTC', pg_catalog.now()), pg_catalog.timezone('UTC', pg_catalog.now()));
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, place = TABLE_NAME;
            PERFORM pg_catalog.set_config('realtime.broadcast_refused', state || ' ' || place || ' ' || reason, true);
        END;
        BEGIN
            INSERT INTO realtime.messages (id, topic, extension, inserted_at, updated_at) VALUES ('00000000-0000-4000-8003-:id', 'room-0000', 'presence', pg_catalog.timezone('UTC', pg_catalog.now()), pg_catalog.timezone('UTC', pg_catalog.now()));
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, place = TABLE_NAME;
            PERFORM pg_catalog.set_config('realtime.presence_refused', state || ' ' || place || ' ' || reason, true);
        END;
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, place = TABLE_NAME;
        PERFORM pg_catalog.set_config('realtime.refused', state || ' ' || place || ' ' || reason, true);
    END $question$ \;
SELECT pg_catalog.current_setting('realtime.refused', true) AS refused,
    pg_catalog.current_setting('realtime.broadcast_readable', true) AS broadcast_readable,
    pg_catalog.current_setting('realtime.presence_readable', true) AS presence_readable,
    pg_catalog.current_setting('realtime.broadcast_refused', true) AS broadcast_refused,
    pg_catalog.current_setting('realtime.presence_refused', true) AS presence_refused,
    pg_catalog.pg_advisory_unlock_all() \;
ROLLBACK;
"#;

/// What the server sets for its sessions (`server/src/tenants/database/connection.rs`).
const SESSION: &str = "-c statement_timeout=4000 -c standard_conforming_strings=on";

/// Whose tokens the members have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claims {
    /// Each its own.
    Distinct,
    /// All the same.
    Equal,
}

/// Distinct claims beside `pgbench`, equal claims beside a public room.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let members = 1000 / bench.scale.fewer;
    let database = TenantDatabase::start(bench)?;
    let join = |claims, privacy| {
        let target = database.serve(bench)?;
        join_all(&target, members, claims, privacy)
    };
    let script = Script {
        text: TRANSACTION,
        connections: CONNECTIONS,
        transactions: members / CONNECTIONS,
        variables: &[],
        session: SESSION,
    };
    let pgbench = || Pgbench::start(bench.cores, &database.database, &script)?.rate();
    let (distinct, transactions) = bench.in_turns(|| join(Claims::Distinct, Privacy::Private), pgbench)?;
    let (private, public) =
        bench.in_turns(|| join(Claims::Equal, Privacy::Private), || join(Claims::Equal, Privacy::Public))?;
    let rate = |runs: &[Joined]| median(runs.iter().map(|run| run.per_second));
    let milliseconds = |runs: &[Joined]| members as f64 * 1e3 / rate(runs);
    let cpu = |runs: &[Joined]| median(runs.iter().map(|run| run.cpu_micros_each));
    let of_pgbench = median(transactions.iter().copied());
    let equal = (milliseconds(&private), milliseconds(&public));
    let rows = vec![
        Row::against("joined/s, pgbench's", rate(&distinct), of_pgbench, Goal::RatioAtLeast(0.7)),
        Row::against("CPU µs of the server each, public", cpu(&distinct), cpu(&public), Goal::None),
        Row::against("ms with equal claims, public", equal.0, equal.1, Goal::RatioAtMost(1.5)),
    ];
    let list = |runs: &[Joined]| runs.iter().map(|run| run.per_second).collect::<Vec<_>>();
    let runs = json!({"distinct": list(&distinct), "pgbench": transactions, "equal": list(&private), "public": list(&public)});
    Ok(Outcome { rows, runs })
}

/// One run, from the first connection to the last reply.
struct Joined {
    per_second: f64,
    cpu_micros_each: f64,
}

fn join_all(target: &Target, members: usize, claims: Claims, privacy: Privacy) -> Result<Joined> {
    let shared = target.token(0)?;
    let entry = |member| {
        let own = (claims == Claims::Distinct).then(|| target.token(member)).transpose()?;
        let entry = target.entry_with(own.as_ref().unwrap_or(&shared), ROOM.0, privacy);
        Ok(entry.with_header("X-Request-Id", &format!("request-{member:012}")))
    };
    // Tokens are signed before the clock starts.
    let entries = (0..members).map(entry).collect::<Result<Vec<Entry>>>()?;
    let mut swarm = Swarm::new()?;
    let (cpu, from) = (process::cpu(target.pid())?, Instant::now());
    swarm.enter(target.address, entries, &mut Ignored, Deadline::after(JOINED_MAX))?;
    let (cpu, wall) = (process::cpu(target.pid())? - cpu, from.elapsed());
    Ok(Joined {
        per_second: members as f64 / wall.as_secs_f64(),
        cpu_micros_each: cpu.as_secs_f64() * 1e6 / members as f64,
    })
}
