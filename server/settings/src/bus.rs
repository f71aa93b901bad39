//! `[bus]`: how nodes exchange messages.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// How nodes exchange messages. Without Redis a node runs standalone, with all features.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bus {
    /// Redis (6 or later, or Valkey) through which nodes exchange messages: `redis://user:password@host:6379/0`,
    /// `rediss://` for TLS. One server, or an address that follows the primary through failovers; not a Redis
    /// Cluster. Unset: this node runs standalone.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "credentials", "x-secret" = true, "x-kind" = "url", "x-schemes" = ["redis://", "rediss://"]))]
    pub redis_url: Option<SecretString>,

    /// CA certificates (PEM) that verify the certificate of Redis under `rediss://`. Unset: those the system trusts.
    #[schemars(extend("x-reload" = "restart"))]
    pub tls_ca_file: Option<PathBuf>,

    /// Prefix of every channel and key in Redis. Nodes exchange messages only with nodes of the same prefix.
    #[schemars(extend("x-reload" = "restart"))]
    pub prefix: String,

    /// Timeout for connecting to Redis and for each of its replies.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms"))]
    pub timeout: Duration,

    /// Longest time that a connection to Redis is idle before it is pinged. A proxy or load balancer in between, and
    /// Redis itself with its `timeout`, close idle connections: this has to be shorter than their limit.
    /// A connection that does not reply within `timeout` is considered lost.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms"))]
    pub keep_alive: Duration,

    /// How long the first join of a room on this node may wait until the room is subscribed to on Redis. After
    /// that it is answered nevertheless.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart"))]
    pub subscribe_timeout: Duration,

    /// How long a room stays subscribed to after its last member on this node has left, so that a client that
    /// comes back at once finds its presence complete.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart"))]
    pub linger: Duration,

    /// A node that does not renew its lease for this long is considered dead: the presence of its clients is removed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms"))]
    pub lease: Duration,

    /// Bytes of presence that the rooms of one tenant on this node may store in Redis. A room that does not fit is shown on
    /// its own node only, until it does. Redis needs memory for about twice the bytes of all tenants and nodes together.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "restart", "x-min" = "1 KiB"))]
    pub max_presence_bytes_per_tenant: ByteSize,

    /// Messages that may be queued for the other nodes, and as many received ones. A tenant can use what is left free:
    /// half of the queue alone, a third when two need it. What exceeds that is dropped and counted for this tenant; the
    /// others keep their room, and take turns.
    #[schemars(extend("x-reload" = "restart"))]
    pub max_frames: NonZeroU32,

    /// Bytes that may be queued for the other nodes, and as many received ones; shared in the same way. Each message counts
    /// for 256 bytes more than it has. Both queues are taken from `server.memory_budget`, and have a sixteenth of it each
    /// at most.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "restart", "x-min" = "1 KiB"))]
    pub max_bytes: ByteSize,
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            redis_url: None,
            tls_ca_file: None,
            prefix: "realtime".into(),
            timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(3),
            subscribe_timeout: Duration::from_secs(1),
            linger: Duration::from_secs(2),
            lease: Duration::from_secs(15),
            max_presence_bytes_per_tenant: ByteSize::mib(512),
            max_frames: NonZeroU32::new(65_536).expect("not zero"),
            max_bytes: ByteSize::mib(64),
        }
    }
}
