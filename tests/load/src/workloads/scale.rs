//! How much of everything is measured.

use std::time::Duration;

use crate::drive::Times;

/// How much of everything. `--quick` reduces it to check that all parts work; its measurements mean nothing.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Runs of each workload and target.
    pub runs: usize,
    /// Divides the number of members.
    pub fewer: usize,
    /// For closed loops.
    pub saturated: Times,
    /// For runs by the clock.
    pub paced: Times,
    /// Rounds of the memory workload.
    pub memory_rounds: usize,
    /// How long a server may take to give memory back.
    pub give_back: Duration,
    /// Starts to take the median of.
    pub starts: usize,
    /// For the workloads with an attacker.
    pub abuse: Pairs,
}

/// How many pairs of slices, one quiet and one attacked, are measured.
#[derive(Debug, Clone, Copy)]
pub struct Pairs {
    /// With a deviation of a quarter from pair to pair, twenty give an interval of ± 12 %, nine one of ± 19 %.
    pub pairs: usize,
    /// How long a slice is.
    pub slice: Duration,
    /// Not measured after the attacker has begun or stopped.
    pub settle: Duration,
}

impl Scale {
    /// The real thing.
    pub fn full(runs: usize) -> Self {
        let times = |window| Times { warm_up: Duration::from_secs(1), window: Duration::from_secs(window) };
        Self {
            runs,
            fewer: 1,
            saturated: times(3),
            paced: times(5),
            memory_rounds: 3,
            give_back: Duration::from_secs(10),
            starts: 5,
            abuse: Pairs {
                pairs: runs.max(20),
                slice: Duration::from_millis(600),
                settle: Duration::from_millis(200),
            },
        }
    }

    /// Does it run at all?
    pub fn quick() -> Self {
        let times = Times { warm_up: Duration::from_millis(200), window: Duration::from_millis(500) };
        Self {
            runs: 1,
            fewer: 10,
            saturated: times,
            paced: times,
            memory_rounds: 2,
            give_back: Duration::from_secs(1),
            starts: 2,
            abuse: Pairs { pairs: 1, slice: Duration::from_millis(200), settle: Duration::from_millis(100) },
        }
    }
}
