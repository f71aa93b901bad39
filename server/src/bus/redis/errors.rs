//! Errors of Redis and of the connections to it, with texts that name the remedy.
//!
//! A text has everything needed to understand the error, and the setting it is about, because it ends in the log. The
//! address, which may hold a password, is in none of them.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use crate::bus::BusError;

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
                let code = error.code().unwrap_or_default();
                let reason = rejection(code, error.detail().unwrap_or_default());
                // Connecting again may lead to the primary by now.
                if matches!(code, "READONLY" | "MASTERDOWN") {
                    Self::Unusable(reason)
                } else {
                    Self::Rejected(reason)
                }
            }
            _ => Self::Unusable(error.to_string()),
        }
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
        "WRONGTYPE" => {
            "a key that begins with `bus.prefix` is of another type; nothing else may use that prefix"
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
}
