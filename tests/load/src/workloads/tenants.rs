//! Ten thousand tenants in the store: created over HTTP, there after a new start, and idle after each was asked for once.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use crate::machine::Deadline;
use crate::operator::{self, Operator, answer, tenant, user_token};
use crate::postgres::Database;
use crate::process;
use crate::report::{Goal, Outcome, Row};
use crate::server::fresh_folder;
use crate::setup::Setup;

/// Calls of the operator at the same time.
const CONNECTIONS: usize = 16;

/// In the embedded store.
pub fn embedded(bench: &Bench) -> Result<Outcome> {
    let folder = fresh_folder()?;
    let variable = ("REALTIME__SERVER__DATA_DIR", folder.join("data").display().to_string());
    let outcome = run(bench, variable);
    std::fs::remove_dir_all(folder)?;
    outcome
}

/// In PostgreSQL.
pub fn postgres(bench: &Bench) -> Result<Outcome> {
    let database = Database::start(bench.cores, &[])?;
    run(bench, ("DATABASE_URL", database.url()))
}

fn run(bench: &Bench, store: (&'static str, String)) -> Result<Outcome> {
    let tenants = 10_000 / bench.scale.fewer;
    let start = || {
        let variables = operator::variables().into_iter().chain([store.clone()]);
        bench.start_with(&Setup { variables: variables.collect(), ..Setup::default() })
    };
    let target = start()?;
    let mut operator = Operator::connect(&target, CONNECTIONS)?;
    let empty = process::anonymous(target.pid())?;
    let from = Instant::now();
    operator.create(0..tenants)?;
    let created = tenants as f64 / from.elapsed().as_secs_f64();
    drop(target);

    let target = start()?;
    let accepting = target.started_in.as_secs_f64() * 1e3;
    let from = Instant::now();
    let mut connection = BufReader::new(TcpStream::connect(target.address)?);
    let token = user_token()?;
    for number in 0..tenants {
        until_known(&mut connection, &token, number)?;
    }
    let asked = tenants as f64 / from.elapsed().as_secs_f64();
    // What is freed when the requests have ended may be freed.
    std::thread::sleep(Duration::from_secs(1));
    let each = process::anonymous(target.pid())?.saturating_sub(empty) as f64 / 1024.0 / tenants as f64;
    let rows = vec![
        Row::alone("tenants created/s", created, Goal::AtLeast(300.0)),
        Row::alone("ms to accepting", accepting, Goal::AtMost(1_000.0)),
        Row::alone("first requests/s", asked, Goal::None),
        Row::alone("KiB each, idle", each, Goal::AtMost(4.0)),
    ];
    let runs = json!({"created_per_second": created, "accepting_ms": accepting, "kib_each": each});
    Ok(Outcome { rows, runs })
}

/// Asks for a tenant until it is known: at the start the store may not be there yet.
fn until_known(connection: &mut BufReader<TcpStream>, token: &str, number: usize) -> Result<()> {
    let deadline = Deadline::after(Duration::from_secs(20));
    loop {
        let request = format!(
            "GET /api/ping HTTP/1.1\r\nHost: localhost\r\nX-Tenant: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
            tenant(number)
        );
        connection.get_mut().write_all(request.as_bytes())?;
        match answer(connection)? {
            200 => return Ok(()),
            status => ensure!(status == 503, "tenant {number} gets {status}"),
        }
        deadline.check(|| "the store does not answer".to_owned())?;
        std::thread::sleep(Duration::from_millis(5));
    }
}
