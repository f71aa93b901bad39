//! What the windows of a soak have shown of the quiet tenant, and what is checked of it.
//!
//! Two kinds of quiet windows are compared with those under attack. In one, other work keeps the processors as busy; this
//! decides. In the other the machine does nothing else, which shows what the first comparison leaves out: how much of a
//! latency comes from a busy machine alone.

use crate::quiet_tenant::{KINDS, Window};
use crate::verdict::{Holds, Verdict};

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

    /// Checks each of `kinds`: that every window has measured it, and that the medians of the windows are within the ratio.
    /// Other work of the machine concerns some of the windows, and so does not decide. The other figures are printed only.
    pub fn check(&self, kinds: &[&str], verdict: &mut Verdict) {
        for (kind, name) in kinds.iter().enumerate() {
            let what = format!("{name} of the quiet tenant");
            let columns = [&self.attacked, &self.quiet, &self.idle].map(|windows| Column::of(windows, kind));
            let without = columns.each_ref().map(|column| column.without_samples);
            let [Some(attacked), Some(quiet), Some(idle)] = columns.each_ref().map(Column::median) else {
                verdict.check(&what, Holds::No, "not measured in any window of a sort");
                continue;
            };
            let measured = format!(
                "windows without one: {} under attack, {} quiet, {} idle",
                without[0], without[1], without[2]
            );
            verdict.check(&format!("{what}, in every window"), (without == [0; 3]).into(), &measured);
            let ratio = attacked / quiet;
            let found = format!(
                "median p99 of {} windows {attacked:.2} ms, of {} quiet ones {quiet:.2} ms: {ratio:.2} ×, at most {RATIO_MAX} ×",
                columns[0].p99.len(),
                columns[1].p99.len()
            );
            verdict.check(&what, (ratio <= RATIO_MAX).into(), &found);
            let [p50_attacked, p50_quiet, p50_idle] = columns.each_ref().map(|column| column.p50);
            println!(
                "       not checked: highest p99 of a window {:.2} ms, quiet {:.2} ms, {} of {} windows above {RATIO_MAX} × \
                 the quiet median; without other work {idle:.2} ms: {:.2} ×; p50 {p50_attacked:.2}, {p50_quiet:.2}, \
                 {p50_idle:.2} ms; longest {:.0} ms, quiet {:.0} ms",
                columns[0].highest(),
                columns[1].highest(),
                columns[0].p99.iter().filter(|p99| **p99 > RATIO_MAX * quiet).count(),
                columns[0].p99.len(),
                attacked / idle,
                columns[0].longest,
                columns[1].longest
            );
        }
    }
}

/// One kind in the windows of one sort, in milliseconds.
#[derive(Debug)]
struct Column {
    /// Of each window that has samples, in order.
    p99: Vec<f64>,
    /// The median of those of the windows.
    p50: f64,
    longest: f64,
    without_samples: usize,
}

impl Column {
    fn of(windows: &[Window], kind: usize) -> Column {
        let mut p99: Vec<_> = windows.iter().filter_map(|window| window.p99(kind)).collect();
        p99.sort_by(f64::total_cmp);
        let mut p50: Vec<_> = windows.iter().filter_map(|window| window.p50(kind)).collect();
        p50.sort_by(f64::total_cmp);
        let longest = windows.iter().filter_map(|window| window.max(kind)).fold(0.0, f64::max);
        let without_samples = windows.len() - p99.len();
        Column { p50: median(&p50).unwrap_or_default(), longest, without_samples, p99 }
    }

    /// The median of the windows' 99th percentiles.
    fn median(&self) -> Option<f64> {
        median(&self.p99)
    }

    fn highest(&self) -> f64 {
        self.p99.last().copied().unwrap_or_default()
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A window in which everything but `missing` took as long.
    fn window(milliseconds: u64, missing: Option<usize>) -> Window {
        let kinds = [0, 1, 2].map(|kind| {
            let number = if Some(kind) == missing { 0 } else { 100 };
            vec![Duration::from_millis(milliseconds); number]
        });
        Window::of(kinds)
    }

    fn failed(attacked: Window, kinds: &[&str]) -> usize {
        let (quiet, idle) = (vec![window(2, None)], vec![window(1, None)]);
        let mut verdict = Verdict::default();
        Windows { attacked: vec![window(2, None), attacked, window(2, None)], quiet, idle }
            .check(kinds, &mut verdict);
        verdict.failed()
    }

    #[test]
    fn a_kind_that_a_window_has_not_measured_is_a_failure() {
        assert_eq!(failed(window(2, None), &KINDS), 0);
        assert_eq!(failed(window(2, Some(1)), &KINDS), 1);
        assert_eq!(failed(window(2, Some(2)), &KINDS[..2]), 0, "there is one node");
        let mut verdict = Verdict::default();
        Windows::default().check(&KINDS, &mut verdict);
        assert_eq!(verdict.failed(), KINDS.len());
    }
}
