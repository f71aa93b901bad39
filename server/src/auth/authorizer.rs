//! Who may do what in which room.
//!
//! A decision is either immediate or needs work that has to wait, such as a query of the tenant's database. Callers
//! handle the first at once and run the second as a task of their own; nothing here waits.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use hub::{Privacy, RoomKey};

use super::permissions::RoomAccess;
use super::{Claims, QuestionTurns};
use crate::telemetry::codes::Code;
use crate::telemetry::traces::TraceSpan;

/// Why something of a channel is refused when the memory of the tenant is used up.
pub const NO_CHANNEL_MEMORY: &str = "Memory for channels is used up, try again later";

/// Decides who may do what in which room.
pub trait Authorizer: Send + Sync {
    /// What a client may do in a room.
    fn authorize(&self, question: Question<'_>) -> Decision;
}

/// What a client may do in a room.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The room.
    pub room: &'a RoomKey,
    /// The claims of the client's token, which have been verified.
    pub claims: &'a Arc<Claims>,
    /// Headers of its request, as a JSON object, for policies that read them.
    pub headers: &'a Arc<str>,
    /// How old the answer may be.
    pub freshness: Freshness,
    /// The turns of the client's questions.
    pub turns: &'a QuestionTurns,
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As old as another client's who has asked the same a moment ago.
    Recent,
    /// It is found out now: policies may have changed.
    New,
}

/// Whether something is allowed.
pub enum Decision {
    /// Known at once.
    Immediate(Authorized),
    /// Known once the future has completed. Dropping the future cancels the work.
    Pending(Pin<Box<dyn Future<Output = Authorized> + Send>>),
}

/// What is found out by `work`, which is a question to a database. `span` ends with it.
pub async fn traced(mut span: TraceSpan, work: impl Future<Output = Authorized>) -> Authorized {
    span.note("db.system.name", "postgresql");
    let authorized = work.await;
    match &authorized {
        Ok(rights) => span.note("realtime.rights", rights.as_str()),
        Err(error) => span.fail(error.code.name()),
    }
    authorized
}

/// What was found out.
pub type Authorized = Result<Rights, AuthorizationError>;

/// What a client may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// It receives broadcasts.
    pub read_broadcasts: bool,
    /// Its broadcasts are sent.
    pub send_broadcasts: bool,
    /// It receives who is present.
    pub read_presence: bool,
    /// It may be present.
    pub track_presence: bool,
}

impl Rights {
    /// All of them, which every client has in a public room.
    pub const ALL: Self =
        Self { read_broadcasts: true, send_broadcasts: true, read_presence: true, track_presence: true };

    /// None of them.
    pub const NONE: Self =
        Self { read_broadcasts: false, send_broadcasts: false, read_presence: false, track_presence: false };

    /// Those in a room of which a token gives `access`.
    pub fn of(access: Option<RoomAccess>) -> Self {
        match access {
            None => Self::NONE,
            Some(RoomAccess::Presence) => Self { read_presence: true, track_presence: true, ..Self::NONE },
            Some(RoomAccess::Read) => Self { read_broadcasts: true, read_presence: true, ..Self::NONE },
            Some(RoomAccess::Write) => Self::ALL,
        }
    }

    /// Those that are among `other` as well.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            read_broadcasts: self.read_broadcasts && other.read_broadcasts,
            send_broadcasts: self.send_broadcasts && other.send_broadcasts,
            read_presence: self.read_presence && other.read_presence,
            track_presence: self.track_presence && other.track_presence,
        }
    }

    /// How many they are, in a word.
    fn as_str(self) -> &'static str {
        match self {
            Self::NONE => "none",
            Self::ALL => "all",
            _ => "some",
        }
    }
}

/// Why something is not allowed, or why that cannot be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationError {
    /// The operational code, in replies and in the log.
    pub code: Code,
    /// The text beside it.
    pub text: Cow<'static, str>,
}

impl AuthorizationError {
    /// An error with the code's own text.
    pub const fn of(code: Code) -> Self {
        Self { code, text: Cow::Borrowed(code.text()) }
    }

    /// That of a question for which there is no memory.
    pub const OUT_OF_MEMORY: Self =
        Self { code: Code::MemoryLimitReached, text: Cow::Borrowed(NO_CHANNEL_MEMORY) };

    /// That of work that has panicked or taken too long: to the client the policies cannot be read.
    pub const fn undecided() -> Self {
        Self::of(Code::UnableToConnectToProject)
    }
}

/// Public rooms are open to every valid token; private rooms need a database that decides about them.
#[derive(Debug)]
pub struct PublicRooms;

impl Authorizer for PublicRooms {
    fn authorize(&self, question: Question<'_>) -> Decision {
        Decision::Immediate(match question.room.privacy {
            Privacy::Public => Ok(Rights::ALL),
            Privacy::Private => Err(AuthorizationError::of(Code::UnableToConnectToProject)),
        })
    }
}
