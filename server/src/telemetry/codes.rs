//! Operational codes: the words that operators search their logs for, and clients their replies.
//!
//! One table. A condition that Supabase Realtime knows has its code, level and text
//! (docs/protocol/operations.md#operational-codes); one that only we know has a code of its own. What is not
//! in this table, this server does not say.

use std::fmt;

/// How much a code matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something is broken that an operator has to look at. In the log as an error.
    Error,
    /// A client is refused, or lost something, for a reason of its own. In the log as a warning, although upstream has
    /// most of them as errors: whoever is called at night for errors must not be called by a client's bad token.
    /// Counted among the errors of channels, as upstream counts them.
    Refusal,
    /// Odd or expected, and over. In the log as a warning.
    Warning,
}

/// Where a code is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A refused WebSocket handshake: an HTTP status, and the text in the body.
    Handshake,
    /// A refused join: `Code: text` is the reply's reason.
    Join,
    /// A joined channel: the text is in a `system` message, or in the reply to a push.
    Channel,
    /// An answer over HTTP.
    Http,
    /// Nobody is told; the log is all.
    Log,
}

macro_rules! codes {
    ($( $(#[doc = $meaning:literal])+ $code:ident: $severity:ident, [$($place:ident),+], $text:literal; )+) => {
        /// An operational code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $( $(#[doc = $meaning])+ $code, )+
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$( Self::$code, )+];

            /// The word itself.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$code => stringify!($code), )+ }
            }

            /// How much it matters.
            pub const fn severity(self) -> Severity {
                match self { $( Self::$code => Severity::$severity, )+ }
            }

            /// Where it is said.
            pub const fn places(self) -> &'static [Scope] {
                match self { $( Self::$code => &[$( Scope::$place, )+], )+ }
            }

            /// What is said with it. Where that varies, an example, with what varies in angle brackets.
            pub const fn text(self) -> &'static str {
                match self { $( Self::$code => $text, )+ }
            }

            /// When it is said.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$code => concat!($($meaning),+), )+ }
            }
        }
    };
}

codes! {
    // Connecting and joining.

    /// No token in any of the places where one is looked for.
    MissingAPIKey: Refusal, [Handshake, Http], "API key is missing";
    /// Nobody knows the tenant that was named, or it was removed since.
    TenantNotFound: Refusal, [Handshake, Join, Http], "Tenant not found";
    /// The tenant is suspended.
    RealtimeDisabledForTenant: Refusal, [Handshake, Join, Http], "Realtime disabled for this tenant";
    /// A handshake with a token that is refused for any reason without a code of its own there, such as its
    /// signature.
    ErrorConnectingToWebsocket: Refusal, [Handshake], "<why the token is refused>";
    /// A handshake asks for a version of the serializer that there is not. Ours.
    UnsupportedProtocolVersion: Refusal, [Handshake], "<nothing>";
    /// A request for the WebSocket that does not ask for one as RFC 6455 has it. Ours.
    NotAWebSocketHandshake: Refusal, [Handshake], "<why>";
    /// There is nothing at the path of a request. Ours.
    PathNotFound: Refusal, [Http], "Not Found";
    /// What was sent as a token is none.
    MalformedJWT: Refusal, [Handshake, Join, Channel, Http], "The token provided is not a valid JWT";
    /// The token was signed with another key.
    JwtSignatureError: Refusal, [Join, Channel, Http], "Failed to validate JWT signature";
    /// There is no key for the algorithm and the key id that the token names.
    JwtSignerError: Refusal, [Join, Channel, Http], "Failed to generate JWT signer<for a key id>, check your JWT secret or JWKS configuration";
    /// The key that signed the token was taken away. Ours.
    JwtKeyRevoked: Warning, [Join, Channel, Http], "The key that signed this token is no longer accepted";
    /// The token has expired, or lacks a claim, or one is not as it must be.
    InvalidJWTToken: Warning, [Handshake, Join, Channel, Http], "Token has expired <n> seconds ago";
    /// The tenant has `limits.max_concurrent_users` already.
    ConnectionRateLimitReached: Refusal, [Handshake, Join], "Too many connected users";
    /// This server has `server.max_connections` already. Ours.
    ServerConnectionLimitReached: Refusal, [Handshake], "Too many connections";
    /// The client's address has `server.max_connections_per_address` already. Ours.
    AddressConnectionLimitReached: Refusal, [Handshake], "Too many connections from this address";
    /// A handshake while `limits.max_joins_per_second` is used up.
    JoinsRateLimitReached: Refusal, [Handshake], "Too many joins per second";
    /// A join while `limits.max_joins_per_second` is used up.
    ClientJoinRateLimitReached: Refusal, [Join], "Too many joins per second";
    /// This connection has `limits.max_channels_per_client` already.
    ChannelRateLimitReached: Refusal, [Join], "Too many channels";
    /// The topic is `realtime:` and no more.
    TopicNameRequired: Refusal, [Join], "You must provide a topic name";
    /// The topic is longer than a frame can carry. Ours.
    TopicNameTooLong: Refusal, [Join], "A topic name has at most 255 bytes";
    /// Parts of the join's payload are of the wrong type. The join goes on without them, unless they are
    /// what keeps a channel private.
    InvalidJoinPayload: Refusal, [Join, Log], "<what is wrong>";
    /// A join of a public channel of a tenant that allows none, or a message to one.
    PrivateOnly: Refusal, [Join, Channel, Http], "This project only allows private channels";
    /// The server is about to stop.
    RealtimeRestarting: Refusal, [Join], "Realtime is restarting, please standby";
    /// A private channel or message, or changes, of a tenant whose database is not there. No tenant has one yet, so this
    /// says what a client asked for, not that a database is away.
    UnableToConnectToProject: Refusal, [Join, Http], "Realtime was unable to connect to the project database";
    /// A join asks for old messages and cannot have them.
    UnableToReplayMessages: Refusal, [Join], "Replay is not allowed for public channels";

    // Connected.

    /// The server ended a channel, or sent a client away.
    ChannelShutdown: Warning, [Channel], "<what the client was told>";
    /// What a client sent is no message, or a broadcast that cannot be read; it was dropped.
    MalformedWebSocketMessage: Refusal, [Channel, Log], "<what is wrong>";
    /// Messages while `limits.max_events_per_second` is used up; they were dropped.
    MessagePerSecondRateLimitReached: Refusal, [Channel, Http], "Too many messages per second";
    /// Presence calls while `limits.max_presence_events_per_second` is used up; they were dropped.
    PresenceRateLimitReached: Refusal, [Channel], "Too many presence messages per second";
    /// What is tracked is no object.
    InvalidPresencePayload: Refusal, [Channel], "Presence track payload must be a map";
    /// A presence call that is neither `track` nor `untrack`.
    UnknownPresenceEvent: Refusal, [Channel], "<nothing>";
    /// A payload over `limits.max_payload_size_in_kb`; it was dropped. Ours.
    PayloadSizeExceeded: Refusal, [Channel, Http], "payload_size_exceeded";
    /// Messages were dropped because a client reads more slowly than they come. Ours.
    OutboxFull: Warning, [Log], "Dropped messages for clients that read too slowly";

    // Other nodes.

    /// Redis, over which nodes reach each other, cannot be reached: this node goes on alone. Told when it begins,
    /// and again while it lasts. Ours.
    BusAway: Error, [Log], "cannot reach Redis at <host and port>: <why>";
    /// Redis passes messages, and refuses to store or to give what presence needs. Told when it begins, and again while
    /// it lasts. Ours.
    BusPresenceRefused: Error, [Log], "Redis at <host and port> refuses what presence needs, and passes messages: <why>";
    /// Another node has not been heard of for `bus.lease`, and is taken for dead.
    RealtimeNodeDisconnected: Error, [Log], "Node <id> is not heard of any more and is forgotten";

    // Keys and operators.

    /// The key set at `auth.jwks_url` could not be fetched; what was fetched before still counts. Ours.
    JwksUnavailable: Error, [Log], "<why>";
    /// A key of a set cannot be used. Ours.
    JwksKeyUnusable: Warning, [Log], "<which, and why>";
    /// A genuine token has a time in milliseconds instead of seconds. Ours.
    JwtTimeInMilliseconds: Warning, [Log], "<which claim, and what follows>";
    /// Somebody without a good token asked for what only operators may see. Ours.
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
    fn every_code_is_one_word_and_says_when_and_what() {
        for code in Code::ALL {
            let name = code.name();
            assert!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            assert!(code.meaning().ends_with('.'), "{name}: a sentence");
            assert!(!code.text().is_empty() && !code.places().is_empty(), "{name}");
            assert_eq!(Code::ALL.iter().filter(|other| other.name() == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn errors_are_what_an_operator_has_to_look_at() {
        let errors = Code::ALL.iter().filter(|code| code.severity() == Severity::Error);
        let names: Vec<_> = errors.map(|code| code.name()).collect();
        assert_eq!(names, ["BusAway", "BusPresenceRefused", "RealtimeNodeDisconnected", "JwksUnavailable"]);
    }
}
