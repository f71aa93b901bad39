//! Two nodes on one Redis, beside one node alone.
//!
//! Both nodes and Redis share the core that one node has for itself, so the ratio is what the second hop
//! costs, not what a second machine brings. At low load the question is another: how much later a member on the
//! other node receives a message than a member on the sender's own.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, Runs, runs_json};
use crate::drive::{self, Drive, Measured, Times, median_of};
use crate::machine::{Cores, Deadline, Placement};
use crate::message::Encoding;
use crate::report::{Goal, Outcome, Row};
use crate::server::{Kind, Target};
use crate::setup::{Setup, random_secret};
use crate::traffic::Shape;

/// 1 → 500 + 500, 64 in flight, beside 1 → 1,000 on one node.
pub fn saturated(bench: &Bench) -> Result<Outcome> {
    let shape = Shape::one_sender(1, 1000 / bench.scale.fewer, Encoding::Binary);
    let (two, one) = beside_one(bench, shape, Drive::Closed { in_flight: 64 }, bench.scale.saturated)?;
    let both = |number: fn(&Measured) -> f64| (median_of(&two, number), median_of(&one, number));
    let (delivered, delivered_by_one) = both(|run| run.deliveries_per_second);
    let (cpu, cpu_of_one) = both(|run| run.cpu_micros_per_delivery);
    let rows = vec![
        Row::against("delivered/s, to one node's", delivered, delivered_by_one, Goal::RatioAtLeast(0.6)),
        Row::against("CPU µs/delivery", cpu, cpu_of_one, Goal::None),
    ];
    Ok(Outcome { rows, runs: runs_json(&two, &one) })
}

/// One message every 20 ms to one member: on the other node, and on the same.
pub fn paced(bench: &Bench) -> Result<Outcome> {
    let shape = Shape::one_sender(1, 1, Encoding::Binary);
    let drive = Drive::Paced { interval: Duration::from_millis(20) };
    let (two, one) = beside_one(bench, shape, drive, bench.scale.paced)?;
    let p50 = |runs: &Runs| median_of(runs, |run| run.p50_micros);
    let rows = vec![
        Row::alone("p50 ms added by the bus", (p50(&two) - p50(&one)) / 1e3, Goal::AtMost(1.0)),
        Row::against("p50 µs, to one node's", p50(&two), p50(&one), Goal::None),
    ];
    Ok(Outcome { rows, runs: runs_json(&two, &one) })
}

/// Two nodes and one, in turns.
fn beside_one(bench: &Bench, shape: Shape, drive: Drive, times: Times) -> Result<(Runs, Runs)> {
    let (mut two, mut one) = (Vec::new(), Vec::new());
    for _ in 0..bench.scale.runs {
        let pair = TwoNodes::start(bench, &[])?;
        two.push(drive::run_on(&[&pair.nodes[0], &pair.nodes[1]], shape, drive, times)?);
        drop(pair);
        one.push(drive::run(&bench.start(Kind::Server)?, shape, drive, times)?);
    }
    Ok((two, one))
}

/// Two nodes of one cluster. The nodes end before their Redis.
pub struct TwoNodes {
    /// Both.
    pub nodes: [Target; 2],
    _redis: Redis,
}

impl TwoNodes {
    /// Starts both with these settings.
    pub fn start(bench: &Bench, variables: &[(&'static str, String)]) -> Result<Self> {
        let redis = Redis::start(bench.cores)?;
        let secret = random_secret()?;
        let node = || {
            let redis_url = ("REDIS_URL", format!("redis://127.0.0.1:{}", redis.port));
            let variables = variables.iter().cloned().chain([redis_url]).collect();
            let setup = Setup { secret: Some(secret.clone()), variables, ..Setup::default() };
            bench.start_with(&setup)
        };
        Ok(Self { nodes: [node()?, node()?], _redis: redis })
    }
}

/// A Redis that keeps nothing on disk.
struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    fn start(cores: Option<Cores>) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.stdin(Stdio::null()).stdout(File::create("/dev/null")?).stderr(Stdio::null());
        let child = match cores {
            Some(cores) => cores.start_on(Placement::OneCore, || command.spawn())?,
            None => command.spawn(),
        };
        let redis = Self { child: child.context("redis-server is not installed: see tests/install")?, port };
        let deadline = Deadline::after(Duration::from_secs(10));
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            deadline.check(|| "Redis does not accept connections".to_owned())?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
