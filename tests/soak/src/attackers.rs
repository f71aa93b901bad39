//! The processes of the attacks: stopped and continued together, ended when dropped.

use std::io::{BufRead as _, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::attacks::Attack;
use crate::low_priority_process::LowPriorityProcess;
use crate::nodes::Nodes;

/// All attacks that run.
#[derive(Debug)]
pub struct Attackers(Vec<Attacker>);

#[derive(Debug)]
struct Attacker {
    name: &'static str,
    process: LowPriorityProcess,
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
            attacker.process.signal(signal).with_context(|| format!("the attack `{}`", attacker.name))?;
        }
        Ok(())
    }

    /// How often each has done what it does.
    pub fn rounds(&self) -> Vec<(&'static str, u64)> {
        self.0.iter().map(|attacker| (attacker.name, attacker.rounds.load(Ordering::Relaxed))).collect()
    }

    /// Those whose process has ended.
    pub fn ended(&mut self) -> Vec<&'static str> {
        self.0
            .iter_mut()
            .filter_map(|attacker| attacker.process.has_ended().then_some(attacker.name))
            .collect()
    }
}

impl Attacker {
    fn start(nodes: &Nodes, attack: &Attack, number: usize) -> Result<Attacker> {
        let mut arguments = vec!["attack".to_owned(), attack.name.to_owned()];
        let mut option = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        option("secret", nodes.secret.clone());
        option("one", nodes.one.address().to_string());
        option("number", number.to_string());
        option("config", nodes.one.config().display().to_string());
        if let Some(two) = &nodes.two {
            option("two", two.address().to_string());
        }
        let (process, output) = LowPriorityProcess::start(&arguments)?;
        let rounds = Arc::new(AtomicU64::new(0));
        let last = Arc::clone(&rounds);
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines
                .filter_map(|line| line.parse().ok())
                .for_each(|number| last.store(number, Ordering::Relaxed));
        });
        Ok(Attacker { name: attack.name, process, rounds })
    }
}
