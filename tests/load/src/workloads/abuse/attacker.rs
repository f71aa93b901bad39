//! The thread of an attacker, and what tells it when to attack.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::setpriority_process;

use crate::machine::LOWEST_PRIORITY;

/// Clients that attack. They are connected before the measurement.
pub trait Attacker: Send {
    /// The attack begins.
    fn start(&mut self) {}
    /// Does what is due, reads what arrived, and sleeps for a moment. Returns the number of effects.
    fn attack(&mut self) -> Result<u64>;
    /// The attack pauses.
    fn stop(&mut self) {}
    /// Reads what arrives during a pause, and sleeps for a moment.
    fn rest(&mut self) -> Result<()>;
}

/// Begins and ends the attack from the measuring thread.
#[derive(Default)]
pub struct Control {
    attacks: AtomicBool,
    has_ended: AtomicBool,
    effects: AtomicU64,
}

impl Control {
    /// From now on it attacks.
    pub fn attack(&self) {
        self.attacks.store(true, Ordering::Relaxed);
    }

    /// From now on it is silent.
    pub fn pause(&self) {
        self.attacks.store(false, Ordering::Relaxed);
    }

    /// The thread ends.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// What it has counted so far.
    pub fn effects(&self) -> u64 {
        self.effects.load(Ordering::Relaxed)
    }

    /// The attacker's thread.
    pub fn run(&self, mut attacker: Box<dyn Attacker>) -> Result<()> {
        // On Linux this is the priority of the calling thread.
        setpriority_process(None, LOWEST_PRIORITY).context("cannot lower the priority")?;
        let mut attacks = false;
        while !self.has_ended.load(Ordering::Relaxed) {
            if attacks != self.attacks.load(Ordering::Relaxed) {
                attacks = !attacks;
                if attacks { attacker.start() } else { attacker.stop() }
            }
            if attacks {
                self.effects.fetch_add(attacker.attack()?, Ordering::Relaxed);
            } else {
                attacker.rest()?;
            }
        }
        Ok(())
    }
}

/// Calls that are due at a steady rate.
pub struct Pace {
    interval: Duration,
    next_at: Instant,
}

impl Pace {
    /// How much of what was missed is made up for: a thread of the lowest priority does not always run.
    const BACKLOG: Duration = Duration::from_millis(100);

    /// So many a second.
    pub fn per_second(rate: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate, next_at: Instant::now() }
    }

    /// Starts anew.
    pub fn restart(&mut self) {
        self.next_at = Instant::now();
    }

    /// How many are due.
    pub fn due(&mut self) -> u32 {
        let now = Instant::now();
        self.next_at = self.next_at.max(now.checked_sub(Self::BACKLOG).unwrap_or(now));
        let mut due = 0;
        while self.next_at <= now {
            self.next_at += self.interval;
            due += 1;
        }
        due
    }
}
