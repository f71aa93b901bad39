//! `[server]`: the listener. Addresses, connection limits, timeouts and shutdown.

mod internal;

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::internal::InternalListener;
use crate::{marks, parse_network, units};

/// The listener: addresses, connection limits, timeouts and shutdown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to bind: an IPv4 or IPv6 address of this machine, `0.0.0.0` or `::` for all.
    #[schemars(extend("x-reload" = "restart"))]
    pub host: IpAddr,

    /// TCP port to bind; 0 takes a free one.
    #[schemars(extend("x-reload" = "restart"))]
    pub port: u16,

    /// The address by which clients reach this server, such as `wss://realtime.example.com`, when it runs
    /// behind a proxy or load balancer. Shown at the start and in `/status`, and given to clients of y-sweet.
    #[schemars(extend("x-reload" = "live", "x-kind" = "url", "x-schemes" = ["http://", "https://", "ws://", "wss://"]))]
    pub public_url: Option<String>,

    /// Certificate and key, to serve TLS without a proxy in front.
    pub tls: Tls,

    /// A second listener, for operators and the programs that watch the server: without TLS, and without PROXY protocol.
    pub internal: InternalListener,

    /// Networks of load balancers that send a PROXY protocol header (v1 or v2), such as `10.0.0.0/8`. A connection
    /// from there must begin with the header; a header from elsewhere is refused.
    #[schemars(with = "Vec<marks::NetworkText>", extend("x-reload" = "restart"))]
    pub proxy_protocol_from: Vec<String>,

    /// The tenant that `[auth]` and `[limits]` configure, and that a client belongs to if it names none. While `[auth]` has no
    /// key and `seed.tenant` is set, clients belong to that one, and this one does not exist.
    #[schemars(extend("x-reload" = "restart", "x-kind" = "tenant"))]
    pub default_tenant: String,

    /// Whether a client whose host name begins with an unknown tenant is refused (404), instead of belonging to the
    /// default one. A client that names an unknown tenant explicitly (`x-tenant`, `tenant`) is refused in any case.
    #[schemars(extend("x-reload" = "live"))]
    pub strict_host: bool,

    /// Maximum of concurrent WebSocket connections from one client address. Unset: `max_connections`. Behind a load
    /// balancer without PROXY protocol all clients have the same address (`unlimited_addresses`).
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections_per_address: Option<NonZeroUsize>,

    /// Requests, handshakes and joins per second from one client address whose token no key of the tenant has signed
    /// (at `/status`, `/admin/…` and `/metrics`, no secret of operators), in a bucket of ten seconds. Beyond it, they
    /// are refused without examining their token, with 429 or `AddressRateLimitReached`; only tokens that this server
    /// has verified before are still accepted from that address. Behind a load balancer without PROXY protocol all
    /// clients have the same address (`unlimited_addresses`).
    #[schemars(extend("x-reload" = "live"))]
    pub max_unverified_requests_per_second: NonZeroU32,

    /// Handshakes and requests of all tenants that may wait while the key of their token is fetched (`auth.jwks_url`). A
    /// tenant gets at most half of them, less while others use some. Further ones are answered with 503.
    #[schemars(extend("x-reload" = "live"))]
    pub max_waiting_for_keys: NonZeroUsize,

    /// Maximum of TCP connections from one client address that are not WebSockets: those that wait for a request, and
    /// those with one. Further ones are answered with 503, except to health checks (`reserved_sockets`). Unset: a quarter
    /// of all such connections, of which there may be `max_connections` and 1,024 more, less the open WebSockets.
    #[schemars(extend("x-reload" = "live"))]
    pub max_sockets_per_address: Option<NonZeroUsize>,

    /// Networks without limits per address, such as that of an HTTP proxy through which all clients connect:
    /// `10.0.0.0/8`, or a single address.
    #[schemars(with = "Vec<marks::NetworkText>", extend("x-reload" = "live"))]
    pub unlimited_addresses: Vec<String>,

    /// Bits of an IPv6 address that identify one client. A single machine usually has a whole /64 to choose addresses
    /// from, a customer of some providers a /56 or /48.
    #[schemars(range(min = 16, max = 64), extend("x-reload" = "live"))]
    pub ipv6_prefix_length: u8,

    /// TCP connections, beyond all others, that are reserved for health checks: `/`, `/health`, `/healthcheck`,
    /// `/ready`, `/readyz` and `/metrics`. A connection above the other limits has one of them until its request has been read, and
    /// any other request is answered with 503. One client address has a quarter of them.
    #[schemars(extend("x-reload" = "live"))]
    pub reserved_sockets: NonZeroUsize,

    /// Time within which the request must arrive on a reserved connection, instead of `handshake_timeout`. As long again
    /// may the PROXY protocol header and the TLS handshake take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub reserved_timeout: Duration,

    /// The entry of the W3C `baggage` header that names a request, for `x-request-id` and the logs.
    #[schemars(extend("x-reload" = "live"))]
    pub request_id_baggage_key: String,

    /// Maximum of concurrent WebSocket connections, of all tenants. Further handshakes are answered with 503.
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections: NonZeroUsize,

    /// Percent of the free connections that one tenant may have while no other has any; the more tenants have some, the
    /// less each gets. So with 90, one tenant gets nine tenths of `max_connections`, and the next one nine tenths of what
    /// is left. Further handshakes are answered with 429. 100: no such limit.
    #[schemars(range(min = 1, max = 100), extend("x-reload" = "live"))]
    pub max_connections_percent_per_tenant: u8,

    /// Limit of open files that this process requests; every connection is one. Unset: as many as the system allows. If
    /// there are too few for `max_connections`, 1,024 more, `reserved_sockets` and `internal.max_connections`, only as many connections are accepted as
    /// there are files for: 64 and 4 for each thread are kept for other purposes, and a quarter of the connections, but no
    /// more than 1,024, for those that are not WebSockets.
    #[schemars(extend("x-reload" = "restart"))]
    pub open_files: Option<NonZeroU64>,

    /// Threads that serve connections. Unset: as many as there are processors that this process may use.
    #[schemars(extend("x-reload" = "restart"))]
    pub worker_threads: Option<NonZeroUsize>,

    /// What the kernel may hold of one connection that is sent and not yet received by the client, in bytes; Linux counts
    /// its own records too and doubles the number. A client that does not read costs this in addition to its outbox.
    /// It bounds how much a connection can have on the way: 256 KiB allow 20 Mbit/s over 100 ms. The system allows no
    /// more than `net.core.wmem_max`.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "restart", "x-min" = "8 KiB", "x-max" = "64 MiB"))]
    pub send_buffer_size: ByteSize,

    /// What the kernel may hold of one connection that a client has sent and this server has not yet read, in bytes; Linux
    /// counts its own records too and doubles the number. The server stops reading while a large message waits for memory
    /// or while a client does not read its own messages; the client costs this then. It bounds how fast one connection can
    /// send: 256 KiB allow 40 Mbit/s over 50 ms. The system allows no more than `net.core.rmem_max`.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "restart", "x-min" = "8 KiB", "x-max" = "64 MiB"))]
    pub receive_buffer_size: ByteSize,

    /// What the kernel may hold for all connections together, in bytes. It is charged to the container, beside the memory of
    /// this process. The less of it is left, the smaller are the buffers that a new connection gets: a 1,024th of what is left
    /// for both, up to twice `send_buffer_size` and `receive_buffer_size`. Each has 128 KiB in any case, so 1,000 connections
    /// may have 256 MB beyond this. Unset: half of `memory_budget`.
    #[serde(with = "units::optional_size")]
    #[schemars(with = "Option<marks::SizeText>", extend("x-reload" = "connection"))]
    pub socket_buffer_budget: Option<ByteSize>,

    /// Maximum size of a request head: request line and all headers. A longer one is refused. The default is double
    /// the 16 KiB that a single header with a large token may take. At least 8 KiB.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "restart", "x-min" = "8 KiB", "x-max" = "16 MiB"))]
    pub max_header_size: ByteSize,

    /// Time within which the whole request head must arrive; after that the connection is closed. As long again may the
    /// PROXY protocol header and the TLS handshake take together.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub handshake_timeout: Duration,

    /// How long a connection without an active request stays open for the next one. While no further connection could be
    /// accepted, those of the addresses with the most are closed earlier. Set it longer than the idle
    /// timeout of a load balancer (often 60 s), which otherwise may send a request on a connection that is just being
    /// closed, and answer 502.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub keep_alive_timeout: Duration,

    /// Pause before a refused handshake is answered, to slow down clients that retry at once. Delays
    /// no other connection. 0s answers at once.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub connect_error_backoff: Duration,

    /// Pause before a refused join is answered. Delays nothing else on that socket. 0s answers at once.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub channel_error_backoff: Duration,

    /// Maximum of refused handshakes of the whole process that wait for their answer; further ones are answered
    /// without the pause. One client address gets at most half of them.
    #[schemars(extend("x-reload" = "live"))]
    pub max_pending_refusals: NonZeroUsize,

    /// How long a join may wait for its authorisation, its turn among the tasks of its connection included. After that it
    /// is refused with `UnableToConnectToProject`. As long it may then wait for the earlier messages that it asks for; after
    /// that it is refused with `UnableToReplayMessages`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub authorization_timeout: Duration,

    /// Tasks of one connection that may be at work at once, such as the authorisation of a join. Further ones wait for
    /// their turn.
    #[schemars(extend("x-reload" = "connection"))]
    pub max_tasks_per_connection: NonZeroUsize,

    /// Messages of one connection that are held while the join of their topic waits for its authorisation. Further ones
    /// are refused.
    #[schemars(extend("x-reload" = "live"))]
    pub max_held_messages: NonZeroUsize,

    /// Bytes of the messages of one connection that are held while the join of their topic waits for its authorisation. A
    /// single message is held whatever its size.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_held_bytes: ByteSize,

    /// The server pings a client after this long without any data from it, and repeats the ping at this interval, so
    /// that no proxy in between closes an idle connection. A browser answers pings even in a throttled tab. Must be
    /// shorter than `idle_timeout`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub ping_interval: Duration,

    /// Time without any byte from a client after which its connection is closed with 1013; clients reconnect.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub idle_timeout: Duration,

    /// How long a connection may stay open without having joined a room before it is closed with 1013.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub no_channel_timeout: Duration,

    /// How long to wait for a client to answer a close frame before the connection is aborted.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub close_timeout: Duration,

    /// Maximum size of one WebSocket message from a client; a longer one closes its connection with 1009.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "connection", "x-min" = "1 KiB", "x-max" = "1 GiB"))]
    pub max_frame_size: ByteSize,

    /// Size of the buffer with which a connection reads. Connections that have received a whole message have none; it grows
    /// for larger messages while they are read. 256 B to 1 MiB.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "connection", "x-min" = "256 B", "x-max" = "1 MiB"))]
    pub read_buffer_size: ByteSize,

    /// Memory that this process may use. What clients cause beyond it is refused: large messages to their sender, frames
    /// for clients that read slowly. Unset: half of the memory limit of the container, or of the machine's memory if that
    /// has none. 24 MiB of it are for the process itself, `telemetry.log_queue_bytes` for its log, and with `bus.redis_url`
    /// twice `bus.max_bytes` and 10 MiB for what goes to and comes from other nodes; a quarter of the rest is for freed memory
    /// that the allocator keeps. Whatever these take, clients have a quarter of what the process leaves.
    #[serde(with = "units::optional_size")]
    #[schemars(with = "Option<marks::SizeText>", extend("x-reload" = "live", "x-min" = "64 MiB"))]
    pub memory_budget: Option<ByteSize>,

    /// Percent of the free memory of the budget that one tenant may use while no other uses any; the more tenants use
    /// some, the less each gets. So with 75, one tenant gets three quarters, and two get three sevenths each. A quarter of
    /// the budget is reserved for connections, and counts as used.
    #[schemars(range(min = 1, max = 99), extend("x-reload" = "live"))]
    pub max_memory_percent_per_tenant: u8,

    /// Time within which a WebSocket message of more than 16 KiB must arrive completely, its wait for free memory
    /// included. After that it is refused, and the connection stays open. HTTP bodies have `handshake_timeout`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "connection", "x-min" = "1ms"))]
    pub large_message_timeout: Duration,

    /// Directory for the server's own files, such as the secret of `serve --dev` and the addresses that
    /// `realtime-server health` asks. Relative paths start at the working directory. One server locks it at a time; a
    /// second one exits with an error.
    #[schemars(extend("x-reload" = "restart"))]
    pub data_dir: PathBuf,

    /// How long the server continues as before when it is asked to stop (SIGTERM), while `/readyz` answers 503, so that
    /// load balancers stop sending new clients.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub drain_delay: Duration,

    /// Period over which clients are then disconnected (1012), so that they do not all reconnect at once.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub drain_timeout: Duration,

    /// Time that the last connections have to finish after that; then they are aborted.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub shutdown_timeout: Duration,
}

impl Server {
    /// Whether limits per address do not apply to `address`.
    pub fn is_unlimited(&self, address: IpAddr) -> bool {
        let mut networks = self.unlimited_addresses.iter().filter_map(|network| parse_network(network).ok());
        networks.any(|network| network.contains(&address))
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 8080,
            public_url: None,
            tls: Tls::default(),
            internal: InternalListener::default(),
            proxy_protocol_from: Vec::new(),
            default_tenant: "default".into(),
            strict_host: false,
            max_connections_per_address: None,
            max_unverified_requests_per_second: NonZeroU32::new(100).expect("not zero"),
            max_waiting_for_keys: NonZeroUsize::new(1024).expect("not zero"),
            max_sockets_per_address: None,
            unlimited_addresses: Vec::new(),
            ipv6_prefix_length: 64,
            reserved_sockets: NonZeroUsize::new(64).expect("not zero"),
            reserved_timeout: Duration::from_secs(1),
            request_id_baggage_key: "request-id".into(),
            max_connections: NonZeroUsize::new(16_384).expect("not zero"),
            max_connections_percent_per_tenant: 90,
            open_files: None,
            worker_threads: None,
            send_buffer_size: ByteSize::kib(256),
            receive_buffer_size: ByteSize::kib(256),
            socket_buffer_budget: None,
            max_header_size: ByteSize::kib(32),
            handshake_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            connect_error_backoff: Duration::from_secs(1),
            channel_error_backoff: Duration::ZERO,
            max_pending_refusals: NonZeroUsize::new(1024).expect("not zero"),
            authorization_timeout: Duration::from_secs(10),
            max_tasks_per_connection: NonZeroUsize::new(8).expect("not zero"),
            max_held_messages: NonZeroUsize::new(64).expect("not zero"),
            max_held_bytes: ByteSize::mib(1),
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            no_channel_timeout: Duration::from_secs(600),
            close_timeout: Duration::from_secs(5),
            max_frame_size: ByteSize::b(5_000_000),
            read_buffer_size: ByteSize::kib(1),
            memory_budget: None,
            max_memory_percent_per_tenant: 75,
            large_message_timeout: Duration::from_secs(30),
            data_dir: PathBuf::from("data"),
            drain_delay: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// Certificate and key. Both or none; the files are watched, and a new certificate is used from the next handshake on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// File with the certificate chain (PEM): the server's certificate first, then those of its issuers.
    #[schemars(extend("x-reload" = "restart"))]
    pub cert_file: Option<PathBuf>,

    /// File with the private key of the certificate (PEM).
    #[schemars(extend("x-reload" = "restart"))]
    pub key_file: Option<PathBuf>,
}
