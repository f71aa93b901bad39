//! Which of the listeners a connection has come in by, and so which routes it may use.

use crate::routes::Route;

/// A listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// The one at `server.host` and `server.port`, which serves all routes.
    Main,
    /// The one of `[server.internal]`, for operators and the programs that watch the server.
    Internal,
}

impl ListenerKind {
    /// Whether requests for `route` may come in by it.
    pub(super) fn serves(self, route: &Route) -> bool {
        match self {
            Self::Main => true,
            Self::Internal => route.is_internal(),
        }
    }
}
