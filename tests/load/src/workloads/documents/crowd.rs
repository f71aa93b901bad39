//! One document, two hundred editors, as fast as it goes.
//!
//! Each editor has four updates in flight that the next editor has not received: eight hundred together, which is less than the
//! 1,024 messages after which y-sweet loses some.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Bench;
use super::editors::{EditorCounts, Editors};
use super::service::{Peer, Service};
use crate::machine::Deadline;
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::swarm::Swarm;

/// Updates of an editor in flight.
const IN_FLIGHT: usize = 4;

struct Saturated {
    deliveries_per_second: f64,
    cpu_share: f64,
    client_idle_share: f64,
    /// From the end of the measurement until all was stored. Only of ours.
    stored_after_ms: f64,
}

impl Saturated {
    fn json(&self) -> Value {
        json!({
            "deliveries_per_second": self.deliveries_per_second, "cpu_share": self.cpu_share,
            "client_idle_share": self.client_idle_share, "stored_after_ms": self.stored_after_ms,
        })
    }
}

/// Beside both peers.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let ours = repeated(bench, || Service::ours(bench, Vec::new()))?;
    let delivered = |runs: &[Saturated]| median(runs.iter().map(|run| run.deliveries_per_second));
    let mut rows = vec![
        Row::alone("delivered/s", delivered(&ours), Goal::None),
        Row::alone("% of its core", 100.0 * median(ours.iter().map(|run| run.cpu_share)), Goal::None),
        Row::alone(
            "% of the client's turns empty",
            100.0 * median(ours.iter().map(|run| run.client_idle_share)),
            Goal::None,
        ),
        Row::alone(
            "ms until all is stored, after the end",
            median(ours.iter().map(|run| run.stored_after_ms)),
            Goal::None,
        ),
    ];
    let mut runs = json!({"ours": ours.iter().map(Saturated::json).collect::<Vec<_>>()});
    for (peer, name, goal) in [(Peer::Hocuspocus, "Hocuspocus", 1.25), (Peer::YSweet, "y-sweet", 5.0)] {
        if peer.is_installed() {
            let peers = repeated(bench, || peer.start(bench))?;
            let measure = format!("delivered/s, to {name}");
            rows.push(Row::against(&measure, delivered(&ours), delivered(&peers), Goal::RatioAtLeast(goal)));
            runs[name] = peers.iter().map(Saturated::json).collect();
        }
    }
    Ok(Outcome { rows, runs })
}

fn repeated(bench: &Bench, start: impl Fn() -> Result<Service>) -> Result<Vec<Saturated>> {
    (0..bench.scale.runs).map(|_| saturated(bench, &start()?)).collect()
}

fn saturated(bench: &Bench, service: &Service) -> Result<Saturated> {
    let counts = EditorCounts { documents: 1, editors: 200 / bench.scale.fewer };
    let mut swarm = Swarm::new()?;
    let mut editors = Editors::open(service, counts, &mut swarm, Deadline::after(Duration::from_secs(30)))?;
    turns(service, &mut swarm, &mut editors, bench.scale.saturated.warm_up)?;
    editors.begin();
    swarm.idle_share();
    let (cpu, from) = (process::cpu(service.pid())?, editors.elapsed());
    turns(service, &mut swarm, &mut editors, bench.scale.saturated.window)?;
    let seconds = (editors.elapsed() - from) as f64 / 1e9;
    let result = Saturated {
        deliveries_per_second: editors.deliveries as f64 / seconds,
        cpu_share: (process::cpu(service.pid())? - cpu).as_secs_f64() / seconds,
        client_idle_share: swarm.idle_share(),
        stored_after_ms: 0.0,
    };
    let stored_after_ms =
        if service.is_durable() { until_stored(service, &mut swarm, &mut editors)? } else { 0.0 };
    editors.check()?;
    Ok(Saturated { stored_after_ms, ..result })
}

/// Waits until all is delivered, and for the acknowledgement of an update after that, which is of all before it too. Returns
/// milliseconds.
fn until_stored(service: &Service, swarm: &mut Swarm, editors: &mut Editors) -> Result<f64> {
    let (from, deadline) = (editors.elapsed(), Deadline::after(Duration::from_secs(30)));
    let late = |_: &Editors| "not all updates have arrived and are stored".to_owned();
    swarm.turn_until(editors, deadline, late, Editors::has_all)?;
    editors.type_letter(service, swarm, 0, editors.elapsed())?;
    swarm.turn_until(editors, deadline, late, Editors::has_all)?;
    Ok((editors.elapsed() - from) as f64 / 1e6)
}

fn turns(service: &Service, swarm: &mut Swarm, editors: &mut Editors, time: Duration) -> Result<()> {
    let end = Deadline::after(time);
    while !end.has_passed() {
        for member in 0..editors.members() {
            while editors.in_flight(member) < IN_FLIGHT {
                editors.type_letter(service, swarm, member, editors.elapsed())?;
            }
        }
        swarm.turn(Some(Duration::ZERO), editors)?;
    }
    Ok(())
}
