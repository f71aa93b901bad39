//! Who may join which room.
//!
//! A decision is either immediate or needs work that has to wait, such as a query of the tenant's database. Callers
//! handle the first at once and run the second as a task of their own; nothing here waits.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use hub::{Privacy, RoomKey};

use super::Claims;
use crate::telemetry::codes::Code;

/// Decides who may join which room.
pub trait Authorizer: Send + Sync {
    /// Whether a client with these `claims`, which have been verified, may join `room`.
    fn authorize_join(&self, room: &RoomKey, claims: &Arc<Claims>) -> Decision;
}

/// Whether something is allowed.
pub enum Decision {
    /// Known at once.
    Immediate(Result<(), AuthorizationError>),
    /// Known once the future has completed. Dropping the future cancels the work.
    Pending(Pin<Box<dyn Future<Output = Result<(), AuthorizationError>> + Send>>),
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
}

/// Public rooms are open to every valid token; the policies of private rooms are in the tenant's database, and no
/// tenant has one yet.
#[derive(Debug)]
pub struct PublicRooms;

impl Authorizer for PublicRooms {
    fn authorize_join(&self, room: &RoomKey, _: &Arc<Claims>) -> Decision {
        Decision::Immediate(match room.privacy {
            Privacy::Public => Ok(()),
            Privacy::Private => Err(AuthorizationError::of(Code::UnableToConnectToProject)),
        })
    }
}
