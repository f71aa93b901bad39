//! What the queues that all tenants share take of the memory: those to and from the other nodes, that of the log, and that of spans.
//!
//! Each is bounded, and tenants have their shares in it. So what waits there is not charged to anyone: the most that it
//! can be is set aside, and clients get what is left of `server.memory_budget`, a quarter at least.

use hub::Bounds;
use settings::{Settings, Traces};

use super::MemoryLimit;

/// What the link has taken out of the queues: messages and snapshots that are encoded, sent, received or decoded. A batch
/// has 256 KiB, and may end with a room of as much. Ten batches are published or stored at most, and are held up to three
/// times: as entries, as commands, packed. Four are read, and are held twice. A room with more than a batch is charged to its
/// tenant instead (`bus/large_rooms.rs`).
const LINK_BYTES: usize = 10 << 20;

/// Bytes of a span that waits: about 800 with its ten attributes, and what these have, of at most 256 bytes each.
const SPAN_BYTES: usize = 2 * 1_024;

/// Bytes of a span in the present request: as a message of OTLP, and encoded.
const SENT_SPAN_BYTES: usize = 2 * SPAN_BYTES;

/// The part of the budget that each of the queues between nodes may have.
const BUS_DIVISOR: u64 = 16;

/// The bounds of the queue of messages to the other nodes, and of that of messages from them.
pub fn bus_queue_bounds(settings: &Settings) -> Bounds {
    let part = MemoryLimit::of(&settings.server).bytes() / BUS_DIVISOR;
    let bytes = settings.bus.max_bytes.as_u64().min(part);
    Bounds { frames: settings.bus.max_frames.get(), bytes: saturated(bytes) }
}

/// What the shared queues take at most in a process that starts with these settings.
pub fn queue_memory(settings: &Settings) -> usize {
    set_aside(settings, settings.bus.redis_url.is_some().then(|| bus_queue_bounds(settings)))
}

/// What the shared queues take at most, those between nodes if they have such `bus_bounds`.
pub(super) fn set_aside(settings: &Settings, bus_bounds: Option<Bounds>) -> usize {
    let bus = bus_bounds.map_or(0, |bounds| bounds.bytes.saturating_mul(2).saturating_add(LINK_BYTES));
    let log = saturated(settings.telemetry.log_queue_bytes.as_u64());
    bus.saturating_add(log).saturating_add(span_bytes(&settings.telemetry.traces))
}

/// What spans take at most.
fn span_bytes(settings: &Traces) -> usize {
    if !settings.is_on() {
        return 0;
    }
    let waiting = settings.queue_spans.get().saturating_mul(SPAN_BYTES);
    let batch = settings.batch_spans.min(settings.queue_spans).get();
    waiting.saturating_add(batch.saturating_mul(SENT_SPAN_BYTES))
}

fn saturated(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use settings::{ByteSize, SpanExporter};

    use super::*;

    /// The mebibytes of a queue between nodes, and those left to clients without and with such queues.
    fn mebibytes(budget: u64, queue: u64) -> (usize, usize, usize) {
        let mut settings = Settings::default();
        settings.server.memory_budget = Some(ByteSize::mib(budget));
        settings.bus.max_bytes = ByteSize::mib(queue);
        let (limit, bounds) = (MemoryLimit::of(&settings.server), bus_queue_bounds(&settings));
        let [alone, with_others] =
            [None, Some(bounds)].map(|bounds| limit.for_clients(set_aside(&settings, bounds)) >> 20);
        (bounds.bytes >> 20, alone, with_others)
    }

    #[test]
    fn clients_get_what_the_queues_leave() {
        assert_eq!(mebibytes(4_096, 64), (64, 3_048, 2_944));
        assert_eq!(mebibytes(256, 64), (16, 168, 136));
        assert_eq!(mebibytes(256, 1), (1, 168, 159));
        assert_eq!(mebibytes(64, 64), (4, 24, 10));
    }

    #[test]
    fn spans_are_set_aside_while_they_are_sent() {
        let mut settings = Settings::default();
        let without = set_aside(&settings, None);
        settings.telemetry.traces.exporter = SpanExporter::Otlp;
        assert_eq!(set_aside(&settings, None) - without, 6 << 20);
    }

    #[test]
    fn clients_have_a_quarter_beside_the_process_whatever_the_queues_may_take() {
        assert_eq!(left_after_reload(160), 34 << 20);
        assert_eq!(left_after_reload(64), 10 << 20);
        assert_eq!(left_after_reload(1_024), 1_281 << 19);
    }

    /// What is left to clients when a node that started with 2 GiB gets this budget.
    fn left_after_reload(budget: u64) -> usize {
        let mut settings = Settings::default();
        settings.server.memory_budget = Some(ByteSize::gib(2));
        let set_aside = set_aside(&settings, Some(bus_queue_bounds(&settings)));
        settings.server.memory_budget = Some(ByteSize::mib(budget));
        MemoryLimit::of(&settings.server).for_clients(set_aside)
    }
}
