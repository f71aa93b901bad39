//! What the windows of a soak have shown of the quiet tenant, and what is checked of it.
//!
//! Two kinds of quiet windows are compared with those under attack. In one, other work keeps the processors as busy; this
//! decides. In the other the machine does nothing else, which shows what the first comparison leaves out: how much of a
//! latency comes from a busy machine alone.

use crate::quiet_tenant::{KINDS, Window};
use crate::verdict::Verdict;

/// The 99th percentile under attack may be this many times that of quiet windows.
const RATIO_MAX: f64 = 1.5;

/// The windows so far.
#[derive(Debug, Default)]
pub struct Windows {
    pub attacked: Vec<Window>,
    /// Without attacks, with other work.
    pub quiet: Vec<Window>,
    /// Without attacks and without other work.
    pub idle: Vec<Window>,
}

impl Windows {
    /// What the figures of [`Windows::progress`] are.
    pub const LEGEND: &str = "p99 in ms under attack (quiet with other work, without, longest under attack)";

    /// The line of the last windows.
    pub fn progress(&self) -> String {
        let part = |kind: usize| {
            let of = |windows: &[Window]| windows.last().and_then(|window| window.p99(kind));
            let (attacked, quiet, idle) = (of(&self.attacked)?, of(&self.quiet)?, of(&self.idle)?);
            let longest = self.attacked.last().and_then(|window| window.max(kind))?;
            Some(format!("{} {attacked:.2} ({quiet:.2}, {idle:.2}, {longest:.0})", KINDS[kind]))
        };
        (0..KINDS.len()).filter_map(part).collect::<Vec<_>>().join(", ")
    }

    /// Compares the medians of the windows: other work of the machine, which concerns some of them, does not decide.
    pub fn check(&self, verdict: &mut Verdict) {
        for (kind, name) in KINDS.iter().enumerate() {
            let p99 = |of: &[Window]| median(of.iter().filter_map(|window| window.p99(kind)));
            let p50 =
                |of: &[Window]| median(of.iter().filter_map(|window| window.p50(kind))).unwrap_or_default();
            let (Some(attacked), Some(quiet), Some(idle)) =
                (p99(&self.attacked), p99(&self.quiet), p99(&self.idle))
            else {
                continue;
            };
            let longest = self.attacked.iter().filter_map(|window| window.max(kind)).fold(0.0, f64::max);
            let ratio = attacked / quiet;
            let found = format!(
                "p99 {attacked:.2} ms, quiet {quiet:.2} ms: {ratio:.2} ×; without other work {idle:.2} ms: {:.2} ×; \
                 p50 {:.2}, {:.2}, {:.2} ms; longest {longest:.0} ms",
                attacked / idle,
                p50(&self.attacked),
                p50(&self.quiet),
                p50(&self.idle)
            );
            verdict.check(&format!("{name} of the quiet tenant"), (ratio <= RATIO_MAX).into(), &found);
        }
    }
}

fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<_> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
