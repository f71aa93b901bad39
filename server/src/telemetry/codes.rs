//! Operational codes, by which operators search logs and clients recognise errors.
//!
//! One table. A condition of Supabase Realtime has its code, level and text
//! (docs/protocol/operations.md#operational-codes); one that exists only here («Ours») has a code of its own. The
//! server sends and logs no code that is not in this table.

use std::fmt;

/// How severe a condition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something is broken that an operator has to look at. In the log as an error.
    Error,
    /// A client is refused, or loses something, for a reason of its own. In the log as a warning, although upstream
    /// logs most of them as errors: an operator who is paged for errors must not be paged for a client's bad token.
    /// Counted among the errors of channels, as upstream counts them.
    ClientError,
    /// Unusual or expected, and harmless. In the log as a warning.
    Warning,
}

/// Where a code is sent or logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A refused WebSocket handshake: an HTTP status, and the text in the body.
    Handshake,
    /// A refused join: `Code: text` is the reply's reason.
    Join,
    /// A joined channel: the text is in a `system` message, or in the reply to a push.
    Channel,
    /// An HTTP response.
    Http,
    /// The log only; no client gets it.
    Log,
}

macro_rules! codes {
    ($(
        $(#[doc = $meaning:literal])+
        $code:ident: $severity:ident, [$($scope:ident),+], $text:literal $(, limit $limit:literal)?;
    )+) => {
        /// An operational code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $( $(#[doc = $meaning])+ $code, )+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$( Self::$code, )+];

            /// The code as it is sent and logged.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$code => stringify!($code), )+ }
            }

            /// How severe the condition is.
            pub const fn severity(self) -> Severity {
                match self { $( Self::$code => Severity::$severity, )+ }
            }

            /// Where the code is sent or logged.
            pub const fn scopes(self) -> &'static [Scope] {
                match self { $( Self::$code => &[$( Scope::$scope, )+], )+ }
            }

            /// The text sent or logged with it. Where that varies, an example with the variable parts in angle brackets.
            pub const fn text(self) -> &'static str {
                match self { $( Self::$code => $text, )+ }
            }

            /// The setting whose limit is reached, if the code stands for that.
            pub const fn limit(self) -> Option<&'static str> {
                match self { $( Self::$code => codes!(@limit $($limit)?), )+ }
            }

            /// The condition it stands for.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$code => concat!($($meaning),+), )+ }
            }
        }
    };
    (@limit) => { None };
    (@limit $key:literal) => { Some($key) };
}

codes! {
    // Connecting and joining.

    /// A request without a token, in a header or a parameter.
    MissingAPIKey: ClientError, [Handshake, Http], "API key is missing";
    /// The named tenant does not exist, or was removed since.
    TenantNotFound: ClientError, [Handshake, Join, Http], "Tenant not found";
    /// A tenant cannot be read or written, because the store cannot be reached or rejects it. Ours.
    TenantLookupFailed: Error, [Handshake, Http], "The tenant cannot be looked up now, try again later";
    /// The tenant is suspended.
    RealtimeDisabledForTenant: ClientError, [Handshake, Join, Http], "Realtime disabled for this tenant";
    /// A handshake with a token that is refused for any reason without a code of its own there, such as its
    /// signature.
    ErrorConnectingToWebsocket: ClientError, [Handshake], "<why the token is refused>";
    /// A handshake asks for an unknown version of the serializer. Ours.
    UnsupportedProtocolVersion: ClientError, [Handshake], "<nothing>";
    /// A request to the path of the WebSocket that is no handshake by RFC 6455. Ours.
    NotAWebSocketHandshake: ClientError, [Handshake], "<why>";
    /// The path of a request does not exist. Ours.
    PathNotFound: ClientError, [Http], "Not Found";
    /// The token is not a JWT.
    MalformedJWT: ClientError, [Handshake, Join, Channel, Http], "The token provided is not a valid JWT";
    /// The token was signed with another key.
    JwtSignatureError: ClientError, [Join, Channel, Http], "Failed to validate JWT signature";
    /// There is no key for the algorithm and the key id that the token names.
    JwtSignerError: ClientError, [Join, Channel, Http], "Failed to generate JWT signer<for a key id>, check your JWT secret or JWKS configuration";
    /// The key that signed the token was removed. Ours.
    JwtKeyRevoked: Warning, [Join, Channel, Http], "The key that signed this token is no longer accepted";
    /// The token has expired, lacks a claim, or has an invalid one.
    InvalidJWTToken: Warning, [Handshake, Join, Channel, Http], "Token has expired <n> seconds ago";
    /// The tenant has `limits.max_concurrent_users` already.
    ConnectionRateLimitReached: ClientError, [Handshake, Join], "Too many connected users", limit "limits.max_concurrent_users";
    /// The tenant has `limits.max_connections` already. Ours.
    TenantConnectionLimitReached: ClientError, [Handshake], "Too many connected users", limit "limits.max_connections";
    /// The tenant has `server.max_connections_percent_per_tenant` of the connections that others leave free. Ours.
    TenantConnectionShareReached: ClientError, [Handshake], "Too many connected users", limit "server.max_connections_percent_per_tenant";
    /// This server has `server.max_connections` already. Ours.
    ServerConnectionLimitReached: ClientError, [Handshake, Http], "Too many connections", limit "server.max_connections";
    /// The client's address has `server.max_connections_per_address` already. Ours.
    AddressConnectionLimitReached: ClientError, [Handshake], "Too many connections from this address", limit "server.max_connections_per_address";
    /// The client's address has `server.max_sockets_per_address` already. Ours.
    AddressSocketLimitReached: ClientError, [Http], "Too many connections from this address that are not WebSockets", limit "server.max_sockets_per_address";
    /// The internal listener has `server.internal.max_connections` already, none of which waits for a request. Ours.
    InternalConnectionLimitReached: ClientError, [Http], "Too many connections to the internal port", limit "server.internal.max_connections";
    /// There is no memory for a further connection (`server.memory_budget`). Ours.
    ConnectionMemoryLimitReached: ClientError, [Handshake, Http], "Memory for connections is used up, try again later", limit "server.memory_budget";
    /// Clients have not received earlier responses with this page, such as `/metrics`. Ours.
    UnreadPageLimitReached: ClientError, [Http], "Too many responses with this page have not been received";
    /// Callers without a valid token from this address are over `server.max_unverified_requests_per_second`. Ours.
    AddressRateLimitReached: ClientError, [Handshake, Join, Channel, Http], "Too many requests without a valid token from this address", limit "server.max_unverified_requests_per_second";
    /// The key of the token may be among those that are being fetched, and `auth.jwks_max_waiting` tokens wait for them, of
    /// which its address has a share. Ours.
    JwksWaitLimitReached: ClientError, [Handshake, Http], "Too many tokens wait for the keys of this tenant", limit "auth.jwks_max_waiting";
    /// As `JwksWaitLimitReached`, but with the tenant's share of what `server.max_waiting_for_keys` leaves. Ours.
    ServerJwksWaitLimitReached: ClientError, [Handshake, Http], "Too many tokens wait for keys", limit "server.max_waiting_for_keys";
    /// A handshake while `limits.max_joins_per_second` is used up.
    JoinsRateLimitReached: ClientError, [Handshake], "Too many joins per second", limit "limits.max_joins_per_second";
    /// A join while `limits.max_joins_per_second` is used up.
    ClientJoinRateLimitReached: ClientError, [Join, Channel], "Too many joins per second", limit "limits.max_joins_per_second";
    /// This connection has `limits.max_channels_per_client` already.
    ChannelRateLimitReached: ClientError, [Join], "Too many channels", limit "limits.max_channels_per_client";
    /// The topic is `realtime:` without a name.
    TopicNameRequired: ClientError, [Join], "You must provide a topic name";
    /// The topic is longer than a frame can carry. Ours.
    TopicNameTooLong: ClientError, [Join], "A topic name has at most 255 bytes";
    /// Parts of the join's payload are of the wrong type. The join continues without them, unless they make a channel
    /// private.
    InvalidJoinPayload: ClientError, [Join, Log], "<what is wrong>";
    /// The presence key of a join is longer than `presence.max_key_bytes`. Ours.
    PresenceKeySizeExceeded: ClientError, [Join], "The presence key is too long", limit "presence.max_key_bytes";
    /// A join of, or a message to, a public channel of a tenant that allows private ones only.
    PrivateOnly: ClientError, [Join, Channel, Http], "This project only allows private channels";
    /// The server is about to stop.
    RealtimeRestarting: ClientError, [Join], "Realtime is restarting, please standby";
    /// A private channel or message, replay or changes, while the database of the tenant cannot be reached, or of a tenant
    /// without one.
    UnableToConnectToProject: ClientError, [Join, Channel, Http, Log], "Realtime was unable to connect to the project database";
    /// The database of a tenant cannot be connected to. Logged when that begins and repeatedly until it ends.
    UnableToConnectToTenantDatabase: Error, [Log], "<why>";
    /// The database of a tenant accepts too few connections beside those that there are.
    DatabaseLackOfConnections: Error, [Join, Http, Log], "Database can't accept more connections, Realtime won't connect";
    /// All connections to the database of a tenant (`database.max_connections`) are in use, and none was free within
    /// `database.acquire_timeout`.
    IncreaseConnectionPool: ClientError, [Join, Http, Log], "Please increase your connection pool size", limit "database.max_connections";
    /// The policies of a private channel do not allow what a client does.
    Unauthorized: ClientError, [Join, Channel, Http], "You do not have permissions to read from this Channel topic: <topic>";
    /// A policy of a private channel, or of a table with subscribers, fails, or the role of the token does not exist; it counts
    /// as a denial.
    RlsPolicyError: ClientError, [Log, Http], "<what the database says>";
    /// The database has cancelled the question for a client's rights, because it took longer than `database.query_timeout`.
    QueryCanceled: ClientError, [Join, Channel, Http, Log], "Query was cancelled, please try again";
    /// The table `realtime.messages` has no partition for today.
    MissingPartition: Error, [Join, Http, Log], "Realtime was unable to find the expected messages partition";
    /// A row of `realtime.messages` is not sent to its room.
    UnableToBroadcastChanges: ClientError, [Log], "<why>";
    /// The write-ahead log of a tenant's database cannot be read, so broadcasts from SQL, or changes of tables, are not sent.
    StartReplicationFailed: Error, [Log], "<why>";
    /// The database accepts no further WAL sender or replication slot.
    ReplicationMaxWalSendersReached: Error, [Log], "<what the database says>";
    /// The database does not answer in time while its write-ahead log is to be read.
    ReplicationConnectionTimeout: Error, [Log], "<why>";
    /// The session that reads the write-ahead log has ended. It is opened again, and what was written meanwhile is lost.
    ReplicationConnectionDown: Warning, [Log], "<why>";
    /// The replication slot is not active although its session is.
    ReplicationSlotNotAlive: Error, [Log], "<which slot>";
    /// The replication slot is so far behind that the database may drop what it has not read.
    ReplicationSlotLagTooHigh: Error, [Log], "<how far>";
    /// The replication slot could not be looked at.
    ReplicationSlotCheckSkipped: Warning, [Log], "<why>";
    /// Changes of tables are not kept while no node reads them (`changes.durable`): the database does not limit what a slot may
    /// retain, or has no slot for it. Ours.
    DurableSlotRefused: Warning, [Log], "<why>";
    /// The slot that keeps changes of tables was dropped, because it retains too much of the log, or the log cannot be read from
    /// there. Ours.
    DurableSlotDropped: Error, [Log], "<why>";
    /// The schema `realtime` cannot be made in the database of a tenant, or is missing there.
    MigrationsFailedToRun: Error, [Log], "<why>";
    /// The partitions of `realtime.messages` cannot be made or deleted.
    PartitionCreationFailed: Error, [Log], "<why>";
    /// A subscription to changes of tables could not be checked, because no connection to the database was free in time.
    IncreaseSubscriptionConnectionPool: ClientError, [Log], "<why>", limit "database.max_connections";
    /// A channel cannot subscribe to the changes that it has asked for: it names what is not published, or cannot be compared.
    RealtimeDisabledForConfiguration: ClientError, [Join, Channel], "<what the client receives>";
    /// A join waits for its changes (`postgres_changes_options`), and they do not flow in the time that it gives.
    PostgresChangesSubscribeTimeout: ClientError, [Join], "Timed out after <milliseconds>ms waiting for the postgres_changes subscription: <why>", limit "changes.max_wait";
    /// A join asks for earlier messages that its channel does not have, or that cannot be read; the log has the reason.
    UnableToReplayMessages: ClientError, [Join, Log], "Replay is not allowed for public channels";

    // Connected.

    /// The server ended a channel or closed a connection.
    ChannelShutdown: Warning, [Channel], "<the reason the client receives>";
    /// A client sent a frame that is no message, or a broadcast that cannot be decoded; it was dropped.
    MalformedWebSocketMessage: ClientError, [Channel, Log], "<what is wrong>";
    /// A message over `server.max_frame_size`; its connection was closed with 1009. Ours.
    MessageSizeExceeded: ClientError, [Log], "message is larger than <n> bytes", limit "server.max_frame_size";
    /// Messages while `limits.max_events_per_second` is used up; they were dropped.
    MessagePerSecondRateLimitReached: ClientError, [Channel, Http], "Too many messages per second", limit "limits.max_events_per_second";
    /// Messages to a channel whose join waits for its authorization, beyond `server.max_held_messages`; they were dropped.
    /// Ours.
    HeldMessagesLimitReached: ClientError, [Channel], "Too many messages before the join is answered", limit "server.max_held_messages";
    /// Messages to a channel whose join waits for its authorization, beyond `server.max_held_bytes`; they were dropped. Ours.
    HeldBytesLimitReached: ClientError, [Channel], "Too large messages before the join is answered", limit "server.max_held_bytes";
    /// Presence calls while `limits.max_presence_events_per_second` is used up; they were dropped.
    PresenceRateLimitReached: ClientError, [Channel], "Too many presence messages per second", limit "limits.max_presence_events_per_second";
    /// The payload of `track` is not an object.
    InvalidPresencePayload: ClientError, [Channel], "Presence track payload must be a map";
    /// A presence call that is neither `track` nor `untrack`.
    UnknownPresenceEvent: ClientError, [Channel], "<nothing>";
    /// A payload over `limits.max_payload_size_in_kb`; it was dropped. Ours.
    PayloadSizeExceeded: ClientError, [Channel, Http], "payload_size_exceeded", limit "limits.max_payload_size_in_kb";
    /// A body over `broadcast.max_body_size`. Ours.
    BodySizeExceeded: ClientError, [Http], "Request Entity Too Large", limit "broadcast.max_body_size";
    /// A request with more than `broadcast.max_batch_size` messages. Ours.
    BatchSizeExceeded: ClientError, [Http], "Too many messages to broadcast, please reduce the batch size", limit "broadcast.max_batch_size";
    /// A message of more than 16 KiB, a body of more than 4 KiB, a head of more than 8 KiB, a join, a token or a `track` for
    /// which there is no memory (`server.memory_budget`); it was dropped. A connection was closed if a part of such a message was accepted already, or if there is no memory for a part of a smaller one, or for what waits for a client that does not read. Ours.
    MemoryLimitReached: ClientError, [Join, Channel, Http, Log], "Memory for large messages is used up, try again later", limit "server.memory_budget";
    /// A `track` with which a client would show more than `presence.max_bytes_per_client` in all its rooms. Ours.
    ClientPresenceSizeExceeded: ClientError, [Channel], "Client presence size exceeded", limit "presence.max_bytes_per_client";
    /// A `track` with which a room would show more than `limits.max_presence_bytes_per_room`. Ours.
    RoomPresenceSizeExceeded: ClientError, [Channel], "Room presence size exceeded", limit "limits.max_presence_bytes_per_room";
    /// Messages were dropped because a client reads more slowly than they are sent to it. Ours.
    OutboxFull: Warning, [Log], "Dropped messages for clients that read too slowly";

    // Documents.

    /// A shared document cannot be read from the store, or what is stored there is none. Its clients are refused, and none is shown as
    /// empty. Ours.
    UnableToLoadDocument: Error, [Log], "<which, and why>";
    /// Updates of shared documents cannot be stored. They are kept, not acknowledged, and tried again. Ours.
    UnableToSaveDocument: Error, [Log], "<why>";
    /// The log of a shared document cannot be replaced by its state. It stays, and is longer to read. Ours.
    UnableToCompactDocument: Warning, [Log], "<which, and why>";
    /// A client may not use a document: its token does not permit it, or has expired. Ours.
    DocumentForbidden: ClientError, [Log], "<why>";
    /// An update that contradicts itself, or the document. Its client is refused. Ours.
    DocumentUpdateRefused: ClientError, [Log], "<which document>";
    /// An update over `documents.max_update_bytes`. Ours.
    DocumentUpdateSizeExceeded: ClientError, [Log], "the update is too large", limit "documents.max_update_bytes";
    /// Updates that would make a document larger than `documents.max_bytes`. Ours.
    DocumentSizeExceeded: ClientError, [Log], "<which document>", limit "documents.max_bytes";
    /// Updates of a document of which `documents.max_unsaved_bytes` are not stored yet. Ours.
    DocumentUnsavedLimitReached: ClientError, [Log], "<which document>", limit "documents.max_unsaved_bytes";
    /// Messages for a document for which `documents.queue_messages` or `documents.queue_bytes` wait, or for which there is no memory. Their
    /// client synchronises the document again. Ours.
    DocumentQueueLimitReached: ClientError, [Log], "<which document>", limit "documents.queue_bytes";

    // Other nodes.

    /// The Redis server of the bus cannot be reached, so this node serves its own clients only. Logged at once,
    /// and repeatedly until it ends. Ours.
    BusAway: Error, [Log], "cannot reach Redis at <host and port>: <why>";
    /// Redis delivers messages, but refuses to store or return presence. Logged at once, and
    /// repeatedly until it ends. Ours.
    BusPresenceRefused: Error, [Log], "Redis at <host and port> delivers messages, but refuses presence commands: <why>";
    /// Redis refuses the user or the password of the newest settings (`bus.redis_url`). Those before stay in use, and the new ones are
    /// tried every three seconds. Logged once for each. Ours.
    BusCredentialsRefused: Warning, [Log], "Redis at <host and port> refuses the new credentials, and those before stay in use: <why>";
    /// The database of the store refuses the user or the password of the newest settings (`store.url`, `store.user`, `store.password`).
    /// Those before stay in use, and the new ones are tried every three seconds. Logged once for each. Ours.
    StoreCredentialsRefused: Warning, [Log], "The store refuses the new credentials, and those before stay in use: <why>";
    /// The database of the tenant refuses its new password. The one before stays in use, and the new one is tried every two seconds. Logged
    /// once for each. Ours.
    DatabaseCredentialsRefused: Warning, [Log], "The database of the tenant refuses the new credentials, and those before stay in use: <why>";
    /// Another node has not renewed its lease for `bus.lease`, and is removed.
    RealtimeNodeDisconnected: Error, [Log], "Node <id> has not renewed its lease and is removed";

    // Keys and operators.

    /// The key set at `auth.jwks_url` could not be fetched; the one fetched before stays valid. Ours.
    JwksUnavailable: Error, [Log], "<why>";
    /// A key of a set cannot be used. Ours.
    JwksKeyUnusable: Warning, [Log], "<which, and why>";
    /// A token with a valid signature has a time in milliseconds instead of seconds. Ours.
    JwtTimeInMilliseconds: Warning, [Log], "<which claim, and what follows>";
    /// Metrics could not be sent to `telemetry.push.url` in `telemetry.push.timeout`. They are not sent again.
    MetricsPusherTimeout: Error, [Log], "<which> could not be pushed to <address>: <why>";
    /// Metrics could not be sent to `telemetry.push.url`, or were not accepted. They are not sent again.
    MetricsPusherFailed: Error, [Log], "<which> could not be pushed to <address>: <why>";
    /// Metrics could not be sent to CloudWatch (`telemetry.cloudwatch`). What they have counted is sent later. Reported once for each
    /// reason, until they are accepted again. Ours.
    CloudWatchFailed: Error, [Log], "Metrics could not be sent to CloudWatch: <why>";
    /// There are no credentials for CloudWatch. Reported once, until metrics are accepted. Ours.
    CloudWatchCredentialsMissing: Warning, [Log], "Metrics could not be sent to CloudWatch: <why>";
    /// Spans could not be sent to the collector (`telemetry.traces`), or were not accepted, and are dropped. Reported once, until they are
    /// accepted again. Ours.
    TracesFailed: Error, [Log], "Traces could not be sent to <address>: <why>";
    /// A request for an operator endpoint without a valid operator token. Ours.
    OperatorDenied: Warning, [Http], "<why>";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_word_with_a_meaning_a_text_and_a_scope() {
        for code in Code::ALL {
            let name = code.name();
            assert!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            assert!(code.meaning().ends_with('.'), "{name}: a sentence");
            assert!(!code.text().is_empty() && !code.scopes().is_empty(), "{name}");
            assert_eq!(Code::ALL.iter().filter(|other| other.name() == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn only_these_codes_are_errors_for_an_operator() {
        let errors = Code::ALL.iter().filter(|code| code.severity() == Severity::Error);
        let names: Vec<_> = errors.map(|code| code.name()).collect();
        let of_databases = [
            "TenantLookupFailed",
            "UnableToConnectToTenantDatabase",
            "DatabaseLackOfConnections",
            "MissingPartition",
            "StartReplicationFailed",
            "ReplicationMaxWalSendersReached",
            "ReplicationConnectionTimeout",
            "ReplicationSlotNotAlive",
            "ReplicationSlotLagTooHigh",
            "DurableSlotDropped",
            "MigrationsFailedToRun",
            "PartitionCreationFailed",
        ];
        let of_services = [
            "UnableToLoadDocument",
            "UnableToSaveDocument",
            "BusAway",
            "BusPresenceRefused",
            "RealtimeNodeDisconnected",
            "JwksUnavailable",
            "MetricsPusherTimeout",
            "MetricsPusherFailed",
            "CloudWatchFailed",
            "TracesFailed",
        ];
        assert_eq!(names, [&of_databases[..], &of_services].concat());
    }
}
