//! What no single type can check: keys that must agree, and the ends of ranges.
//!
//! Every problem is reported, not only the first: whoever edits a file wants to fix it once.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;

use crate::Settings;

/// One thing that is wrong, as a sentence a person can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or variable it was written in, if it was written in one.
    pub place: Option<String>,
    /// The setting, such as `server.port`; empty when the place as a whole is meant.
    pub key: String,
    /// What is wrong with it, and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Longer waits are typing errors, and far longer ones overflow the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Settings {
    /// Every problem between these settings; none when they can be used.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut expect = |holds: bool, key: &str, message: &str| {
            if !holds {
                problems.push(Problem { place: None, key: key.into(), message: message.into() });
            }
        };

        for (key, wait, zero_is_fine) in self.waits() {
            expect(zero_is_fine || !wait.is_zero(), key, "must be longer than 0s");
            expect(wait <= LONGEST, key, "must not be longer than a year");
        }
        expect(
            self.server.idle_timeout > self.server.ping_interval,
            "server.idle_timeout",
            "must be longer than `server.ping_interval`, or clients are closed before they are asked for a sign \
             of life",
        );
        let within = |size: ByteSize, least: ByteSize, most: ByteSize| least <= size && size <= most;
        // hyper panics below this.
        let header = within(self.server.max_header_size, ByteSize::kib(8), ByteSize::mib(16));
        expect(header, "server.max_header_size", "must be between 8 KiB and 16 MiB");
        let buffer = within(self.server.read_buffer_size, ByteSize::b(256), ByteSize::mib(1));
        expect(buffer, "server.read_buffer_size", "must be between 256 B and 1 MiB");
        let frame = within(self.server.max_frame_size, ByteSize::kib(1), ByteSize::gib(1));
        expect(frame, "server.max_frame_size", "must be between 1 KiB and 1 GiB");
        let body = within(self.broadcast.max_body_size, ByteSize::kib(1), ByteSize::gib(1));
        expect(body, "broadcast.max_body_size", "must be between 1 KiB and 1 GiB");
        let bytes = self.outbox.max_bytes >= ByteSize::kib(1);
        expect(bytes, "outbox.max_bytes", "must be at least 1 KiB");
        let shown = self.presence.max_bytes_per_client >= ByteSize::kib(1);
        expect(shown, "presence.max_bytes_per_client", "must be at least 1 KiB");
        let (payload, frame) = (self.limits.max_payload_bytes() as u64, self.server.max_frame_size.as_u64());
        expect(
            payload <= frame,
            "limits.max_payload_size_in_kb",
            &format!(
                "must fit into `server.max_frame_size`: with its wrapping such a payload has {payload} bytes, and a \
                 message of more than {frame} closes its connection"
            ),
        );
        problems
    }

    /// Every length of time, its key, and whether none at all has a meaning.
    fn waits(&self) -> [(&'static str, Duration, bool); 17] {
        let window = Duration::from_millis(self.limits.client_presence_window_ms.get());
        [
            ("server.handshake_timeout", self.server.handshake_timeout, false),
            ("server.connect_error_backoff", self.server.connect_error_backoff, true),
            ("server.channel_error_backoff", self.server.channel_error_backoff, true),
            ("server.ping_interval", self.server.ping_interval, false),
            ("server.idle_timeout", self.server.idle_timeout, false),
            ("server.no_channel_timeout", self.server.no_channel_timeout, false),
            ("server.close_timeout", self.server.close_timeout, false),
            ("server.drain_delay", self.server.drain_delay, true),
            ("server.drain_timeout", self.server.drain_timeout, true),
            ("server.shutdown_timeout", self.server.shutdown_timeout, true),
            ("auth.leeway", self.auth.leeway, true),
            ("limits.client_presence_window_ms", window, false),
            ("outbox.stall_timeout", self.outbox.stall_timeout, false),
            ("bus.timeout", self.bus.timeout, false),
            ("bus.subscribe_timeout", self.bus.subscribe_timeout, true),
            ("bus.lease", self.bus.lease, false),
            ("presence.coalesce", self.presence.coalesce, true),
        ]
    }
}
