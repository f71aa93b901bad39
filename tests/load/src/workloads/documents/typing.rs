//! Fifty documents, ten editors each, who type by the clock.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::editors::{EditorCounts, Editors};
use super::service::{Peer, Service};
use super::syncs::Syncs;
use crate::machine::Deadline;
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::swarm::Swarm;

/// Updates of each editor in a second.
const RATE: u32 = 10;

/// What Hocuspocus is measured at, from the highest: the first at which its core is not full counts.
const RATES: [u32; 6] = [10, 8, 6, 4, 2, 1];

/// A core is full from here on.
const FULL: f64 = 0.9;

struct Typed {
    deliveries_per_second: f64,
    cpu_micros: f64,
    cpu_share: f64,
    latency_ms: f64,
    acknowledgement_ms: f64,
    syncs_per_second: f64,
    client_idle_share: f64,
}

impl Typed {
    fn json(&self) -> Value {
        json!({
            "deliveries_per_second": self.deliveries_per_second, "cpu_micros": self.cpu_micros,
            "cpu_share": self.cpu_share, "p99_ms": self.latency_ms, "acknowledgement_p99_ms": self.acknowledgement_ms,
            "syncs_per_second": self.syncs_per_second, "client_idle_share": self.client_idle_share,
        })
    }
}

/// Beside y-sweet and Hocuspocus.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let ours = repeated(bench, RATE, Duration::ZERO)?;
    let mut rows = own_rows(bench, &ours, 10.0, 8.0);
    rows.push(Row::alone("fdatasync/s", of(&ours, |run| run.syncs_per_second), Goal::AtMost(1_000.0)));
    let mut runs = json!({"ours": ours.iter().map(Typed::json).collect::<Vec<_>>()});
    if Peer::YSweet.is_installed() {
        let peers = peers(bench, Peer::YSweet, RATE)?;
        rows.extend(beside("y-sweet", &ours, &peers, 0.95));
        runs["y_sweet"] = peers.iter().map(Typed::json).collect();
    }
    if Peer::Hocuspocus.is_installed() {
        let (rate, peers) = below_full(bench)?;
        let ours = repeated(bench, rate, Duration::ZERO)?;
        rows.push(Row::alone("updates/s of each editor, Hocuspocus", rate.into(), Goal::None));
        rows.extend(beside("Hocuspocus", &ours, &peers, 0.6));
        runs["hocuspocus"] = peers.iter().map(Typed::json).collect();
        runs["ours_beside_hocuspocus"] = ours.iter().map(Typed::json).collect();
    }
    Ok(Outcome { rows, runs })
}

/// While each sync of a file takes 5 ms longer.
pub fn slow_disk(bench: &Bench) -> Result<Outcome> {
    let runs = repeated(bench, RATE, Duration::from_millis(5))?;
    let mut rows = own_rows(bench, &runs, 10.0, 30.0);
    rows.push(Row::alone("fdatasync/s", of(&runs, |run| run.syncs_per_second), Goal::None));
    Ok(Outcome { rows, runs: runs.iter().map(Typed::json).collect() })
}

fn own_rows(bench: &Bench, runs: &[Typed], latency: f64, acknowledgement: f64) -> Vec<Row> {
    let counts = counts(bench);
    let due = f64::from(RATE) * (counts.members() * (counts.editors - 1)) as f64;
    vec![
        Row::alone("delivered/s", of(runs, |run| run.deliveries_per_second), Goal::AtLeast(0.99 * due)),
        Row::alone("% of its core", 100.0 * of(runs, |run| run.cpu_share), Goal::None),
        Row::alone("ms to the others, p99", of(runs, |run| run.latency_ms), Goal::AtMost(latency)),
        Row::alone(
            "ms to the acknowledgement, p99",
            of(runs, |run| run.acknowledgement_ms),
            Goal::AtMost(acknowledgement),
        ),
        Row::alone(
            "% of the client's turns empty",
            100.0 * of(runs, |run| run.client_idle_share),
            Goal::None,
        ),
    ]
}

fn beside(peer: &str, ours: &[Typed], peers: &[Typed], goal: f64) -> Vec<Row> {
    let both = |number: fn(&Typed) -> f64| (of(ours, number), of(peers, number));
    let (cpu, of_peer) = both(|run| run.cpu_micros);
    let (latency, latency_of_peer) = both(|run| run.latency_ms);
    vec![
        Row::against(&format!("CPU µs/delivery, to {peer}"), cpu, of_peer, Goal::RatioAtMost(goal)),
        Row::alone(&format!("% of the core of {peer}"), 100.0 * of(peers, |run| run.cpu_share), Goal::None),
        Row::against(&format!("ms to the others, p99, to {peer}"), latency, latency_of_peer, Goal::None),
    ]
}

fn of(runs: &[Typed], number: impl Fn(&Typed) -> f64) -> f64 {
    median(runs.iter().map(number))
}

fn counts(bench: &Bench) -> EditorCounts {
    EditorCounts { documents: 50 / bench.scale.fewer, editors: 10 }
}

/// Ours, every update on the disk.
fn repeated(bench: &Bench, rate: u32, delay: Duration) -> Result<Vec<Typed>> {
    let once = |_| {
        let syncs = Syncs::compile()?;
        let service = Service::ours(bench, syncs.variables(delay))?;
        typed(bench, &service, rate, || syncs.count())
    };
    (0..bench.scale.runs).map(once).collect()
}

fn peers(bench: &Bench, peer: Peer, rate: u32) -> Result<Vec<Typed>> {
    (0..bench.scale.runs).map(|_| typed(bench, &peer.start(bench)?, rate, || Ok(0))).collect()
}

/// Hocuspocus at the highest rate that it sustains.
fn below_full(bench: &Bench) -> Result<(u32, Vec<Typed>)> {
    for rate in RATES {
        match peers(bench, Peer::Hocuspocus, rate) {
            Ok(runs) if of(&runs, |run| run.cpu_share) < FULL => return Ok((rate, runs)),
            Ok(runs) => {
                let share = of(&runs, |run| run.cpu_share);
                eprintln!("    Hocuspocus at {rate}/s of each editor: {:.0} % of its core", 100.0 * share);
            }
            Err(error) => eprintln!("    Hocuspocus at {rate}/s of each editor: {error:#}"),
        }
    }
    anyhow::bail!("Hocuspocus sustains no rate")
}

fn typed(bench: &Bench, service: &Service, rate: u32, syncs: impl Fn() -> Result<u64>) -> Result<Typed> {
    let (counts, times) = (counts(bench), bench.scale.paced);
    let mut swarm = Swarm::new()?;
    let mut editors = Editors::open(service, counts, &mut swarm, Deadline::after(Duration::from_secs(30)))?;
    let mut clock = Clock {
        counts,
        interval: 1e9 / f64::from(rate) / counts.members() as f64,
        from: editors.elapsed(),
        sent: 0,
    };
    clock.run(service, &mut swarm, &mut editors, times.warm_up)?;
    editors.begin();
    swarm.idle_share();
    let (cpu, synced, from) = (process::cpu(service.pid())?, syncs()?, editors.elapsed());
    clock.run(service, &mut swarm, &mut editors, times.window)?;
    let seconds = (editors.elapsed() - from) as f64 / 1e9;
    let used = (process::cpu(service.pid())? - cpu).as_secs_f64();
    let result = Typed {
        deliveries_per_second: editors.deliveries as f64 / seconds,
        cpu_micros: used * 1e6 / editors.deliveries.max(1) as f64,
        cpu_share: used / seconds,
        syncs_per_second: (syncs()? - synced) as f64 / seconds,
        client_idle_share: swarm.idle_share(),
        latency_ms: 0.0,
        acknowledgement_ms: 0.0,
    };
    // What is late counts too.
    let deadline = Deadline::after(Duration::from_secs(10));
    swarm.turn_until(
        &mut editors,
        deadline,
        |_| "not all updates have arrived".to_owned(),
        Editors::has_all,
    )?;
    editors.check()?;
    ensure!(!editors.latency.is_empty(), "nothing was delivered");
    let p99 = |histogram: &hdrhistogram::Histogram<u64>| histogram.value_at_quantile(0.99) as f64 / 1e6;
    Ok(Typed {
        latency_ms: p99(&editors.latency),
        acknowledgement_ms: p99(&editors.acknowledgement),
        ..result
    })
}

/// Who types when.
struct Clock {
    counts: EditorCounts,
    /// Nanoseconds from one letter to the next, all documents together.
    interval: f64,
    from: u64,
    sent: u64,
}

impl Clock {
    fn run(
        &mut self,
        service: &Service,
        swarm: &mut Swarm,
        editors: &mut Editors,
        time: Duration,
    ) -> Result<()> {
        let end = editors.elapsed() + time.as_nanos() as u64;
        let deadline = Deadline::after(time + Duration::from_secs(20));
        loop {
            let now = editors.elapsed();
            if now >= end {
                return Ok(());
            }
            loop {
                let due = self.from + (self.sent as f64 * self.interval) as u64;
                if due > now {
                    break;
                }
                editors.type_letter(service, swarm, self.member(), due)?;
                self.sent += 1;
            }
            swarm.turn(Some(Duration::ZERO), editors)?;
            deadline.check(|| "the client does not keep up".to_owned())?;
        }
    }

    /// The documents in turn.
    fn member(&self) -> usize {
        let number = self.sent as usize % self.counts.members();
        (number % self.counts.documents) * self.counts.editors + number / self.counts.documents
    }
}
