//! The tenant that is measured: a paced fan-out, a member whose presence changes, and clients that connect.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::connection::Listener;
use crate::drive;
use crate::machine::Deadline;
use crate::message::{Encoding, PAYLOAD, client_frame, opcode};
use crate::server::{Target, topic};
use crate::swarm::Swarm;
use crate::traffic::{Shape, Timing, Traffic};

/// From one broadcast to the next, as in `paced`.
const BROADCAST: Duration = Duration::from_millis(20);
/// From one handshake to the next, if the one before is complete.
const HANDSHAKE: Duration = Duration::from_millis(50);
/// The same for presence calls. What a room shows is sent at most every 50 ms, and a call must not wait for that.
const PRESENCE: Duration = Duration::from_millis(80);
/// The room of presence.
const PRESENCE_ROOM: u32 = 900;
/// Far more than any of it may take.
const STUCK: Duration = Duration::from_secs(20);

/// The latencies of one slice of time.
pub struct Slice {
    /// Of broadcasts.
    pub p99_micros: f64,
    /// Of presence: from a call to the `presence_diff` at another member, on the other node if there are two.
    pub presence_mean_ms: f64,
    /// From connecting to the reply to a join.
    pub handshake_mean_ms: f64,
}

/// Its clients.
pub struct Quiet<'a> {
    swarm: Swarm,
    received: Received,
    broadcast_at: Instant,
    presence: Probe,
    handshake: Probe,
    /// The member whose presence changes. The next one sees it.
    tracker: usize,
    first: &'a Target,
    entered: usize,
}

/// Something that is done again and again, one at a time.
struct Probe {
    interval: Duration,
    next_at: Instant,
    under_way_since: Option<Instant>,
    count: u32,
    total: Duration,
}

impl Probe {
    fn every(interval: Duration) -> Self {
        Self { interval, next_at: Instant::now(), under_way_since: None, count: 0, total: Duration::ZERO }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.under_way_since.is_none() && self.next_at <= now
    }

    fn begin(&mut self, now: Instant) {
        self.under_way_since = Some(now);
        self.next_at = now + self.interval;
    }

    fn complete(&mut self) {
        if let Some(since) = self.under_way_since.take() {
            self.count += 1;
            self.total += since.elapsed();
        }
    }

    fn start_counting(&mut self) {
        (self.count, self.total) = (0, Duration::ZERO);
    }

    fn mean_ms(&self) -> f64 {
        self.total.as_secs_f64() * 1e3 / f64::from(self.count)
    }
}

impl<'a> Quiet<'a> {
    /// One sender and so many members in a room, and two members in the room of presence. Members are spread over the targets.
    pub fn enter(targets: &[&'a Target], members: usize) -> Result<Self> {
        let first = targets[0];
        let shape = Shape::one_sender(1, members, Encoding::Text);
        let traffic =
            Traffic::new(|room| first.broadcast(shape.encoding, room, PAYLOAD), shape, Timing::PerDelivery)?;
        let mut received =
            Received { traffic, members: shape.members, seen: 0, has_state: false, has_diff: false };
        let mut swarm = Swarm::new()?;
        drive::enter(&mut swarm, targets, shape, &mut received)?;
        let presence = json!({"enabled": true});
        for (member, target) in [first, targets[targets.len() - 1]].into_iter().enumerate() {
            let entry = target.entry(PRESENCE_ROOM, shape.members + member, &presence)?;
            swarm.enter(target.address, [entry], &mut received, Deadline::after(STUCK))?;
        }
        // What was tracked before its state would not be seen as a diff.
        let no_state = |_: &Received| "no presence_state".to_owned();
        swarm.turn_until(&mut received, Deadline::after(STUCK), no_state, |received| received.has_state)?;
        let (tracker, entered) = (shape.members, shape.members + 2);
        let (presence, handshake) = (Probe::every(PRESENCE), Probe::every(HANDSHAKE));
        let broadcast_at = Instant::now();
        Ok(Self { swarm, received, broadcast_at, presence, handshake, tracker, first, entered })
    }

    /// Measures for a while, and until all that was begun is complete.
    pub fn measure(&mut self, time: Duration) -> Result<Slice> {
        self.received.traffic.start_counting();
        self.presence.start_counting();
        self.handshake.start_counting();
        self.serve_for(time)?;
        Ok(Slice {
            p99_micros: self.received.traffic.latency.value_at_quantile(0.99) as f64 / 1e3,
            presence_mean_ms: self.presence.mean_ms(),
            handshake_mean_ms: self.handshake.mean_ms(),
        })
    }

    /// Does its part for a while, and until all that was begun is complete. Fails if anything was lost or refused.
    pub fn serve_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let stuck = Deadline::after(time + STUCK);
        self.broadcast_at = Instant::now();
        loop {
            let now = Instant::now();
            if now < end {
                self.begin_what_is_due(now)?;
            } else if !self.is_anything_under_way() {
                return self.received.traffic.check();
            }
            stuck.check(|| self.progress())?;
            self.swarm.turn(Some(self.wait(now)), &mut self.received).context("the quiet tenant")?;
            self.complete_what_is_done()?;
        }
    }

    fn begin_what_is_due(&mut self, now: Instant) -> Result<()> {
        if self.broadcast_at <= now {
            self.received.traffic.send(&mut self.swarm, 0, 1)?;
            self.broadcast_at += BROADCAST;
        }
        if self.presence.is_due(now) {
            self.presence.begin(now);
            self.swarm.send(self.tracker, &track(self.received.seen + 1))?;
        }
        if self.handshake.is_due(now) {
            self.handshake.begin(now);
            let entry = self.first.entry(PRESENCE_ROOM + 1, self.entered, &json!({"enabled": false}))?;
            self.entered = self.swarm.open(self.first.address, entry)?;
        }
        Ok(())
    }

    fn complete_what_is_done(&mut self) -> Result<()> {
        if self.received.take_diff() {
            self.presence.complete();
        }
        if self.handshake.under_way_since.is_some() && self.swarm.all_have_joined() {
            self.handshake.complete();
            self.swarm.close(self.entered)?;
        }
        Ok(())
    }

    /// No sleep while a broadcast or a handshake is under way: a write of the server would pay for waking this thread. In
    /// between, the attacker has the core.
    fn wait(&self, now: Instant) -> Duration {
        if self.received.traffic.in_flight() > 0 || self.handshake.under_way_since.is_some() {
            return Duration::ZERO;
        }
        self.broadcast_at.saturating_duration_since(now).min(BROADCAST)
    }

    fn is_anything_under_way(&self) -> bool {
        self.received.traffic.in_flight() > 0
            || self.presence.under_way_since.is_some()
            || self.handshake.under_way_since.is_some()
    }

    fn progress(&self) -> String {
        let or_not = |probe: &Probe| if probe.under_way_since.is_some() { "under way" } else { "complete" };
        format!(
            "{} broadcasts under way, {}; presence {}, handshake {}",
            self.received.traffic.in_flight(),
            self.received.traffic.faults(),
            or_not(&self.presence),
            or_not(&self.handshake)
        )
    }
}

fn track(number: u64) -> Vec<u8> {
    let track = json!({"type": "presence", "event": "track", "payload": {"number": number}});
    let text = format!(r#"["1","2","{}","presence",{track}]"#, topic(PRESENCE_ROOM));
    client_frame(opcode::TEXT, text.as_bytes())
}

/// What all of them receive. The first members are those of the fan-out.
struct Received {
    traffic: Traffic,
    members: usize,
    /// The newest number that was tracked and seen.
    seen: u64,
    /// Whether the member that sees it has its `presence_state`.
    has_state: bool,
    /// Whether the number has come since the last look.
    has_diff: bool,
}

impl Received {
    fn on_presence(&mut self, body: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(body) else { return };
        self.has_state |= message[3] == "presence_state";
        let joins = (message[3] == "presence_diff").then(|| message[4]["joins"].as_object()).flatten();
        let number = joins.and_then(|joins| joins.values().next()?["metas"][0]["number"].as_u64());
        if number == Some(self.seen + 1) {
            self.seen += 1;
            self.has_diff = true;
        }
    }

    fn take_diff(&mut self) -> bool {
        std::mem::take(&mut self.has_diff)
    }
}

impl Listener for Received {
    fn arrived(&mut self) {
        self.traffic.arrived();
    }

    fn frame(&mut self, member: usize, kind: u8, body: &[u8]) {
        if member < self.members {
            self.traffic.frame(member, kind, body);
        } else if member == self.members + 1 {
            self.on_presence(body);
        }
    }
}
