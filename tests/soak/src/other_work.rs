//! Work for every processor in quiet windows, in which the attackers have none for it.
//!
//! An idle processor sleeps, keeps its caches, and is not taken away by a hypervisor as often as a busy one: this alone
//! changes a 99th percentile by more than an attack may. So quiet windows are as busy as those under attack, with work
//! that has nothing to do with the server: bytes go around a loopback connection, and through memory.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::Result;
use rustix::process::{Signal, getppid};

use crate::low_priority_process::{LowPriorityProcess, lower_priority};
use crate::machine::{Machine, pin};

/// More than a cache of the second level has.
const MEMORY: usize = 8 << 20;

/// What goes around at once.
const PART: usize = 16 << 10;

/// A process for each processor.
#[derive(Debug)]
pub struct OtherWork(Vec<LowPriorityProcess>);

impl OtherWork {
    /// Starts it everywhere.
    pub fn start(machine: &Machine) -> Result<OtherWork> {
        let on = |number: &usize| {
            let (process, _writes_nothing) = LowPriorityProcess::start(&["work".into(), number.to_string()])?;
            Ok(process)
        };
        Ok(OtherWork(machine.processors().iter().map(on).collect::<Result<_>>()?))
    }

    /// Stops or continues it.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.0.iter().try_for_each(|process| process.signal(signal))
    }
}

/// Works on this processor until the process that has started this one ends.
pub fn run(processor: usize) -> Result<()> {
    let parent = getppid();
    lower_priority()?;
    pin(None, &[processor])?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    let mut memory = vec![1_u8; MEMORY];
    while getppid() == parent {
        for part in memory.chunks_exact_mut(PART) {
            near.write_all(part)?;
            far.read_exact(part)?;
        }
        memory.rotate_left(1);
    }
    Ok(())
}
