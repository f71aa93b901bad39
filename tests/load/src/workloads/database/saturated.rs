//! Messages written as fast as one session of PostgreSQL writes them, to one member: with `realtime.send`, a transaction each,
//! beside the same session while no server reads its log; and many with each `INSERT`.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use super::arrivals::{Arrivals, broadcast_from_database};
use super::{Bench, JOINED_MAX, ROOM, TenantDatabase};
use crate::machine::Deadline;
use crate::message::Privacy;
use crate::pgbench::{Pgbench, Script};
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::swarm::Swarm;

/// One message in each transaction.
const SEND: &str = r#"\set n :n + 1
SELECT realtime.send(jsonb_build_object('n', :n::int, 'x', repeat('x', 196)), 'm', 'room-0000');
"#;

/// How long a run may take.
const WRITTEN_MAX: Duration = Duration::from_secs(120);

/// Messages of an `INSERT`.
const ROWS: usize = 1_000;

/// Variables at the start: `SEND` counts from 0.
const COUNT_FROM_0: &[&str] = &["n=-1"];

/// A run: messages per second, of the writer and at the member, and processor time of the server for each.
struct Measured {
    written: f64,
    received: f64,
    cpu_micros: f64,
}

/// `realtime.send` beside the same without a server, and many rows at a time.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let database = TenantDatabase::start(bench)?;
    let sends = 20_000 / bench.scale.fewer;
    let send =
        Script { text: SEND, connections: 1, transactions: sends, variables: COUNT_FROM_0, session: "" };
    let alone = || {
        database.until_no_slot()?;
        Pgbench::start(bench.cores, &database.database, &send)?.rate()
    };
    let (sent, alone) = bench.in_turns(|| measure(bench, &database, &send, sends), alone)?;
    let inserts = 200 / bench.scale.fewer;
    let text = format!(
        "\\set n :n + 1\nINSERT INTO realtime.messages (topic, extension, event, payload, private) \
         SELECT 'room-0000', 'broadcast', 'm', jsonb_build_object('n', number, 'x', repeat('x', 236)), true \
         FROM generate_series(:n * {ROWS}, :n * {ROWS} + {ROWS} - 1) AS number;\n"
    );
    let insert =
        Script { text: &text, connections: 1, transactions: inserts, variables: COUNT_FROM_0, session: "" };
    let run = |_| measure(bench, &database, &insert, inserts * ROWS);
    let inserted = (0..bench.scale.runs).map(run).collect::<Result<Vec<_>>>()?;
    let of = |runs: &[Measured], number: fn(&Measured) -> f64| median(runs.iter().map(number));
    let alone_median = median(alone.iter().copied());
    let rows = vec![
        Row::against(
            "received/s, no slot",
            of(&sent, |run| run.received),
            alone_median,
            Goal::RatioAtLeast(0.8),
        ),
        Row::against("transactions/s, no slot", of(&sent, |run| run.written), alone_median, Goal::None),
        Row::alone("CPU µs each", of(&sent, |run| run.cpu_micros), Goal::None),
        Row::alone("received/s by INSERT", of(&inserted, |run| run.received), Goal::AtLeast(20_000.0)),
        Row::alone("written/s by INSERT", of(&inserted, |run| run.written) * ROWS as f64, Goal::None),
        Row::alone("CPU µs each by INSERT", of(&inserted, |run| run.cpu_micros), Goal::None),
    ];
    let list = |runs: &[Measured]| runs.iter().map(|run| run.received).collect::<Vec<_>>();
    let runs = json!({"sent": list(&sent), "alone": alone, "inserted": list(&inserted)});
    Ok(Outcome { rows, runs })
}

/// One run. All messages have to arrive, in the order of their commits.
fn measure(
    bench: &Bench,
    database: &TenantDatabase,
    script: &Script<'_>,
    messages: usize,
) -> Result<Measured> {
    let mut target = database.serve(bench)?;
    database.connect(&target)?;
    let mut arrivals = Arrivals::at_all(1, 1, messages, broadcast_from_database);
    let mut swarm = Swarm::new()?;
    let entry = target.entry_with(&target.token(0)?, ROOM.0, Privacy::Private);
    swarm.enter(target.address, [entry], &mut arrivals, Deadline::after(JOINED_MAX))?;
    let cpu = process::cpu(target.pid())?;
    let pgbench = Pgbench::start(bench.cores, &database.database, script)?;
    // The client sleeps between messages: PostgreSQL needs its core too.
    let received =
        swarm.turn_until(&mut arrivals, Deadline::after(WRITTEN_MAX), Arrivals::progress, Arrivals::is_over);
    target.check_alive()?;
    received?;
    let times = arrivals.times()?;
    let cpu = process::cpu(target.pid())? - cpu;
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        bail!("nothing was received");
    };
    Ok(Measured {
        written: pgbench.rate()?,
        received: messages as f64 / last.duration_since(*first).as_secs_f64(),
        cpu_micros: cpu.as_secs_f64() * 1e6 / messages as f64,
    })
}
