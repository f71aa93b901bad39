//! Operational codes: the words that operators search their logs for, and clients their replies.
//!
//! One table. A condition that Supabase Realtime knows has its code, level and text (operations §7); one that
//! only we know has a code of its own. What is not in this table, this server does not say.

use std::fmt;

/// How much a code matters. Both are in the log unless its level hides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Somebody was refused, or something was lost.
    Error,
    /// Odd or expected, and over.
    Warning,
}

/// Where a code is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
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
            pub const fn places(self) -> &'static [Place] {
                match self { $( Self::$code => &[$( Place::$place, )+], )+ }
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

    /// Neither a header `x-api-key` nor a parameter `apikey`.
    MissingAPIKey: Error, [Handshake], "API key is missing";
    /// Nobody knows the tenant that was named, or it was removed since.
    TenantNotFound: Error, [Handshake, Join, Http], "Tenant not found";
    /// The tenant is suspended.
    RealtimeDisabledForTenant: Error, [Handshake, Join, Http], "Realtime disabled for this tenant";
    /// A handshake with a token that is refused for any reason without a code of its own there, such as its
    /// signature.
    ErrorConnectingToWebsocket: Error, [Handshake], "<why the token is refused>";
    /// What was sent as a token is none.
    MalformedJWT: Error, [Handshake, Join, Channel], "The token provided is not a valid JWT";
    /// The token was signed with another key.
    JwtSignatureError: Error, [Join, Channel], "Failed to validate JWT signature";
    /// There is no key for the algorithm and the key id that the token names.
    JwtSignerError: Error, [Join, Channel], "Failed to generate JWT signer<for a key id>, check your JWT secret or JWKS configuration";
    /// The key that signed the token was taken away. Ours.
    JwtKeyRevoked: Warning, [Join, Channel], "The key that signed this token is no longer accepted";
    /// The token has expired, or lacks a claim, or one is not as it must be.
    InvalidJWTToken: Warning, [Handshake, Join, Channel], "Token has expired <n> seconds ago";
    /// The tenant has `limits.max_concurrent_users` already.
    ConnectionRateLimitReached: Error, [Handshake, Join], "Too many connected users";
    /// This server has `server.max_connections` already. Ours.
    ServerConnectionLimitReached: Error, [Handshake], "Too many connections";
    /// The client's address has `server.max_connections_per_address` already. Ours.
    AddressConnectionLimitReached: Error, [Handshake], "Too many connections from this address";
    /// A handshake while `limits.max_joins_per_second` is used up.
    JoinsRateLimitReached: Error, [Handshake], "Too many joins per second";
    /// A join while `limits.max_joins_per_second` is used up.
    ClientJoinRateLimitReached: Error, [Join], "Too many joins per second";
    /// This connection has `limits.max_channels_per_client` already.
    ChannelRateLimitReached: Error, [Join], "Too many channels";
    /// The topic is `realtime:` and no more.
    TopicNameRequired: Error, [Join], "You must provide a topic name";
    /// The topic is longer than a frame can carry. Ours.
    TopicNameTooLong: Error, [Join], "A topic name has at most 255 bytes";
    /// Parts of the join's payload are of the wrong type. The join goes on without them, unless they are
    /// what keeps a channel private.
    InvalidJoinPayload: Error, [Join, Log], "<what is wrong>";
    /// A join of a public channel of a tenant that allows none, or a message to one.
    PrivateOnly: Error, [Join, Channel, Http], "This project only allows private channels";
    /// The server is about to stop.
    RealtimeRestarting: Error, [Join], "Realtime is restarting, please standby";
    /// A private channel or message, or changes, of a tenant whose database is not there.
    UnableToConnectToProject: Error, [Join, Http], "Realtime was unable to connect to the project database";
    /// A join asks for old messages and cannot have them.
    UnableToReplayMessages: Error, [Join], "Replay is not allowed for public channels";

    // Connected.

    /// The server ended a channel, or sent a client away.
    ChannelShutdown: Warning, [Channel], "<what the client was told>";
    /// What a client sent is no message, or a broadcast that cannot be read; it was dropped.
    MalformedWebSocketMessage: Error, [Channel, Log], "<what is wrong>";
    /// Messages while `limits.max_events_per_second` is used up; they were dropped.
    MessagePerSecondRateLimitReached: Error, [Channel, Http], "Too many messages per second";
    /// Presence calls while `limits.max_presence_events_per_second` is used up; they were dropped.
    PresenceRateLimitReached: Error, [Channel], "Too many presence messages per second";
    /// What is tracked is no object.
    InvalidPresencePayload: Error, [Channel], "Presence track payload must be a map";
    /// A presence call that is neither `track` nor `untrack`.
    UnknownPresenceEvent: Error, [Channel], "<nothing>";
    /// A payload over `limits.max_payload_size_in_kb`; it was dropped. Ours.
    PayloadSizeExceeded: Error, [Channel, Http], "payload_size_exceeded";
    /// Messages were dropped because a client reads more slowly than they come. Ours.
    OutboxFull: Warning, [Log], "Dropped messages for clients that read too slowly";

    // Other nodes.

    /// The bus cannot be reached: this node goes on alone. Ours.
    BusAway: Error, [Log], "<why>";
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

    // Operations §7: all others of those that exist here are errors there.
    #[test]
    fn warnings_are_those_that_upstream_warns_of_and_some_of_ours() {
        let warnings: Vec<_> = Code::ALL
            .iter()
            .filter(|code| code.severity() == Severity::Warning)
            .map(|code| code.name())
            .collect();
        assert_eq!(
            warnings,
            [
                "JwtKeyRevoked",
                "InvalidJWTToken",
                "ChannelShutdown",
                "OutboxFull",
                "JwksKeyUnusable",
                "JwtTimeInMilliseconds",
                "OperatorDenied"
            ]
        );
    }
}
