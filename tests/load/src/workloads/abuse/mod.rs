//! Tenants and unauthenticated clients that attack, beside a tenant that is measured.
//!
//! On one server, perhaps with a database, or on two nodes with their Redis, the quiet tenant is served as in `paced`, tracks presence, and opens
//! connections (`quiet`). In turns the attacker is silent and attacks; such a pair of slices gives a pair of
//! latencies, and the 95 % confidence interval of their ratio is what is judged. Nothing of the quiet tenant may be lost or
//! refused. The attacker (`attacker`) is a thread of the lowest priority on the core of the measuring thread, which sleeps
//! while none of its messages is under way.

mod attacker;
mod creations;
mod flood;
mod overload;
mod quiet;
mod raw;
mod rejoins;
mod unauthenticated;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::attacker::{Attacker, Control};
use self::quiet::{Quiet, Slice};
use super::Bench;
use super::nodes::TwoNodes;
use crate::drive::cpu_of;
use crate::postgres::Database;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::Target;
use crate::setup::Setup;

pub use self::creations::{CREATIONS, CREATIONS_ON_POSTGRES};
pub use self::flood::FLOOD;
pub use self::overload::OVERLOAD;
pub use self::rejoins::{REJOINS, REJOINS_ON_TWO_NODES, STATES, STATES_ON_TWO_NODES};
pub use self::unauthenticated::{KEYS, POSTS, SOCKETS};

/// What the quiet tenant's latencies may be, to those without the attack.
const GOAL: Goal = Goal::IntervalBelow(1.2);

/// Presence calls of the quiet tenant are not to be coalesced.
const QUIET_PRESENCE: (&str, &str) = ("REALTIME__LIMITS__MAX_CLIENT_PRESENCE_EVENTS_PER_WINDOW", "1000000");

type Variables = Vec<(&'static str, String)>;

/// Makes the attacker: connected, and silent. The number divides the number of its clients.
type MakeAttacker = fn(&[&Target], usize) -> Result<Box<dyn Attacker>>;

/// Something a tenant or an unauthenticated client does.
pub struct Attack {
    /// Where the quiet tenant is served.
    nodes: Nodes,
    /// Settings of the nodes.
    variables: fn() -> Result<Variables>,
    attacker: MakeAttacker,
    /// What the presence of others may take, to what it takes without the attack.
    presence: Goal,
    /// What the attacker counts.
    effect: &'static str,
    /// Attacked for so long before the measurement, for example until a burst allowance is used up.
    before: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Nodes {
    One,
    OneOnPostgres,
    Two,
}

/// The nodes end before their database.
enum Servers {
    One { target: Target, _database: Option<Database> },
    Two(TwoNodes),
}

impl Servers {
    fn start(bench: &Bench, attack: &Attack) -> Result<Self> {
        let mut variables = (attack.variables)()?;
        variables.push((QUIET_PRESENCE.0, QUIET_PRESENCE.1.to_owned()));
        let database = match attack.nodes {
            Nodes::OneOnPostgres => Some(Database::start(bench.cores, &[])?),
            Nodes::One | Nodes::Two => None,
        };
        variables.extend(database.iter().map(|database| ("DATABASE_URL", database.url())));
        Ok(match attack.nodes {
            Nodes::One | Nodes::OneOnPostgres => {
                let target = bench.start_with(&Setup { variables, ..Setup::default() })?;
                Self::One { target, _database: database }
            }
            Nodes::Two => Self::Two(TwoNodes::start(bench, &variables)?),
        })
    }

    fn targets(&self) -> Vec<&Target> {
        match self {
            Self::One { target, .. } => vec![target],
            Self::Two(two) => two.nodes.iter().collect(),
        }
    }
}

/// A slice with the attacker silent, and one under attack.
struct Pair {
    quiet: Measured,
    attacked: Measured,
}

/// The measurements of a slice.
struct Measured {
    slice: Slice,
    cpu_share: f64,
    /// What the attacker counted, per second.
    effect: f64,
}

impl Measured {
    fn json(&self) -> Value {
        json!({
            "p99_micros": self.slice.p99_micros, "presence_mean_ms": self.slice.presence_mean_ms,
            "handshake_mean_ms": self.slice.handshake_mean_ms, "cpu_share": self.cpu_share,
            "effect_per_second": self.effect,
        })
    }
}

/// The pairs of one attack, on one server.
pub fn run(bench: &Bench, attack: &Attack) -> Result<Outcome> {
    let servers = Servers::start(bench, attack)?;
    let targets = servers.targets();
    let mut quiet = Quiet::enter(&targets, 1000 / bench.scale.fewer)?;
    let attacker = (attack.attacker)(&targets, bench.scale.fewer).context("the attacker")?;
    let control = Control::default();
    let pairs = std::thread::scope(|scope| {
        let thread = scope.spawn(|| control.run(attacker));
        let pairs = measure(bench, attack, &targets, &mut quiet, &control);
        control.end();
        thread.join().expect("the attacker does not panic").context("the attacker")?;
        pairs
    })?;
    ensure!(pairs.iter().any(|pair| pair.attacked.effect > 0.0), "the attacker did nothing");
    let runs = pairs.iter().map(|pair| json!({"quiet": pair.quiet.json(), "attacked": pair.attacked.json()}));
    Ok(Outcome { rows: rows(attack, &pairs), runs: runs.collect() })
}

fn rows(attack: &Attack, pairs: &[Pair]) -> Vec<Row> {
    let of = |number: fn(&Measured) -> f64| -> Vec<_> {
        pairs.iter().map(|pair| (number(&pair.attacked), number(&pair.quiet))).collect()
    };
    vec![
        Row::paired("p99 µs, to own quiet", &of(|measured| measured.slice.p99_micros), GOAL),
        Row::paired("presence, mean ms", &of(|measured| measured.slice.presence_mean_ms), attack.presence),
        Row::paired("handshake, mean ms", &of(|measured| measured.slice.handshake_mean_ms), Goal::None),
        Row::paired("% of its core", &of(|measured| 100.0 * measured.cpu_share), Goal::None),
        Row::alone(attack.effect, median(pairs.iter().map(|pair| pair.attacked.effect)), Goal::None),
    ]
}

fn measure(
    bench: &Bench,
    attack: &Attack,
    targets: &[&Target],
    quiet: &mut Quiet,
    control: &Control,
) -> Result<Vec<Pair>> {
    let scale = bench.scale.abuse;
    control.attack();
    quiet.serve_for(scale.settle + attack.before)?;
    let mut slice = |attacks: bool| {
        if attacks {
            control.attack()
        } else {
            control.pause()
        }
        quiet.serve_for(scale.settle)?;
        let (cpu, effects, from) = (cpu_of(targets)?, control.effects(), Instant::now());
        let slice = quiet.measure(scale.slice)?;
        let seconds = from.elapsed().as_secs_f64();
        Ok::<_, anyhow::Error>(Measured {
            slice,
            cpu_share: (cpu_of(targets)? - cpu).as_secs_f64() / seconds,
            effect: (control.effects() - effects) as f64 / seconds,
        })
    };
    let mut pairs = Vec::new();
    for number in 0..scale.pairs {
        // Who begins changes from pair to pair.
        let first = slice(number % 2 == 1)?;
        let other = slice(number % 2 == 0)?;
        let (quiet, attacked) = if number % 2 == 0 { (first, other) } else { (other, first) };
        pairs.push(Pair { quiet, attacked });
    }
    Ok(pairs)
}
