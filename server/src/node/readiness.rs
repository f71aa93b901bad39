//! Whether clients should be sent to this node, and whether it is connected to the others.

/// Whether new clients should be sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Yes: local traffic goes on. But what happens on other nodes is not heard here, or not in full.
    Degraded,
    /// No: it has been asked to stop, although it may serve everybody for a while.
    Stopping,
}

impl Readiness {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
        }
    }
}

/// What this node has to do with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// There are none.
    Alone,
    /// It hears them.
    Connected,
    /// It hears them, but presence is not shared in full.
    WithoutPresence,
    /// It should hear them and does not.
    CutOff,
}

impl Connectivity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Connected => "connected",
            Self::WithoutPresence => "without presence",
            Self::CutOff => "away",
        }
    }
}
