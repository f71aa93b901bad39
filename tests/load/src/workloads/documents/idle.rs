//! Ten thousand documents of 20 KB, one idle client each: documents that no client changes leave the memory, connections stay.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Bench;
use super::service::Service;
use super::yjs::{self, Id};
use crate::connection::Listener;
use crate::machine::Deadline;
use crate::message::{client_frame, opcode};
use crate::process;
use crate::report::{Goal, Outcome, Row};
use crate::swarm::Swarm;

const BYTES: usize = 20_000;

/// Clients that have sent their document, and are not answered yet.
const IN_FLIGHT: usize = 64;

/// Memory that does not fall for so long has reached its least.
const SETTLED: Duration = Duration::from_secs(4);

/// Documents that are stored.
#[derive(Default)]
pub struct Stored(pub usize);

impl Listener for Stored {
    fn frame(&mut self, _: usize, _: u8, body: &[u8]) {
        self.0 += usize::from(yjs::echo_payload(body).is_some());
    }
}

/// The memory of one, connection included.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let documents = 10_000 / bench.scale.fewer;
    let service = Service::ours(bench, vec![("REALTIME__DOCUMENTS__UNLOAD_AFTER", "1s".to_owned())])?;
    let idle = process::anonymous(service.pid())?;
    let (mut swarm, mut stored) = (Swarm::new()?, Stored::default());
    let deadline = Deadline::after(Duration::from_secs(120));
    let entries = (0..documents).map(|document| service.entry(document, document));
    swarm.enter(service.address, entries.collect::<Result<Vec<_>>>()?, &mut stored, deadline)?;
    store_all(&mut swarm, &mut stored, documents, BYTES, deadline)?;
    let loaded = process::anonymous(service.pid())?.saturating_sub(idle);
    let left = settled(&service, &mut swarm, &mut stored)?.saturating_sub(idle);
    let each = |bytes: u64| bytes as f64 / 1024.0 / documents as f64;
    let rows = vec![
        Row::alone("KiB for each, document and connection", each(left), Goal::AtMost(12.0)),
        Row::alone("KiB for each, right after it was written", each(loaded), Goal::None),
        Row::alone("idle KiB", idle as f64 / 1024.0, Goal::None),
    ];
    Ok(Outcome { rows, runs: json!({"idle_bytes": idle, "loaded_bytes": loaded, "left_bytes": left}) })
}

/// Each member writes its document, and waits until it is stored.
pub fn store_all(
    swarm: &mut Swarm,
    stored: &mut Stored,
    members: usize,
    bytes: usize,
    deadline: Deadline,
) -> Result<()> {
    let update = yjs::insertion(Id { client: 1, clock: 0 }, None, None, &vec![b'a'; bytes]);
    let messages = [yjs::update_message(&[], &update), yjs::echo_message(1)];
    let frames: Vec<_> = messages.iter().flat_map(|body| client_frame(opcode::BINARY, body)).collect();
    let before = stored.0;
    let progress = |stored: &Stored| format!("{} of {members} documents are stored", stored.0 - before);
    for member in 0..members {
        swarm.send(member, &frames)?;
        swarm.turn_until(stored, deadline, progress, |stored| stored.0 - before + IN_FLIGHT > member)?;
    }
    swarm.turn_until(stored, deadline, progress, |stored| stored.0 - before == members)
}

/// The least memory, in bytes, once it does not fall any more.
fn settled(service: &Service, swarm: &mut Swarm, stored: &mut Stored) -> Result<u64> {
    let mut least = u64::MAX;
    loop {
        swarm.turn_for(SETTLED, stored)?;
        let now = process::anonymous(service.pid())?;
        // A hundredth is noise.
        if now > least - least / 100 {
            return Ok(now.min(least));
        }
        least = now;
    }
}
