//! The server's own messages: event `system`.
//!
//! realtime-py drops a message without all four members, each a string.

use serde::Serialize;

use crate::phoenix::Status;

#[derive(Serialize)]
struct System<'a> {
    channel: &'a str,
    extension: &'a str,
    message: &'a str,
    status: &'a str,
}

/// The payload of a `system` message in the room `sub_topic`. `extension` is the part of the server that sends it: `system`
/// or `postgres_changes`.
pub fn system(extension: &str, status: Status, message: &str, sub_topic: &str) -> String {
    let system = System { channel: sub_topic, extension, message, status: status.as_str() };
    serde_json::to_string(&system).expect("four strings are written to memory")
}
