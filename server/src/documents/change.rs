//! One update of a member, on its way into the content.

use std::sync::Arc;

use super::member::{Acknowledges, MemberId};
use crate::auth::DocumentAccess;

/// An update of a member.
pub(super) struct Change {
    pub(super) member: MemberId,
    /// What the member was permitted when its message was taken: it may have left since, as clients do that send and close at once.
    pub(super) access: DocumentAccess,
    /// The user, who may have left too.
    pub(super) user: Option<Arc<str>>,
    pub(super) update: Box<[u8]>,
    pub(super) acknowledges: Acknowledges,
}
