//! The processes of the attacks: niced, stopped and continued together, ended when dropped.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::attacks::Attack;
use crate::nodes::Nodes;

/// All attacks that run.
#[derive(Debug)]
pub struct Attackers(Vec<Attacker>);

#[derive(Debug)]
struct Attacker {
    name: &'static str,
    child: Child,
    /// As it has last said.
    rounds: Arc<AtomicU64>,
}

impl Attackers {
    /// Starts these attacks.
    pub fn start(nodes: &Nodes, attacks: &[&'static Attack]) -> Result<Attackers> {
        let mut all = Attackers(Vec::new());
        for (number, attack) in attacks.iter().enumerate() {
            all.0.push(Attacker::start(nodes, attack, number)?);
        }
        Ok(all)
    }

    /// Stops or continues all of them.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        for attacker in &self.0 {
            kill_process(Pid::from_child(&attacker.child), signal)
                .with_context(|| format!("the attack `{}`", attacker.name))?;
        }
        Ok(())
    }

    /// How often each has done what it does.
    pub fn rounds(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().map(|attacker| (attacker.name, attacker.rounds.load(Ordering::Relaxed))).collect()
    }

    /// Those whose process has ended.
    pub fn ended(&mut self) -> Vec<&'static str> {
        let has_ended = |attacker: &mut Attacker| !matches!(attacker.child.try_wait(), Ok(None));
        self.0.iter_mut().filter_map(|attacker| has_ended(attacker).then_some(attacker.name)).collect()
    }
}

impl Attacker {
    fn start(nodes: &Nodes, attack: &Attack, number: usize) -> Result<Attacker> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["attack", attack.name, "--secret", &nodes.secret]);
        command.args(["--one", &nodes.one.address().to_string(), "--number", &number.to_string()]);
        if let Some(two) = &nodes.two {
            command.args(["--two", &two.address().to_string()]);
        }
        command.arg("--config").arg(nodes.one.config());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let (rounds, output) = (Arc::new(AtomicU64::new(0)), child.stdout.take().expect("piped"));
        let last = Arc::clone(&rounds);
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines
                .filter_map(|line| line.parse().ok())
                .for_each(|number| last.store(number, Ordering::Relaxed));
        });
        Ok(Attacker { name: attack.name, child, rounds })
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _has_ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
