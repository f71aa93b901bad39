//! The first open of a large document after a start: 200,000 letters, typed by ten clients at random places.
//!
//! A client never types beside its own last letter, so no two items can be merged: each item of the document is one letter. The
//! server is killed before the document is opened, so without compaction it is read from the log of updates.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use super::client::{Client, timed_open};
use super::service::Service;
use super::yjs::{self, Id};
use crate::machine::Deadline;
use crate::message::{client_frame, opcode};
use crate::report::{Goal, Outcome, Row, median};
use crate::server::fresh_folder;

const ITEMS: usize = 200_000;
const CLIENTS: usize = 10;

/// Updates sent before their storage is waited for.
const IN_FLIGHT: usize = 500;

/// The metric that counts them.
const COMPACTIONS: &str = "realtime_documents_compactions_total";

/// After so many updates the log is replaced by a state: the default of the server, which merges what waits, and so stores fewer than
/// were typed. Only their number counts here.
const COMPACT_UPDATES: usize = 500;

/// Never.
const WITHOUT_COMPACTION: &str = "4294967295";

/// With compaction off and on.
pub fn run(bench: &Bench) -> Result<Outcome> {
    let items = ITEMS / bench.scale.fewer;
    let updates = typed_at_random(items);
    let (stored_off, off) = opened(bench, &updates, WITHOUT_COMPACTION)?;
    let compact_updates = (COMPACT_UPDATES / bench.scale.fewer).to_string();
    let (stored_on, on) = opened(bench, &updates, &compact_updates)?;
    ensure!(
        stored_off == items && stored_on == items,
        "{items} items were typed, {stored_off} and {stored_on} opened"
    );
    let rows = vec![
        Row::alone("items", stored_off as f64, Goal::None),
        Row::alone("ms to the last byte, no compaction", median(off.iter().copied()), Goal::AtMost(300.0)),
        Row::alone("ms to the last byte", median(on.iter().copied()), Goal::AtMost(50.0)),
    ];
    Ok(Outcome { rows, runs: json!({"without_compaction_ms": off, "ms": on}) })
}

/// The items of the document, and the milliseconds of each open.
fn opened(bench: &Bench, updates: &[Vec<u8>], compact_updates: &str) -> Result<(usize, Vec<f64>)> {
    let folder = fresh_folder()?;
    let outcome = opened_in(&folder, bench, updates, compact_updates);
    std::fs::remove_dir_all(folder)?;
    outcome
}

fn opened_in(
    folder: &Path,
    bench: &Bench,
    updates: &[Vec<u8>],
    compact_updates: &str,
) -> Result<(usize, Vec<f64>)> {
    let start = || {
        let variables = vec![
            ("REALTIME__SERVER__DATA_DIR", folder.join("data").display().to_string()),
            ("REALTIME__DOCUMENTS__COMPACT_UPDATES", compact_updates.to_owned()),
            ("REALTIME__DOCUMENTS__COMPACT_BYTES", "1GiB".to_owned()),
        ];
        Service::ours(bench, variables)
    };
    let typing = start()?;
    typed_into(&typing, updates)?;
    if compact_updates == WITHOUT_COMPACTION {
        ensure!(typing.metric(COMPACTIONS)? == 0.0, "the document was compacted");
    } else {
        until_compacted(&typing)?;
    }
    drop(typing);
    let (mut items, mut times) = (0, Vec::new());
    for _ in 0..bench.scale.runs {
        let (update, milliseconds) = timed_open(&start()?, 0)?;
        items = yjs::structs(&update).unwrap_or_default();
        times.push(milliseconds);
    }
    Ok((items, times))
}

/// A compaction is done beside the updates, and ends after the last of them on a slow machine.
fn until_compacted(service: &Service) -> Result<()> {
    let deadline = Deadline::after(Duration::from_secs(60));
    while service.metric(COMPACTIONS)? == 0.0 {
        deadline.check(|| "the document is not compacted".to_owned())?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn typed_into(service: &Service, updates: &[Vec<u8>]) -> Result<()> {
    let mut client = Client::open(service, 0)?;
    client.step_2()?;
    for (number, updates) in (0..).zip(updates.chunks(IN_FLIGHT)) {
        let messages = updates.iter().map(|update| yjs::update_message(&[], update));
        let frames =
            messages.chain([yjs::echo_message(number)]).flat_map(|body| client_frame(opcode::BINARY, &body));
        client.send(&frames.collect::<Vec<_>>())?;
        client.echo(number)?;
    }
    Ok(())
}

/// The updates, in the order in which they were typed.
fn typed_at_random(items: usize) -> Vec<Vec<u8>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut clocks = [0; CLIENTS];
    let mut typed: Vec<(Id, Option<usize>)> = Vec::with_capacity(items);
    let mut updates = Vec::with_capacity(items);
    for number in 0..items {
        let left = (number > 0).then(|| random.below(number));
        // Not that of the item to the left.
        let client = match left {
            Some(left) => (typed[left].0.client as usize - 1 + 1 + random.below(CLIENTS - 1)) % CLIENTS,
            None => 0,
        };
        let id = Id { client: client as u32 + 1, clock: clocks[client] };
        clocks[client] += 1;
        let right = left.and_then(|left| typed[left].1.replace(number));
        let id_of = |item: usize| typed[item].0;
        updates.push(yjs::insertion(id, left.map(id_of), right.map(id_of), b"a"));
        typed.push((id, right));
    }
    updates
}

/// Xorshift: the same document in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use yrs::updates::decoder::Decode;
    use yrs::{Doc, GetString, ReadTxn, StateVector, Transact, Update};

    use super::*;

    #[test]
    fn no_two_items_are_merged() {
        let document = Doc::new();
        let text = document.get_or_insert_text("t");
        let mut transaction = document.transact_mut();
        for update in typed_at_random(2_000) {
            transaction.apply_update(Update::decode_v1(&update).expect("an update")).expect("it applies");
        }
        transaction.commit();
        let whole = transaction.encode_state_as_update_v1(&StateVector::default());
        assert_eq!((text.get_string(&transaction).len(), yjs::structs(&whole)), (2_000, Some(2_000)));
    }
}
