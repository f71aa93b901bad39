//! Whether load balancers should send clients to this node.

/// Whether load balancers should send clients to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// They should.
    Ready,
    /// They should: local traffic goes on. But events of other nodes arrive incompletely or not at all, or tenants that are not
    /// known cannot be looked up.
    Degraded,
    /// They should not: the server has been asked to stop, although it may go on serving for a while.
    Stopping,
}

impl Readiness {
    /// Its name in `/readyz` and `/status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
        }
    }
}
