//! The results: a table to read, and a JSON file to compare.
//!
//! A row is one number of ours beside the floor's, their ratio, the goal and the verdict. Rows without a
//! goal explain the ones that have one (CPU per delivery beside every throughput).

use serde_json::{Value, json};

use crate::paired::Ratio;

/// What a number should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// Ours divided by the floor's.
    RatioAtLeast(f64),
    /// Ours divided by the floor's.
    RatioAtMost(f64),
    /// Ours as it is.
    AtMost(f64),
    /// Ours is a share that must not be smaller.
    AtLeast(f64),
    /// The 95 % confidence interval of the ratio of pairs ends below it.
    IntervalBelow(f64),
    /// Nothing; the number explains another one.
    None,
}

/// One number of ours.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which workload it belongs to.
    pub workload: String,
    /// What is counted, with its unit.
    pub measure: String,
    /// Ours, the median.
    pub ours: f64,
    /// The floor's, the median.
    pub floor: Option<f64>,
    /// Their ratio, if they were measured in pairs.
    pub paired: Option<Ratio>,
    /// What it should be.
    pub goal: Goal,
}

impl Row {
    /// A number that has a floor.
    pub fn against(measure: &str, ours: f64, floor: f64, goal: Goal) -> Self {
        Self {
            workload: String::new(),
            measure: measure.to_owned(),
            ours,
            floor: Some(floor),
            paired: None,
            goal,
        }
    }

    /// A number that stands alone.
    pub fn alone(measure: &str, ours: f64, goal: Goal) -> Self {
        Self { workload: String::new(), measure: measure.to_owned(), ours, floor: None, paired: None, goal }
    }

    /// Numbers that were measured in pairs.
    pub fn paired(measure: &str, pairs: &[(f64, f64)], goal: Goal) -> Self {
        let ours = median(pairs.iter().map(|pair| pair.0));
        let floor = median(pairs.iter().map(|pair| pair.1));
        Self { paired: Some(Ratio::of(pairs)), ..Self::against(measure, ours, floor, goal) }
    }

    fn ratio(&self) -> Option<f64> {
        let of_medians = || self.floor.map(|floor| self.ours / floor);
        self.paired.map(|ratio| ratio.mean).or_else(of_medians)
    }

    fn ratio_cell(&self) -> String {
        match (self.ratio(), self.paired.map(|ratio| ratio.interval)) {
            (Some(ratio), Some((low, high))) => format!("{ratio:.2} ({low:.2}–{high:.2})"),
            (Some(ratio), None) => format!("{ratio:.2}"),
            (None, _) => String::new(),
        }
    }

    /// Whether the goal is reached; `None` if there is none.
    pub fn is_reached(&self) -> Option<bool> {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        match self.goal {
            Goal::RatioAtLeast(goal) => Some(ratio >= goal),
            Goal::RatioAtMost(goal) => Some(ratio <= goal),
            Goal::AtMost(goal) => Some(self.ours <= goal),
            Goal::AtLeast(goal) => Some(self.ours >= goal),
            Goal::IntervalBelow(goal) => self.paired.map(|ratio| ratio.interval.1 < goal),
            Goal::None => None,
        }
    }

    fn cells(&self) -> [String; 7] {
        let goal = match self.goal {
            Goal::RatioAtLeast(goal) => format!("≥ {goal} ×"),
            Goal::RatioAtMost(goal) => format!("≤ {goal} ×"),
            Goal::AtMost(goal) => format!("≤ {goal}"),
            Goal::AtLeast(goal) => format!("≥ {goal}"),
            Goal::IntervalBelow(goal) => format!("95 % < {goal} ×"),
            Goal::None => String::new(),
        };
        let verdict = match self.is_reached() {
            Some(true) => "✓",
            Some(false) => "✗",
            None => "",
        };
        [
            self.workload.clone(),
            self.measure.clone(),
            number(self.ours),
            self.floor.map_or(String::new(), number),
            self.ratio_cell(),
            goal,
            verdict.to_owned(),
        ]
    }
}

/// The results of one workload.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its rows of the table.
    pub rows: Vec<Row>,
    /// Every single run.
    pub runs: Value,
}

/// Whether measurements are compared with the goals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goals {
    Compared,
    /// A smoke test is too short for meaningful measurements.
    Ignored,
}

/// All measurements.
#[derive(Debug)]
pub struct Report {
    goals: Goals,
    rows: Vec<Row>,
    runs: serde_json::Map<String, Value>,
    failures: Vec<(String, String)>,
}

impl Report {
    /// An empty report.
    pub fn new(goals: Goals) -> Self {
        Self { goals, rows: Vec::new(), runs: serde_json::Map::new(), failures: Vec::new() }
    }

    /// Adds the results of a workload, or the error with which it failed.
    pub fn add(&mut self, workload: &str, outcome: anyhow::Result<Outcome>) {
        match outcome {
            Ok(outcome) => {
                self.runs.insert(workload.to_owned(), outcome.runs);
                for row in outcome.rows {
                    let goal = match self.goals {
                        Goals::Compared => row.goal,
                        Goals::Ignored => Goal::None,
                    };
                    self.rows.push(Row { workload: workload.to_owned(), goal, ..row });
                }
            }
            Err(error) => self.failures.push((workload.to_owned(), format!("{error:#}"))),
        }
    }

    /// Ours in the row of this workload and measure.
    pub fn ours(&self, workload: &str, measure: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.workload == workload && row.measure == measure).map(|row| row.ours)
    }

    /// Whether a workload failed: lost messages, timeouts, refusals. A missed goal is not a failure.
    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// How many goals were missed.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.is_reached() == Some(false)).count()
    }

    /// The table, in Markdown.
    pub fn table(&self) -> String {
        let head = ["workload", "measure", "ours", "floor", "ratio", "goal", ""].map(str::to_owned);
        let mut lines = vec![head];
        lines.extend(self.rows.iter().map(Row::cells));
        let widths: [usize; 7] = std::array::from_fn(|column| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        });
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            text.push_str(&line_of(line, &widths));
            if index == 0 {
                text.push_str(&rule(&widths));
            }
        }
        for (workload, why) in &self.failures {
            text.push_str(&format!("\n✗ {workload} FAILED: {why}\n"));
        }
        text
    }

    /// For machines.
    pub fn json(&self, machine: Value) -> Value {
        let rows: Vec<_> = self.rows.iter().map(row_json).collect();
        let failures: Vec<_> =
            self.failures.iter().map(|(workload, why)| json!({"workload": workload, "why": why})).collect();
        json!({"machine": machine, "rows": rows, "failures": failures, "runs": self.runs})
    }
}

fn row_json(row: &Row) -> Value {
    let (bound, goal) = match row.goal {
        Goal::RatioAtLeast(goal) => ("ratio at least", Some(goal)),
        Goal::RatioAtMost(goal) => ("ratio at most", Some(goal)),
        Goal::AtMost(goal) => ("at most", Some(goal)),
        Goal::AtLeast(goal) => ("at least", Some(goal)),
        Goal::IntervalBelow(goal) => ("95 % interval below", Some(goal)),
        Goal::None => ("none", None),
    };
    json!({
        "workload": row.workload, "measure": row.measure, "ours": row.ours, "floor": row.floor,
        "ratio": row.ratio(), "interval": row.paired.map(|ratio| ratio.interval), "goal": {"bound": bound, "value": goal}, "reached": row.is_reached(),
    })
}

fn line_of(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let mut line = String::from("|");
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let blank = " ".repeat(width - cell.chars().count());
        // Numbers are aligned right, words left.
        let cell =
            if (2..=4).contains(&column) { format!("{blank}{cell}") } else { format!("{cell}{blank}") };
        line.push_str(&format!(" {cell} |"));
    }
    line + "\n"
}

fn rule(widths: &[usize; 7]) -> String {
    let dashes: Vec<_> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    format!("|{}|\n", dashes.join("|"))
}

/// Three significant digits or so; thousands apart.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.3}");
    }
    if value.abs() < 1000.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// The middle value; for an even number of values the mean of the middle two.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_goal_is_judged_in_its_own_direction() {
        assert_eq!(Row::against("", 5.0, 10.0, Goal::RatioAtLeast(0.5)).is_reached(), Some(true));
        assert_eq!(Row::against("", 5.0, 4.0, Goal::RatioAtMost(1.2)).is_reached(), Some(false));
        assert_eq!(Row::alone("", 5.0, Goal::AtMost(5.0)).is_reached(), Some(true));
        assert_eq!(Row::alone("", 5.0, Goal::None).is_reached(), None);
        let paired = |pairs: &[(f64, f64)]| Row::paired("", pairs, Goal::IntervalBelow(1.2)).is_reached();
        assert_eq!(paired(&[(1.1, 1.0), (1.1, 1.0)]), Some(true));
        assert_eq!(paired(&[(0.6, 1.0), (1.6, 1.0)]), Some(false));
    }
}
