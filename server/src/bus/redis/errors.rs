//! Errors of Redis and of the connections to it, with texts that name the remedy.
//!
//! A text has everything needed to understand the error, and the setting it is about, because it ends in the log. The
//! address, which may hold a password, is in none of them.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use crate::bus::{BusError, BusRejection};

impl From<RedisError> for BusError {
    fn from(error: RedisError) -> Self {
        if error.is_timeout() {
            return Self::TimedOut;
        }
        if let Some(error) = io_error(&error) {
            return match error.kind() {
                io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof => Self::Closed,
                _ => Self::Unreachable(network(error)),
            };
        }
        match error.kind() {
            ErrorKind::RESP3NotSupported => Self::Unusable("it is older than Redis 6".into()),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                rejected(error.code().unwrap_or_default(), error.detail().unwrap_or_default())
            }
            _ => Self::Unusable(error.to_string()),
        }
    }
}

/// What an error concerns that Redis responds with: this connection, presence as a whole, or the room of the command.
fn rejected(code: &str, detail: &str) -> BusError {
    let reason = rejection(code, detail);
    match code {
        // Connecting again may lead to the primary by now, or find the data loaded; no command would do better over this
        // connection. A Redis Cluster has no room for which it would.
        "READONLY" | "MASTERDOWN" | "LOADING" | "CLUSTERDOWN" | "MOVED" | "ASK" | "CROSSSLOT"
        | "TRYAGAIN" => BusError::Unusable(reason),
        "WRONGTYPE" => BusError::Rejected(BusRejection::WrongType),
        // Patterns of keys or channels may leave out single rooms; a command is needed for all.
        "NOPERM" if !detail.contains(" command") => BusError::Rejected(BusRejection::Room(reason)),
        // OOM, MISCONF, NOREPLICAS, NOPERM and whatever else is about the state of the server.
        _ => BusError::Rejected(BusRejection::Server(reason)),
    }
}

fn io_error(error: &RedisError) -> Option<&io::Error> {
    error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?.downcast_ref()
}

/// The text of an error of the network or TLS.
fn network(error: &io::Error) -> String {
    let text = error.to_string();
    if error.get_ref().is_none() {
        // The kind describes common errors, and the number of the error adds nothing.
        let known = error.kind().to_string();
        return if known.contains("uncategorized") { text } else { known };
    }
    if text.contains("certificate") {
        format!("{text}; `bus.tls_ca_file` has to name its CA certificates")
    } else if text.contains("corrupt message") {
        format!("{text}; if it does not expect TLS, `bus.redis_url` has to begin with redis://")
    } else {
        text
    }
}

/// The text of an error that Redis responds with, by its code.
fn rejection(code: &str, detail: &str) -> String {
    let cause = match code {
        "NOAUTH" => "it requires a password, and `bus.redis_url` has none",
        "WRONGPASS" => "it does not accept the user or the password in `bus.redis_url`",
        "NOPERM" => return format!("the user in `bus.redis_url` lacks a permission: {detail}"),
        "OOM" => "it has no memory left; its `maxmemory` is too low",
        "MISCONF" => "it cannot save its data to disk, and does not write until it can",
        "READONLY" => "it is a replica, and read-only; `bus.redis_url` has to lead to the primary",
        "MASTERDOWN" => {
            "it is a replica and has lost its primary; `bus.redis_url` has to lead to the primary"
        }
        "LOADING" => "it is loading its data",
        "NOREPLICAS" => {
            "it has fewer replicas than its `min-replicas-to-write`, and does not write until it has more"
        }
        "CLUSTERDOWN" | "MOVED" | "ASK" | "CROSSSLOT" | "TRYAGAIN" => {
            return format!("it is part of a Redis Cluster, which is not supported ({code} {detail})");
        }
        "ERR" if detail.starts_with("max number of clients") => {
            "it has as many clients as its `maxclients` allows"
        }
        // What follows repeats the arguments of a command, such as the password of `HELLO`.
        _ => return format!("{code} {}", detail.split(", with args").next().unwrap_or_default()),
    };
    cause.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_a_rejected_command_are_not_repeated() {
        let detail = "unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'secret'";
        assert_eq!(rejection("ERR", detail), "ERR unknown command 'HELLO'");
    }

    #[test]
    fn an_error_concerns_a_room_the_server_or_the_connection() {
        for (code, detail, expected) in [
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value", "room"),
            ("NOPERM", "this user has no permissions to access one of the keys used as arguments", "room"),
            ("NOPERM", "No permissions to access a channel", "room"),
            ("NOPERM", "this user has no permissions to run the 'hset' command", "server"),
            ("NOPERM", "User default has no permissions to run the 'hset' command", "server"),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", "server"),
            ("MISCONF", "", "server"),
            ("NOREPLICAS", "", "server"),
            ("READONLY", "", "connection"),
            ("LOADING", "", "connection"),
            ("MOVED", "3999 127.0.0.1:6381", "connection"),
        ] {
            let scope = match rejected(code, detail) {
                BusError::Rejected(BusRejection::Room(_) | BusRejection::WrongType) => "room",
                BusError::Rejected(BusRejection::Server(_)) => "server",
                _ => "connection",
            };
            assert_eq!(scope, expected, "{code} {detail}");
        }
    }
}
