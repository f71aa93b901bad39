//! How a binding is identified: its id, and the echo of it in the reply to the join.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Ids are below 2²⁷, as upstream's are.
const ID_BITS: u32 = 27;
const ID_MASK: u32 = (1 << ID_BITS) - 1;

/// The binding that a join without `config` stands for, as JSON: the room's name is `schema[:table[:filter]]`. The filter
/// may contain colons.
pub fn binding_of_topic(sub_topic: &str) -> Box<RawValue> {
    let parts = ["schema", "table", "filter"].into_iter().zip(sub_topic.splitn(3, ':'));
    let binding: BTreeMap<_, _> = parts.collect();
    serde_json::value::to_raw_value(&binding).expect("strings are written to memory")
}

/// The ids of the bindings of one join, in order. Equal bindings have equal ids in every join and on every node, so that
/// members with equal subscriptions receive the same frames.
///
/// An id is the FNV-1a hash (64 bits) of the binding as compact JSON with its keys sorted, reduced to 27 bits by the
/// exclusive or of its parts. Different bindings of one join whose hashes are equal get different ids: the later one gets
/// the next id that is free.
pub fn binding_ids(bindings: &[Box<RawValue>]) -> Vec<u32> {
    let mut assigned: BTreeMap<u32, String> = BTreeMap::new();
    let mut id_of = |binding: &str| {
        let canonical = canonical(binding);
        let mut id = fold(fnv1a(canonical.as_bytes()));
        while assigned.get(&id).is_some_and(|other| *other != canonical) {
            id = (id + 1) & ID_MASK;
        }
        assigned.insert(id, canonical);
        id
    };
    bindings.iter().map(|binding| id_of(binding.get())).collect()
}

/// The binding as the reply to the join returns it: the client's own JSON with `id` as its last member. Clients compare
/// the other members with what they sent, so nothing else is changed.
pub fn binding_echo(binding: &RawValue, id: u32) -> String {
    let object = binding.get().trim_ascii_end();
    let members = object.strip_suffix('}').unwrap_or(object).trim_ascii_end();
    let separator = if members.ends_with('{') { "" } else { "," };
    format!("{members}{separator}\"id\":{id}}}")
}

/// The same text for all JSON texts with the same meaning. What cannot be decoded is taken as it is.
fn canonical(binding: &str) -> String {
    match serde_json::from_str::<Value>(binding) {
        // Objects of serde_json are sorted.
        Ok(value) => value.to_string(),
        Err(_) => binding.to_owned(),
    }
}

/// FNV-1a, 64 bits: fixed for ever, unlike the hashes of the standard library.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// All bits of `hash`, in 27.
fn fold(hash: u64) -> u32 {
    let parts = [hash, hash >> ID_BITS, hash >> (2 * ID_BITS)];
    parts.iter().fold(0, |id, part| id ^ (*part as u32 & ID_MASK))
}
