//! How many connections this process has descriptors for.
//!
//! A process without a free descriptor accepts no connection, a health check's neither, until one of those that it has ends.
//! So it counts as full before: some descriptors are kept for other purposes.

/// Kept for files, Redis, key sets and what the runtime needs.
const OTHER_FILES: usize = 64;

/// What each worker keeps open.
const FILES_PER_WORKER: usize = 4;

/// The limit of open files of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenFiles {
    /// `None`: there is no limit, or none is known.
    limit: Option<usize>,
    others: usize,
}

impl OpenFiles {
    /// Up to `limit`, of which `workers` need some.
    pub fn new(limit: Option<u64>, workers: usize) -> Self {
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self { limit, others: workers.saturating_mul(FILES_PER_WORKER).saturating_add(OTHER_FILES) }
    }

    /// The limit.
    pub fn limit(self) -> Option<usize> {
        self.limit
    }

    /// What `sockets` need, and the other purposes.
    pub fn needed_for(self, sockets: usize) -> usize {
        sockets.saturating_add(self.others)
    }

    /// Maximum of sockets besides those `reserved` for health checks and operators. A quarter of the limit in any case: with fewer
    /// descriptors than are kept, some connections are served nevertheless.
    pub(super) fn sockets(self, reserved: usize) -> usize {
        self.limit.map_or(usize::MAX, |limit| limit.saturating_sub(self.needed_for(reserved)).max(limit / 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_get_what_is_not_kept_for_others() {
        assert_eq!(OpenFiles::default().sockets(64), usize::MAX);
        assert_eq!(OpenFiles::new(Some(1_000), 2).sockets(64), 1_000 - 64 - 2 * 4 - 64);
        assert_eq!(OpenFiles::new(Some(100), 2).sockets(64), 25, "too few for all");
    }
}
