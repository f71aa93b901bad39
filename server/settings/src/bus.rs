//! `[bus]`: how nodes hear each other.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// How nodes hear each other. Without Redis a node is alone, and does its work in full.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bus {
    /// Redis (6 or later, or Valkey) by which the nodes hear each other: `redis://user:password@host:6379/0`,
    /// `rediss://` for TLS. One server, or an address that follows the primary through failovers; not a Redis
    /// Cluster. Unset: this node is alone.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true, "x-kind" = "url", "x-schemes" = ["redis://", "rediss://"]))]
    pub redis_url: Option<SecretString>,

    /// CA certificates (PEM) by which the certificate of Redis is verified under `rediss://`. Unset: those the system
    /// trusts.
    #[schemars(extend("x-reload" = "restart"))]
    pub tls_ca_file: Option<PathBuf>,

    /// What every channel and key of ours in Redis begins with. Nodes hear each other only under the same one.
    #[schemars(extend("x-reload" = "restart"))]
    pub prefix: String,

    /// How long connecting to Redis, or waiting for its answer, may take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms"))]
    pub timeout: Duration,

    /// How often each connection to Redis is used at the latest. A proxy or load balancer in between, and Redis
    /// itself with `timeout`, close connections that are idle for longer than they allow: this has to be shorter.
    /// A connection that does not answer within `timeout` is taken for lost.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms"))]
    pub keep_alive: Duration,

    /// How long the first join of a room on this node may wait until messages of the other nodes reach it.
    /// Later it is answered all the same.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart"))]
    pub subscribe_timeout: Duration,

    /// How long a room is listened to after its last member on this node has left: whoever comes right back
    /// finds it as it was.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart"))]
    pub linger: Duration,

    /// A node not heard of for this long is taken for dead: what its clients showed in presence leaves.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms"))]
    pub lease: Duration,

    /// Messages that may wait on their way to the other nodes. What does not fit is dropped for them, and
    /// counted.
    #[schemars(extend("x-reload" = "restart"))]
    pub max_frames: NonZeroU32,

    /// Bytes that may wait on their way to the other nodes.
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
            max_frames: NonZeroU32::new(65_536).expect("not zero"),
            max_bytes: ByteSize::mib(64),
        }
    }
}
