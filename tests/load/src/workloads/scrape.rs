//! Prometheus reads the metrics of a thousand tenants.
//!
//! Each of them has sent a message and had one refused, so it has the series of a tenant without a database. Measured are the
//! processor time that a page takes for each of its lines, and the effect on clients: the same paced fan-out runs on the same kind
//! of server quiet and scraped without a pause, in turns.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::process::setpriority_process;
use serde_json::json;

use super::{Bench, fanout};
use crate::drive::{self, Drive};
use crate::machine::LOWEST_PRIORITY;
use crate::message::Encoding;
use crate::operator::{self, post_broadcast, tenant, user_token};
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Target;
use crate::setup::Setup;

/// Pages that are read to measure one. The server renders them all: it may for some seconds before it sends one again.
const PAGES: usize = 20;

/// The cost of pages, then quiet and scraped in turns, each on a fresh server.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let tenants = 1_000 / bench.scale.fewer;
    let shape = fanout::shape(bench, Encoding::Text);
    let paced = Drive::Paced { interval: fanout::INTERVAL };
    let quiet = || {
        let target = start(bench, tenants)?;
        drive::run(&target, shape, paced, bench.scale.paced)
    };
    let scraped = || {
        let target = start(bench, tenants)?;
        let cost = cost(&target)?;
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let scraper = scope.spawn(|| scrape_until(&done, &target));
            let measured = drive::run(&target, shape, paced, bench.scale.paced);
            done.store(true, Ordering::Relaxed);
            scraper.join().expect("the scraper does not panic")?;
            Ok((measured?, cost))
        })
    };
    let (quiet, scraped) = bench.in_turns(quiet, scraped)?;
    let (scraped, costs): (Vec<_>, Vec<_>) = scraped.into_iter().unzip();
    let p99 = |run: &drive::Measured| run.p99_micros;
    let pairs: Vec<_> = scraped.iter().map(p99).zip(quiet.iter().map(p99)).collect();
    let rows = vec![
        Row::alone("CPU µs/line", median(costs.iter().map(|cost| cost.micros_per_line)), Goal::AtMost(1.0)),
        Row::alone("lines", median(costs.iter().map(|cost| cost.lines)), Goal::None),
        Row::paired("p99 µs, scraped to quiet", &pairs, Goal::RatioAtMost(1.1)),
    ];
    let list = |runs: &[drive::Measured]| runs.iter().map(drive::Measured::json).collect::<Vec<_>>();
    Ok(Outcome { rows, runs: json!({"quiet": list(&quiet), "scraped": list(&scraped)}) })
}

/// What a page costs.
struct Cost {
    lines: f64,
    micros_per_line: f64,
}

/// A server whose tenants have all been used.
fn start(bench: &Bench, tenants: usize) -> Result<Target> {
    let mut config = String::new();
    for number in 0..tenants {
        let (name, secret) = (tenant(number), operator::TENANT_SECRET);
        writeln!(config, "[tenants.{name}]\nauth.jwt_secret = \"{secret}\"\n")?;
    }
    let target = bench.start_with(&Setup { config: Some(config), ..Setup::default() })?;
    let mut connection = BufReader::new(TcpStream::connect(target.address)?);
    let (token, unknown) = (user_token()?, target.unknown_key(0)?);
    for number in 0..tenants {
        ensure!(post(&mut connection, number, &token)? == 202, "tenant {number} may not send");
        ensure!(post(&mut connection, number, &unknown)? == 401, "a token that is not valid is accepted");
    }
    Ok(target)
}

/// Sends a message to a room of a tenant. Returns the status.
fn post(connection: &mut BufReader<TcpStream>, number: usize, token: &str) -> Result<u16> {
    post_broadcast(connection, &format!("X-Tenant: {}\r\nAuthorization: Bearer {token}", tenant(number)))
}

/// Reads pages one after the other. What the server uses meanwhile is what they cost: it has no clients.
fn cost(target: &Target) -> Result<Cost> {
    let mut connection = BufReader::new(TcpStream::connect(target.address)?);
    let before = process::cpu(target.pid())?;
    let mut lines = 0;
    for _ in 0..PAGES {
        lines += page_lines(&mut connection)?;
    }
    let micros = (process::cpu(target.pid())? - before).as_secs_f64() * 1e6;
    Ok(Cost { lines: lines as f64 / PAGES as f64, micros_per_line: micros / lines as f64 })
}

/// With the lowest priority: what the pages cost the server is compared, not what reading them costs the clients' core.
fn scrape_until(done: &AtomicBool, target: &Target) -> Result<()> {
    setpriority_process(None, LOWEST_PRIORITY).context("cannot lower the priority")?;
    let mut connection = BufReader::new(TcpStream::connect(target.address)?);
    while !done.load(Ordering::Relaxed) {
        page_lines(&mut connection)?;
    }
    Ok(())
}

/// Reads the page. Returns how many lines it has.
pub(super) fn page_lines(connection: &mut BufReader<TcpStream>) -> Result<usize> {
    connection.get_mut().write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let (mut line, mut length) = (String::new(), None);
    while line != "\r\n" {
        line.clear();
        ensure!(connection.read_line(&mut line)? > 0, "the connection ended before the page");
        if let Some(("content-length", value)) = line.trim_end().to_ascii_lowercase().split_once(": ") {
            length = Some(value.parse()?);
        }
    }
    let mut page = vec![0; length.context("the page has no length")?];
    connection.read_exact(&mut page)?;
    Ok(page.iter().filter(|byte| **byte == b'\n').count())
}
