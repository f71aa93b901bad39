//! `[changes]`: changes of tables that clients subscribe to.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// Changes of tables that clients subscribe to («Postgres Changes»). Which tables they may subscribe to is in
/// `database.publication`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// Bytes of the values of one change, as JSON. Of a larger one clients receive only the values of at most 64 bytes, with
    /// «Error 413: Payload Too Large».
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_record_bytes: ByteSize,

    /// Subscriptions of one channel. A join with more is accepted, and subscribes to none of them.
    #[schemars(extend("x-reload" = "live"))]
    pub max_bindings_per_channel: NonZeroUsize,

    /// Conditions of the filter of one subscription. A join with more in any of them is accepted, and subscribes to none of
    /// them.
    #[schemars(extend("x-reload" = "live"))]
    pub max_filters_per_binding: NonZeroUsize,

    /// The longest time that a join waits for its changes. Clients ask for it with `postgres_changes_options`, and for less
    /// with its `timeout`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub max_wait: Duration,

    /// How long changes wait for the database of their tenant: while it does not answer what has to be known of them, and until
    /// others can see the transaction that has written them, which takes as long as a synchronous standby does. Its log is kept
    /// meanwhile. Then they are dropped, and clients receive «Changes may have been missed».
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1s"))]
    pub database_wait: Duration,

    /// How long the database is not asked again for what took too long: the policies of a table for a client or its role, a
    /// filter, generated columns, casts to `json`. Rows that it decides about are hidden meanwhile, and such values are missing.
    /// A shorter time shows them sooner, and delays the other changes of the tenant more often.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1s"))]
    pub slow_query_pause: Duration,

    /// Different filters of one connection that may take too long within `slow_query_pause`. With more, its filters that have not
    /// answered in time before are not asked for in this time, and with twice as many none. The same applies to the filters on one
    /// table, of all connections, when four times as many take too long.
    #[schemars(extend("x-reload" = "live"))]
    pub max_slow_filters_per_client: NonZeroU32,

    /// Whether a changed row under row level security is received only while it is still as it was written. Otherwise who may see the
    /// row now, after it was changed again, receives what it was before too. Rows that are changed again at once are then not
    /// received as they were in between, and the values of rows are sent to the database to be compared. The server needs to be
    /// able to read the tables, whatever their policies are.
    #[schemars(extend("x-reload" = "live"))]
    pub exact_visibility: bool,

    /// Whether the database of each tenant with subscribers keeps what is committed while no node reads it, in a replication slot.
    /// It needs a limit there (`max_slot_wal_keep_size`), and is without effect otherwise; the slot is dropped before half of that is
    /// used. Turned off, it is dropped.
    #[schemars(extend("x-reload" = "live"))]
    pub durable: bool,

    /// With `durable`: how long changes wait for subscribers to come back after all nodes have stopped, and how long a node may not
    /// read without missing any.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub resume_wait: Duration,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            max_record_bytes: ByteSize::mib(1),
            max_bindings_per_channel: NonZeroUsize::new(100).expect("not zero"),
            // As many as upstream has values of `in`.
            max_filters_per_binding: NonZeroUsize::new(100).expect("not zero"),
            max_wait: Duration::from_secs(20),
            database_wait: Duration::from_secs(30),
            slow_query_pause: Duration::from_secs(60),
            max_slow_filters_per_client: NonZeroU32::new(4).expect("not zero"),
            exact_visibility: false,
            durable: false,
            resume_wait: Duration::from_secs(10),
        }
    }
}
