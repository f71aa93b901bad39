//! What it costs to export metrics and traces: servers that do all of it (a scrape, the push, CloudWatch, spans by OTLP) beside
//! one that does nothing of it, in turns.
//!
//! Each export takes place every second, fifteen to sixty times as often as in production, so that every run has some.

use std::io::BufReader;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Bench, fanout, scrape, storm};
use crate::drive::{self, Drive};
use crate::message::Encoding;
use crate::operator::post_broadcast;
use crate::process;
use crate::receiver::Receiver;
use crate::report::{Goal, Outcome, Row};
use crate::server::Target;
use crate::setup::Setup;

/// Exports of a kind in a run of `paced`.
const EXPORTS: u32 = 5;

/// The parts of traces that are recorded, and how much processor time all exports may cost with them: a small one, and all.
const SAMPLED: [f64; 2] = [0.01, 1.0];

/// What the processor time of a server may be, to that of one without exports.
const GOAL: Goal = Goal::RatioAtMost(1.05);

/// The same where each connection or request is recorded.
const GOAL_RECORDED: Goal = Goal::RatioAtMost(1.25);

/// Posts in a run: some seconds, with about as many exports of a kind as a run of `paced` has.
const POSTS: usize = 100_000;

/// `paced`. Broadcasts over WebSocket have no spans, so it does not matter what part is recorded.
pub fn paced(bench: &Bench) -> Result<Outcome> {
    let drive = Drive::Paced { interval: fanout::INTERVAL };
    let shape = fanout::shape(bench, Encoding::Text);
    compare(bench, ("CPU µs/delivery", [GOAL, GOAL]), |target| {
        Ok(drive::run(target, shape, drive, bench.scale.paced)?.cpu_micros_per_delivery)
    })
}

/// `connect-storm`.
pub fn storm(bench: &Bench) -> Result<Outcome> {
    compare(bench, ("CPU µs each", [GOAL, GOAL_RECORDED]), |target| storm::cpu_micros_each(bench, target))
}

/// Broadcasts over HTTP, one after the other on one connection, to a room without members.
pub fn posts(bench: &Bench) -> Result<Outcome> {
    compare(bench, ("CPU µs/post", [GOAL, GOAL_RECORDED]), |target| {
        let posts = POSTS / bench.scale.fewer;
        let headers = format!("Authorization: Bearer {}", target.token(0)?);
        let mut connection = BufReader::new(TcpStream::connect(target.address)?);
        let before = process::cpu(target.pid())?;
        for _ in 0..posts {
            ensure!(post_broadcast(&mut connection, &headers)? == 202, "a message is refused");
        }
        Ok((process::cpu(target.pid())? - before).as_secs_f64() * 1e6 / posts as f64)
    })
}

/// Measures servers without exports and with all of them, in an order that changes from run to run.
fn compare(
    bench: &Bench,
    (measure, goals): (&str, [Goal; 2]),
    processor_time: impl Fn(&Target) -> Result<f64>,
) -> Result<Outcome> {
    let (receiver, interval) = (Receiver::start()?, bench.scale.paced.window / EXPORTS);
    let (mut off, mut on) = (Vec::new(), SAMPLED.map(|_| Vec::new()));
    for run in 0..bench.scale.runs {
        for turn in 0..=SAMPLED.len() {
            match (run + turn) % (SAMPLED.len() + 1) {
                0 => off.push(processor_time(&bench.start_with(&Setup::default())?)?),
                sampled => {
                    let target = bench.start_with(&exporting(&receiver, interval, SAMPLED[sampled - 1]))?;
                    on[sampled - 1].push(while_scraped(&target, interval, &processor_time)?);
                }
            }
        }
    }
    check(&receiver)?;
    let rows = SAMPLED.iter().zip(&on).zip(goals).map(|((sampled, on), goal)| {
        let pairs: Vec<_> = on.iter().copied().zip(off.iter().copied()).collect();
        Row::paired(&format!("{measure}, {sampled} of traces"), &pairs, goal)
    });
    Ok(Outcome { rows: rows.collect(), runs: json!({"off": off, "on": on}) })
}

/// All exports that the server does by itself.
fn exporting(receiver: &Receiver, interval: Duration, sampled: f64) -> Setup {
    let (address, interval) = (receiver.address, format!("{}ms", interval.as_millis()));
    let config = format!(
        "[telemetry.push]\nenabled = true\nurl = \"http://{address}/push\"\ninterval = \"{interval}\"\n
         [telemetry.cloudwatch]\nenabled = true\nregion = \"eu-central-1\"\nendpoint = \"http://{address}\"\ninterval = \"{interval}\"\n
         [telemetry.traces]\nexporter = \"otlp\"\nendpoint = \"http://{address}\"\ninterval = \"{interval}\"\n\
         sampler = \"parentbased_traceidratio\"\nsampler_ratio = {sampled}\n"
    );
    let credentials = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let variables = credentials.map(|(name, value)| (name, value.to_owned())).into();
    Setup { config: Some(config), variables, ..Setup::default() }
}

/// Measures while the metrics are read too.
fn while_scraped(
    target: &Target,
    interval: Duration,
    processor_time: impl Fn(&Target) -> Result<f64>,
) -> Result<f64> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| -> Result<()> {
            let mut connection = BufReader::new(TcpStream::connect(target.address)?);
            while !done.load(Ordering::Relaxed) {
                scrape::page_lines(&mut connection)?;
                std::thread::park_timeout(interval);
            }
            Ok(())
        });
        let measured = processor_time(target);
        done.store(true, Ordering::Relaxed);
        scraper.thread().unpark();
        scraper.join().expect("the scraper does not panic")?;
        measured
    })
}

/// Exports that did not take place would cost nothing.
fn check(receiver: &Receiver) -> Result<()> {
    let received = receiver.received();
    for (name, count) in
        [("pages", &received.pages), ("metrics", &received.metrics), ("spans", &received.spans)]
    {
        ensure!(count.load(Ordering::Relaxed) > 0, "no {name} were received");
    }
    Ok(())
}
