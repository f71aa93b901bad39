//! What a join asks for.
//!
//! Reading never fails. A field that does not parse takes its default and is named in `problems`, as upstream does it: some
//! SDKs send wrong types and work there. One exception is a `private` that cannot be read: upstream opens the public room
//! then, here the session refuses the join, because the client meant the private one.

use std::fmt;
use std::time::Duration;

use serde_json::value::RawValue;

use super::replay::Replay;
use super::token::is_api_key;
use crate::raw_json::{self, given};

/// How long a join waits for its changes if it does not say, as upstream has it (pull request 2109).
const CHANGES_WAIT: Duration = Duration::from_secs(15);

/// The payload of `phx_join`.
#[derive(Debug, Default)]
pub struct JoinRequest {
    /// Answer each broadcast.
    pub ack: bool,
    /// Deliver broadcasts to their own sender as well.
    pub self_broadcast: bool,
    /// Earlier messages to be sent first. There too if it is `null`, which upstream refuses in public rooms.
    pub replay: Option<Replay>,
    /// Announce when changes that are written from then on will be delivered.
    pub replication_ready: bool,
    /// Take part in presence from the start. Without `enabled`, a client that sends `config.presence` does: clients from
    /// before that field, such as realtime-js 2.9 to 2.11, have no other way to ask.
    pub presence_enabled: bool,
    /// The key in the room's presence; `None` if the server chooses one.
    pub presence_key: Option<String>,
    /// Subscriptions as they were sent, in order. The reply must return them unchanged.
    pub postgres_changes: Vec<Box<RawValue>>,
    /// Answer the join only when changes flow, and refuse it if they do not within this time.
    pub changes_wait: Option<Duration>,
    /// Which of the two rooms of this name the join is for.
    pub private: Private,
    /// The token that the channel uses.
    pub token: JoinToken,
    /// There is no `config`: supabase-js v1, whose topic names a table.
    pub legacy: bool,
    /// Fields that did not parse, each with what was expected. Holds no values, so it may be logged.
    pub problems: Vec<&'static str>,
}

/// Whether the join is for the private room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Private {
    /// The public room.
    #[default]
    No,
    /// The private room.
    Yes,
    /// A value that cannot be read. To be refused.
    Unreadable,
}

/// The token that a channel uses.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum JoinToken {
    /// The token of the handshake.
    #[default]
    FromHandshake,
    /// A token of its own.
    Own(String),
}

impl fmt::Debug for JoinToken {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FromHandshake => "FromHandshake",
            Self::Own(_) => "Own(…)",
        })
    }
}

impl JoinRequest {
    /// Reads the payload of `phx_join`.
    pub fn parse(payload: &str) -> Self {
        let mut join = Self::default();
        let Ok([config, access_token, user_token]) =
            raw_json::properties(payload, ["config", "access_token", "user_token"])
        else {
            join.private = Private::Unreadable;
            join.problems.push("payload: expected a map");
            return join;
        };
        join.read_tokens(given(access_token), given(user_token));
        join.legacy = config.is_none();
        if let Some(config) = given(config) {
            join.read_config(config);
        }
        join
    }

    /// `user_token` is the old name and takes precedence, unless the first of the two is an API key.
    fn read_tokens(&mut self, access_token: Option<&str>, user_token: Option<&str>) {
        let access = access_token.map(raw_json::string);
        let user = user_token.map(raw_json::string);
        if access == Some(None) {
            self.problems.push("access_token: expected string");
        }
        if user == Some(None) {
            self.problems.push("user_token: expected string");
        }
        let first = access.as_ref().or(user.as_ref());
        if first.is_some_and(|token| token.as_deref().is_some_and(is_api_key)) {
            return;
        }
        if let Some(token) = user.flatten().or(access.flatten())
            && !is_api_key(&token)
        {
            self.token = JoinToken::Own(token.into_owned());
        }
    }

    fn read_config(&mut self, config: &str) {
        let names = ["broadcast", "presence", "postgres_changes", "postgres_changes_options", "private"];
        let Ok([broadcast, presence, changes, changes_options, private]) =
            raw_json::properties(config, names)
        else {
            self.private = Private::Unreadable;
            self.problems.push("config: expected a map");
            return;
        };
        if let Some(broadcast) = given(broadcast) {
            self.read_broadcast(broadcast);
        }
        if let Some(presence) = given(presence) {
            self.read_presence(presence);
        }
        if let Some(changes) = given(changes) {
            self.read_postgres_changes(changes);
        }
        if let Some(options) = given(changes_options) {
            self.read_changes_options(options);
        }
        self.private = match flag(private) {
            Ok(false) => Private::No,
            Ok(true) => Private::Yes,
            Err(NotABoolean) => {
                self.problems.push("config.private: expected boolean");
                Private::Unreadable
            }
        };
    }

    fn read_broadcast(&mut self, broadcast: &str) {
        let names = ["ack", "self", "replay", "replication_ready"];
        let Ok([ack, to_self, replay, replication_ready]) = raw_json::properties(broadcast, names) else {
            self.problems.push("config.broadcast: expected a map");
            return;
        };
        self.ack = self.flag_or_false(ack, "config.broadcast.ack: expected boolean");
        self.self_broadcast = self.flag_or_false(to_self, "config.broadcast.self: expected boolean");
        self.replay = replay.map(Replay::parse);
        match self.replay {
            Some(Replay::Invalid) => self.problems.push(
                "config.broadcast.replay: expected since and limit as integers, after as ids of messages",
            ),
            Some(Replay::NoMap) => self.problems.push("config.broadcast.replay: expected a map"),
            Some(Replay::Messages(_)) | None => {}
        }
        // Upstream tests whether the raw value is truthy, so the string "false" is true.
        self.replication_ready = given(replication_ready).is_some_and(|value| value != "false");
    }

    fn read_presence(&mut self, presence: &str) {
        let Ok([key, enabled]) = raw_json::properties(presence, ["key", "enabled"]) else {
            self.problems.push("config.presence: expected a map");
            return;
        };
        self.presence_enabled = given(enabled).is_none()
            || self.flag_or_false(enabled, "config.presence.enabled: expected boolean");
        let key = match given(key) {
            None => return,
            Some(number) if number.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) => {
                Some(number.into())
            }
            Some(value) => raw_json::string(value),
        };
        if key.is_none() {
            self.problems.push("config.presence.key: expected string");
        }
        self.presence_key = key.filter(|key| !key.is_empty()).map(|key| key.into_owned());
    }

    fn read_postgres_changes(&mut self, changes: &str) {
        let mut all_maps = true;
        let array = raw_json::each_element(changes, |entry| {
            if raw_json::is_object(entry) {
                let entry = RawValue::from_string(entry.to_owned());
                self.postgres_changes.push(entry.expect("an element of valid JSON is valid JSON"));
            } else if entry != "null" {
                all_maps = false;
            }
        });
        if array.is_err() || !all_maps {
            self.problems.push("config.postgres_changes: expected an array of maps");
        }
    }

    fn read_changes_options(&mut self, options: &str) {
        let Ok([wait, time]) = raw_json::properties(options, ["wait", "timeout"]) else {
            self.problems.push("config.postgres_changes_options: expected a map");
            return;
        };
        let waits = self.flag_or_false(wait, "config.postgres_changes_options.wait: expected boolean");
        let time = match given(time).map(str::parse) {
            None => CHANGES_WAIT,
            Some(Ok(milliseconds @ 1..)) => Duration::from_millis(milliseconds),
            Some(_) => {
                self.problems
                    .push("config.postgres_changes_options.timeout: expected milliseconds, at least 1");
                CHANGES_WAIT
            }
        };
        self.changes_wait = waits.then_some(time);
    }

    fn flag_or_false(&mut self, value: Option<&str>, problem: &'static str) -> bool {
        flag(value).unwrap_or_else(|NotABoolean| {
            self.problems.push(problem);
            false
        })
    }
}

struct NotABoolean;

/// A boolean, or its name as a string in any case, as several SDKs send it. Absent means false.
fn flag(value: Option<&str>) -> Result<bool, NotABoolean> {
    match given(value) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(text) => match raw_json::string(text) {
            Some(name) if name.eq_ignore_ascii_case("true") => Ok(true),
            Some(name) if name.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(NotABoolean),
        },
    }
}
