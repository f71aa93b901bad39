//! What is probably not meant about memory: a budget that the machine does not have, a limit beyond the budget, or queues
//! that leave little of it.
//!
//! Not problems: the same file may be for machines of several sizes.

use settings::{ByteSize, Note, Settings};

use super::MemoryLimit;

/// The divisor of the part of the budget that the shared queues may have without a remark.
const QUEUES_DIVISOR: u64 = 2;

/// Remarks on the memory that these settings ask for, on this machine. The queues that all tenants share may take
/// `queue_memory` of it.
pub fn memory_remarks(settings: &Settings, queue_memory: usize) -> Vec<Note> {
    let limit = MemoryLimit::of(&settings.server);
    let budget = limit.beyond_what_exists().map(|existing| {
        format!(
            "`server.memory_budget` ({}) is more than {existing}: the system ends this process before anything is refused \
             to clients",
            ByteSize::b(limit.bytes()),
        )
    });
    let too_large = bounds(settings).into_iter().filter(|(_, bound)| bound.as_u64() > limit.bytes());
    let too_large = too_large.map(|(key, bound)| {
        format!(
            "`{key}` ({bound}) is more than all memory of this process, {limit}: that is used up before this limit is reached"
        )
    });
    let queues = (queue_memory as u64 > limit.bytes() / QUEUES_DIVISOR).then(|| {
        format!(
            "the queues of the log and of the messages to and from other nodes (`telemetry.log_queue_bytes`, `bus.max_bytes`) \
             may take {}, more than half of all memory of this process, {limit}: little is left to clients",
            ByteSize::b(queue_memory as u64),
        )
    });
    budget.into_iter().chain(too_large).chain(queues).map(|text| Note { warning: true, text }).collect()
}

/// The settings that bound bytes in memory, of one connection or of the node.
fn bounds(settings: &Settings) -> [(&'static str, ByteSize); 12] {
    [
        ("server.max_frame_size", settings.server.max_frame_size),
        ("server.max_held_bytes", settings.server.max_held_bytes),
        ("broadcast.max_body_size", settings.broadcast.max_body_size),
        ("broadcast.history.max_bytes", settings.broadcast.history.max_bytes),
        ("presence.max_bytes_per_client", settings.presence.max_bytes_per_client),
        ("limits.max_presence_bytes_per_room", settings.limits.max_presence_bytes_per_room),
        ("documents.max_bytes", settings.documents.max_bytes),
        ("documents.queue_bytes", settings.documents.queue_bytes),
        ("documents.max_unsaved_bytes", settings.documents.max_unsaved_bytes),
        ("outbox.max_bytes", settings.outbox.max_bytes),
        ("bus.max_bytes", settings.bus.max_bytes),
        ("telemetry.log_queue_bytes", settings.telemetry.log_queue_bytes),
    ]
}
