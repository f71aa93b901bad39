//! Three megabytes to a thousand members, twenty of whom have stopped reading.
//!
//! The frame must exist once, not once per member, and those who do not read must cost nothing but their
//! place in a queue. So memory is sampled while it travels; the other 980 must get every byte.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use crate::connection::Listener;
use crate::frames::Part;
use crate::machine::Deadline;
use crate::message::{self, Encoding, FILLING, FILLING_START};
use crate::process;
use crate::report::{Goal, Outcome, Row, median};
use crate::server::{Kind, Target, topic};
use crate::swarm::Swarm;

/// The most a payload may have is 3000 × 1000 bytes and a little; this stays below it.
const SIZE: usize = 2_999_900;
const MEMORY_ALLOWED: f64 = 50.0;

struct Measured {
    seconds: f64,
    peak_mb: f64,
}

/// A fresh server each time.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let receivers = 1000 / bench.scale.fewer;
    let runs = (0..bench.scale.runs)
        .map(|_| one_broadcast(&bench.start(Kind::Server)?, receivers))
        .collect::<Result<Vec<_>>>()?;
    let of = |number: fn(&Measured) -> f64| median(runs.iter().map(number));
    let worst = runs.iter().map(|run| run.peak_mb).fold(0.0, f64::max);
    let rows = vec![
        Row::alone("MB over idle, worst peak", worst, Goal::AtMost(MEMORY_ALLOWED)),
        Row::alone("s until the others have it", of(|run| run.seconds), Goal::None),
    ];
    let json = |run: &Measured| json!({"seconds": run.seconds, "peak_mb": run.peak_mb});
    Ok(Outcome { rows, runs: runs.iter().map(json).collect() })
}

fn one_broadcast(target: &Target, receivers: usize) -> Result<Measured> {
    let stalled = receivers / 50;
    let idle = process::anonymous_roughly(target.pid())?;
    let mut swarm = Swarm::new()?;
    let mut whole = Whole::new(receivers + 1);
    let entries = (0..=receivers)
        .map(|member| target.entry(0, member, &json!({"enabled": false})))
        .collect::<Result<Vec<_>>>()?;
    swarm.enter(target.address, entries, &mut whole, Deadline::after(Duration::from_secs(20)))?;
    // Spread among the others, so that a server that waits for one of them delays the others measurably.
    for nth in 0..stalled {
        swarm.stop_reading(1 + nth * 50)?;
    }

    let mut words = Vec::new();
    target.broadcast(Encoding::Binary, 0, SIZE).append_to(&mut words, 0, 0);
    let (from, deadline) = (Instant::now(), Deadline::after(Duration::from_secs(30)));
    swarm.send(0, &words)?;
    let mut peak = 0;
    while whole.got_it < receivers - stalled {
        deadline.check(|| format!("{} of {} have it", whole.got_it, receivers - stalled))?;
        let next_sample = Deadline::after(Duration::from_millis(5));
        while !next_sample.has_passed() {
            swarm.turn(Some(Duration::from_millis(5)), &mut whole)?;
        }
        peak = peak.max(process::anonymous_roughly(target.pid())?);
    }
    let seconds = from.elapsed().as_secs_f64();
    ensure!(swarm.has_sent_all(0), "it arrived before it was sent");
    ensure!(whole.damaged == 0, "{} pieces arrived damaged", whole.damaged);
    Ok(Measured { seconds, peak_mb: peak.saturating_sub(idle) as f64 / 1e6 })
}

/// Who has all of it. Every byte of the filling is looked at.
struct Whole {
    received: Vec<usize>,
    size: usize,
    filling: std::ops::Range<usize>,
    got_it: usize,
    damaged: usize,
}

impl Whole {
    fn new(members: usize) -> Self {
        let size = Encoding::Binary.delivered_body(&topic(0), SIZE).len();
        let payload_at = size - SIZE;
        let filling = payload_at + FILLING_START..payload_at + message::filling_end(SIZE);
        Self { received: vec![0; members], size, filling, got_it: 0, damaged: 0 }
    }
}

impl Listener for Whole {
    fn frame(&mut self, _: usize, _: u8, _: &[u8]) {
        self.damaged += 1;
    }

    fn part(&mut self, member: usize, part: Part<'_>) {
        let start = self.filling.start.clamp(part.offset, part.offset + part.bytes.len()) - part.offset;
        let end = self.filling.end.clamp(part.offset, part.offset + part.bytes.len()) - part.offset;
        // Folded rather than `all`, which stops early and so keeps the compiler from looking at many at once.
        let differences = part.bytes[start..end].iter().fold(0, |sum, byte| sum | (byte ^ FILLING));
        let received = &mut self.received[member];
        self.damaged += usize::from(differences != 0 || part.size != self.size || part.offset != *received);
        *received += part.bytes.len();
        self.got_it += usize::from(*received == self.size);
    }
}
