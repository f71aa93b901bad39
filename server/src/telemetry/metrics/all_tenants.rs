//! What is measured of all tenants together, also of those whose own series are left out.
//!
//! What a tenant has a counter for is counted in both by one handle, so it is counted once in the code.

use std::time::Duration;

use metrics::{Counter, Histogram, Label, Recorder};
use settings::MetricsFormat;

use super::migrations::Migrations;
use crate::telemetry::fan_out::combined;
use crate::telemetry::runtime_names::BeamBytes;

metrics! {
    /// Sums over all tenants.
    pub struct TotalMetrics {
        /// Joins that passed the join limit, of all tenants.
        pub joins: Counter = "realtime_channel_global_joins",
        /// Broadcasts accepted from clients, HTTP and databases, plus every delivery to a member, of all tenants.
        pub events: Counter = "realtime_channel_global_events",
        /// Presence calls accepted, plus every presence message delivered to a member, of all tenants.
        pub presence_events: Counter = "realtime_channel_global_presence_events",
        /// Changes of tables sent to channels, once for each of their subscriptions that match, of all tenants.
        pub db_events: Counter = "realtime_channel_global_db_events",
        /// Bytes read from sockets, of all tenants.
        pub input_bytes: Counter = "realtime_channel_global_input_bytes",
        /// Bytes written to sockets, of all tenants.
        pub output_bytes: Counter = "realtime_channel_global_output_bytes",
    }
}

metrics! {
    /// Sizes of messages of one type; each carries the label `message_type`.
    pub struct PayloadMetrics {
        /// Size of the payloads of messages of all tenants, in bytes: of broadcasts and presence as they are received, of changes of tables as they are sent.
        pub size: Histogram = "realtime_payload_size",
    }
}

metrics! {
    /// Deliveries of messages of other nodes; each carries the label `hit`.
    pub struct NodeDeliveryMetrics {
        /// Messages received from other nodes for rooms of this node, of all tenants: hit is true if a member was there to receive them.
        pub deliveries: Counter = "realtime_broadcast_global_fanout_node_delivery_total",
    }
}

metrics! {
    /// How long it takes to send broadcasts to a room.
    pub struct FanOutMetrics {
        /// Time until broadcasts that a client sent at once were queued for all members on this node, in seconds.
        pub duration: Histogram = "realtime_broadcast_fanout_duration_seconds",
    }
}

metrics! {
    /// What clients send to channels; each carries the label `endpoint`.
    pub struct ChannelMetrics {
        /// Time until what a client sent to a channel was handled, in milliseconds: presence, a token, or broadcasts that it sent at once, until these were queued for all members on this node.
        pub handled_in: Histogram = "phoenix_channel_handled_in_duration_milliseconds",
    }
}

metrics! {
    /// Joins with one outcome; each carries the label `result`.
    pub struct JoinMetrics {
        /// Time from a join until its answer was queued, in seconds, the wait for its authorization included. A refusal may be sent later (server.channel_error_backoff).
        pub duration: Histogram = "realtime_join_duration_seconds",
    }
}

metrics! {
    /// The same under upstream's name; each carries the labels `result`, `transport` and `endpoint`.
    pub struct JoinedMetrics {
        /// Joins that were answered, by their result.
        pub joins: Counter = "phoenix_channel_joined_total",
    }
}

metrics! {
    /// Handshakes; each carries the labels `result`, `transport`, `endpoint` and `serializer`.
    pub struct HandshakeMetrics {
        /// Time until a WebSocket handshake was accepted or refused, in milliseconds. A refusal may be sent later (server.connect_error_backoff).
        pub duration: Histogram = "phoenix_socket_connected_duration_milliseconds",
    }
}

/// What a message is, in the label `message_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// From a client, over HTTP or from a database.
    Broadcast,
    /// What a client tracks.
    Presence,
    /// A change of a table.
    PostgresChanges,
}

impl MessageType {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// All of them, in the order of their values.
    pub(super) const ALL: [Self; Self::COUNT] = [Self::Broadcast, Self::Presence, Self::PostgresChanges];

    /// The label.
    pub(super) fn label(self) -> Label {
        Label::new(
            "message_type",
            match self {
                Self::Broadcast => "broadcast",
                Self::Presence => "presence",
                Self::PostgresChanges => "postgres_changes",
            },
        )
    }
}

/// Whether a message of another node had a receiver, in the label `hit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// At least one member.
    Received,
    /// None.
    Unreceived,
}

impl Hit {
    /// Both, in the order of their values.
    pub(super) const ALL: [Self; 2] = [Self::Received, Self::Unreceived];

    /// The label.
    pub(super) fn label(self) -> Label {
        Label::new("hit", if self == Self::Received { "true" } else { "false" })
    }
}

/// What came of a join or a handshake, in the label `result`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It was accepted.
    Ok,
    /// It was refused.
    Error,
}

impl Answered {
    const ALL: [Self; 2] = [Self::Ok, Self::Error];

    fn label(self) -> Label {
        Label::new("result", if self == Self::Ok { "ok" } else { "error" })
    }
}

/// What is measured of all tenants together.
pub struct CommonMetrics {
    /// Sums over all tenants.
    pub(super) totals: TotalMetrics,
    payloads: [PayloadMetrics; MessageType::COUNT],
    deliveries: [NodeDeliveryMetrics; 2],
    fan_out: FanOutMetrics,
    channels: ChannelMetrics,
    joins: [(JoinMetrics, JoinedMetrics); 2],
    handshakes: [[HandshakeMetrics; 2]; 2],
    /// How schemas in databases of tenants are made.
    pub migrations: Migrations,
}

impl CommonMetrics {
    pub(super) fn register(recorder: &impl Recorder, format: MetricsFormat) -> Self {
        // Upstream's dashboards select by these.
        let endpoint = || Label::new("endpoint", "RealtimeWeb.Endpoint");
        let transport = || Label::new("transport", "websocket");
        let joined = |outcome: Answered| {
            let labels = [outcome.label(), transport(), endpoint()];
            (JoinMetrics::register(recorder, &[outcome.label()]), JoinedMetrics::register(recorder, &labels))
        };
        let connected = |outcome: Answered| {
            ["Phoenix.Socket.V1.JSONSerializer", "Phoenix.Socket.V2.JSONSerializer"].map(|serializer| {
                let serializer = Label::new("serializer", serializer);
                HandshakeMetrics::register(recorder, &[outcome.label(), transport(), endpoint(), serializer])
            })
        };
        let mut totals = TotalMetrics::register(recorder, &[]);
        if format == MetricsFormat::Supabase {
            let [input, output] = ["input", "output"]
                .map(|kind| BeamBytes::register(recorder, &[Label::new("type", kind)]).bytes);
            totals.input_bytes = combined(&totals.input_bytes, &input);
            totals.output_bytes = combined(&totals.output_bytes, &output);
        }
        Self {
            totals,
            payloads: MessageType::ALL.map(|kind| PayloadMetrics::register(recorder, &[kind.label()])),
            deliveries: Hit::ALL.map(|hit| NodeDeliveryMetrics::register(recorder, &[hit.label()])),
            fan_out: FanOutMetrics::register(recorder, &[]),
            channels: ChannelMetrics::register(recorder, &[endpoint()]),
            joins: Answered::ALL.map(joined),
            handshakes: Answered::ALL.map(connected),
            migrations: Migrations::register(recorder),
        }
    }

    /// Sizes of messages of this type.
    pub(super) fn payload_size(&self, kind: MessageType) -> &Histogram {
        &self.payloads[kind as usize].size
    }

    /// Messages of other nodes.
    pub(super) fn deliveries(&self, hit: Hit) -> &Counter {
        &self.deliveries[hit as usize].deliveries
    }

    /// Notes how long it took to send broadcasts to a room.
    pub fn note_fan_out(&self, took: Duration) {
        self.fan_out.duration.record(took.as_secs_f64());
    }

    /// Notes how long it took to handle what a client has sent to a channel.
    pub fn note_handled(&self, took: Duration) {
        self.channels.handled_in.record(milliseconds(took));
    }

    /// Notes a join that was answered.
    pub fn note_join(&self, outcome: Answered, took: Duration) {
        let (own, upstreams) = &self.joins[outcome as usize];
        own.duration.record(took.as_secs_f64());
        upstreams.joins.increment(1);
    }

    /// Notes a handshake that was decided, of a client with this version of the serializer.
    pub fn note_handshake(&self, outcome: Answered, dialect: hub::Dialect, took: Duration) {
        let [v1, v2] = &self.handshakes[outcome as usize];
        let metrics = if dialect == wire::phoenix::V1 { v1 } else { v2 };
        metrics.duration.record(milliseconds(took));
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}
