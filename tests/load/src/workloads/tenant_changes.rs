//! A tenant is changed over HTTP on one node, and a socket that is idle on another is closed: the time in between.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use super::nodes::TwoNodes;
use crate::message;
use crate::operator::{self, Operator, answer, tenant, user_token};
use crate::postgres::Database;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Target;
use crate::setup::Setup;

/// How long the other node may take before the workload fails.
const CLOSED_MAX: Duration = Duration::from_secs(10);

/// By a notification of PostgreSQL, and over the bus.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let changes = (30 / bench.scale.fewer).max(2);
    let database = Database::start(bench.cores, &[])?;
    let variables = operator::variables().into_iter().chain([("DATABASE_URL", database.url())]);
    let variables: Vec<_> = variables.collect();
    let setup = Setup { variables: variables.clone(), ..Setup::default() };
    let (one, two) = (bench.start_with(&setup)?, bench.start_with(&setup)?);
    let notified = measure(&one, &two, 0..changes)?;
    drop((one, two));
    let pair = TwoNodes::start(bench, &variables)?;
    let over_bus = measure(&pair.nodes[0], &pair.nodes[1], changes..2 * changes)?;
    let slowest = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    let rows = vec![
        Row::alone("ms by notification", median(notified.iter().copied()), Goal::None),
        Row::alone("ms, the slowest", slowest(&notified), Goal::AtMost(1_000.0)),
        Row::alone("ms over the bus", median(over_bus.iter().copied()), Goal::None),
        Row::alone("ms, the slowest over it", slowest(&over_bus), Goal::AtMost(1_000.0)),
    ];
    Ok(Outcome { rows, runs: json!({"notified_ms": notified, "over_bus_ms": over_bus}) })
}

/// The milliseconds of each change.
fn measure(one: &Target, two: &Target, numbers: std::ops::Range<usize>) -> Result<Vec<f64>> {
    let mut operator = Operator::connect(one, 1)?;
    operator.create(numbers.clone())?;
    // The nodes have connected to each other, or to the database, meanwhile; else the first change would be the slowest.
    std::thread::sleep(Duration::from_secs(2));
    numbers.map(|number| change(&mut operator, two, &tenant(number))).collect()
}

fn change(operator: &mut Operator, other: &Target, tenant: &str) -> Result<f64> {
    let mut stream = BufReader::new(TcpStream::connect(other.address)?);
    stream.get_ref().set_read_timeout(Some(CLOSED_MAX))?;
    let host = format!("{tenant}.localhost:{}", other.address.port());
    stream.get_mut().write_all(message::upgrade(&host, &user_token()?).as_bytes())?;
    let status = answer(&mut stream)?;
    ensure!(status == 101, "the handshake gets {status}");
    let from = Instant::now();
    operator.put(tenant, json!({"suspend": true}))?;
    // A close frame, and the end of the connection after it.
    let mut first = [0];
    stream.read_exact(&mut first)?;
    ensure!(first == [0x88], "not a close frame: {first:?}");
    Ok(from.elapsed().as_secs_f64() * 1e3)
}
