//! By whose rights rows are seen.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::auth::Claims;

/// The rights of clients: the same for all tokens with the same role and claims. It shares the claims with the session,
/// which has charged their memory.
#[derive(Debug, Clone)]
pub(super) struct Viewer(Arc<Claims>);

impl Viewer {
    pub(super) fn of(claims: &Arc<Claims>) -> Self {
        Self(Arc::clone(claims))
    }

    pub(super) fn role(&self) -> &str {
        &self.0.role
    }

    /// All claims, a JSON object.
    pub(super) fn claims(&self) -> &str {
        self.0.payload.as_deref().unwrap_or("{}")
    }
}

impl PartialEq for Viewer {
    fn eq(&self, other: &Self) -> bool {
        (self.role(), self.claims()) == (other.role(), other.claims())
    }
}

impl Eq for Viewer {}

impl Hash for Viewer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.role(), self.claims()).hash(state);
    }
}
