//! What operators see of the database of a tenant on this node.

use std::borrow::Cow;
use std::time::SystemTime;

/// The state of the database of a tenant, while this node uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// Whether it can be used.
    pub usability: DatabaseUsability,
    /// What clients need and it lacks, although it can be used. Without secrets.
    pub lacks: Option<String>,
    /// Since when.
    pub since: SystemTime,
    /// Connections of the pool that are open.
    pub connections: u32,
    /// Those of them that something is asked on.
    pub connections_in_use: u32,
    /// Whether it refuses the password that the tenant specifies by now, so that the one before stays in use.
    pub refuses_password: bool,
    /// Whether broadcasts from it are read.
    pub log: LogState,
    /// Whether changes of its tables are read; `None` while they are not followed.
    pub changes: Option<ChangesStatus>,
    /// Questions that its policies were asked.
    pub questions: QuestionCounts,
}

/// Whether changes of tables are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesStatus {
    /// Whether they are.
    pub log: LogState,
    /// Bytes of the log that this node has not handled yet, as of some seconds ago.
    pub lag: u64,
    /// Channels of this node that subscribe to some.
    pub subscriptions: usize,
    /// The tables that these subscribe to most, and how many subscriptions each has.
    pub tables: Vec<(String, usize)>,
    /// The slot that keeps them; `None` unless there is to be one (`changes.durable`).
    pub durable: Option<DurableStatus>,
}

/// Whether a slot keeps changes that no node reads at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurableStatus {
    /// It does, and retains so many bytes of the log, as of some seconds ago.
    Retaining(u64),
    /// There is none at the moment.
    Missing,
    /// The database is not to have one, for this reason.
    Refused(Cow<'static, str>),
}

/// Whether the database of a tenant can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUsability {
    /// It was not reached yet.
    Connecting,
    /// It can be used.
    Ready,
    /// It cannot be used, for this reason, which has no secrets in it.
    Unavailable(String),
}

/// Whether a part of the log of a database is read: broadcasts from it, or changes of its tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogState {
    /// Not yet, or not at the moment.
    #[default]
    Starting,
    /// This node reads them.
    Reading,
    /// Another node does.
    ReadElsewhere,
    /// They cannot be read.
    Unavailable {
        /// Why, for clients: without addresses and names.
        shown: Cow<'static, str>,
        /// Why, for operators.
        reason: Cow<'static, str>,
    },
}

/// How many questions the policies of a tenant were asked. Clients with the same question share one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuestionCounts {
    /// All.
    pub asked: u64,
    /// Those whose answer is that the client may do nothing.
    pub denied: u64,
    /// Those without an answer.
    pub failed: u64,
}

impl DatabaseStatus {
    /// Whether it can be used.
    pub fn is_connected(&self) -> bool {
        self.usability == DatabaseUsability::Ready
    }

    /// Why it cannot be used, or not for everything.
    pub fn reason(&self) -> Option<&str> {
        self.usability.reason().or(self.lacks.as_deref())
    }
}

impl DatabaseUsability {
    /// Its name in `/status`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Why it cannot be used, if it cannot.
    fn reason(&self) -> Option<&str> {
        match self {
            Self::Connecting | Self::Ready => None,
            Self::Unavailable(reason) => Some(reason),
        }
    }
}

impl DurableStatus {
    /// Its name in `/status`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Retaining(_) => "retaining",
            Self::Missing => "missing",
            Self::Refused(_) => "refused",
        }
    }

    /// Why there is none, if it is not to be there.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(reason) => Some(reason),
            Self::Retaining(_) | Self::Missing => None,
        }
    }

    /// Bytes of the log that it retains.
    pub fn retained(&self) -> u64 {
        match self {
            Self::Retaining(bytes) => *bytes,
            Self::Missing | Self::Refused(_) => 0,
        }
    }
}

impl LogState {
    /// They cannot be read, for a reason that clients may read too.
    pub fn unavailable(reason: impl Into<Cow<'static, str>>) -> Self {
        let shown = reason.into();
        Self::Unavailable { reason: shown.clone(), shown }
    }

    /// Its name in `/status`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Reading => "reading",
            Self::ReadElsewhere => "read elsewhere",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    /// Why they cannot be read, if they cannot. Without secrets.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Starting | Self::Reading | Self::ReadElsewhere => None,
            Self::Unavailable { reason, .. } => Some(reason),
        }
    }

    /// Why they cannot be read, if they cannot, for clients.
    pub fn shown(&self) -> Option<&str> {
        match self {
            Self::Starting | Self::Reading | Self::ReadElsewhere => None,
            Self::Unavailable { shown, .. } => Some(shown),
        }
    }

    /// Whether this node or another one reads them.
    pub fn is_followed(&self) -> bool {
        matches!(self, Self::Reading | Self::ReadElsewhere)
    }
}
