//! The attacks, a file each: what one of them repeats for as long as its process runs.
//!
//! A round that the server refuses or cuts short is part of the attack, so its error is forgotten; a round that goes
//! through counts. A server that refuses everything by being unable to do anything would be found by the quiet tenant.

mod all_websockets;
mod channels;
mod connect_storm;
mod escapes;
mod fragments;
mod full_socket_buffers;
mod held_tracks;
mod idle_connections;
mod junk;
mod large_batches;
mod large_presence;
mod long_claims;
mod node_flood;
mod non_readers;
mod plain_sockets;
mod presence_keys;
mod presence_on_two_nodes;
mod rejoins;
mod reloads;
mod resets;
mod small_messages;
mod unfinished_frames;
mod unfinished_heads;
mod unfinished_posts;
mod unknown_keys;
mod unread_metrics;
mod unverified_posts;

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::low_priority_process::lower_priority;
use crate::target::Target;

/// One kind of attack.
#[derive(Debug)]
pub struct Attack {
    /// As in its file.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    start: fn(&Target) -> Result<()>,
}

/// All of them.
pub const ALL: &[Attack] = &[
    unfinished_frames::ATTACK,
    unfinished_posts::ATTACK,
    non_readers::ATTACK,
    large_presence::ATTACK,
    presence_keys::ATTACK,
    rejoins::ATTACK,
    node_flood::ATTACK,
    unknown_keys::ATTACK,
    unverified_posts::ATTACK,
    plain_sockets::ATTACK,
    escapes::ATTACK,
    reloads::ATTACK,
    connect_storm::ATTACK,
    fragments::ATTACK,
    junk::ATTACK,
    resets::ATTACK,
    unfinished_heads::ATTACK,
    unread_metrics::ATTACK,
    idle_connections::ATTACK,
    small_messages::ATTACK,
    held_tracks::ATTACK,
    long_claims::ATTACK,
    channels::ATTACK,
    all_websockets::ATTACK,
    presence_on_two_nodes::ATTACK,
    large_batches::ATTACK,
    full_socket_buffers::ATTACK,
];

/// How often a process says how many rounds it has done.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a round that was refused, so that refusals of one kind do not push aside the other attacks.
const PAUSE: Duration = Duration::from_millis(20);

/// A thread keeps its buffers on the heap.
const STACK_SIZE: usize = 256 * 1024;

static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// The attack of this name.
pub fn named(name: &str) -> Result<&'static Attack> {
    ALL.iter().find(|attack| attack.name == name).with_context(|| format!("no attack is called `{name}`"))
}

/// Attacks until the standard output is not read any more.
pub fn run(name: &str, target: Target) -> Result<()> {
    lower_priority()?;
    (named(name)?.start)(&target)?;
    loop {
        thread::sleep(REPORT_INTERVAL);
        if writeln!(std::io::stdout(), "{}", ROUNDS.load(Ordering::Relaxed)).is_err() {
            return Ok(());
        }
    }
}

/// Repeats a round in each of `threads` threads, which are numbered.
fn repeat(
    target: &Target,
    threads: usize,
    round: impl Fn(&Target, usize) -> Result<()> + Copy + Send + 'static,
) -> Result<()> {
    for number in 0..threads {
        let target = target.clone();
        let repeat = move || {
            loop {
                match round(&target, number) {
                    Ok(()) => count_round(),
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        };
        thread::Builder::new().stack_size(STACK_SIZE).spawn(repeat)?;
    }
    Ok(())
}

fn count_round() {
    ROUNDS.fetch_add(1, Ordering::Relaxed);
}

/// Reproducible random bytes (xorshift).
struct Noise(u64);

impl Noise {
    fn new(number: usize) -> Noise {
        Noise((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
