//! Which comparisons are made next, and which filters are found to take too long.
//!
//! A statement whose time is over says nothing of its comparisons. Those of each of its filters are then made by themselves, and
//! half of them if that takes too long too. A filter that takes too long a second time is not asked again, whatever else it is
//! compared with.

use std::collections::VecDeque;
use std::ops::Range;

use super::comparison::{Compared, Comparison, NotCompared};

/// The most comparisons of one statement.
const PER_STATEMENT: usize = 500;

/// The most bytes of their values.
const BYTES_PER_STATEMENT: usize = 1 << 20;

/// Comparisons of which some are made.
pub(super) struct ComparisonProgress<'a> {
    comparisons: &'a [Comparison<'a>],
    results: Vec<Option<Compared>>,
    groups: Vec<ComparisonGroup>,
    /// The first group that is not complete, and is no suspect.
    next: usize,
    /// Groups that may take too long, which are compared by themselves after the others.
    suspects: VecDeque<usize>,
}

/// Comparisons with one filter.
struct ComparisonGroup {
    /// Those that are not made.
    open: Range<usize>,
    /// How many are made at once.
    at_once: usize,
    is_suspect: bool,
    is_slow: bool,
}

/// A comparison that is asked for: its group and its index.
pub(super) type Asked = (usize, usize);

impl<'a> ComparisonProgress<'a> {
    /// None of them is made. Those with the same filter follow each other.
    pub(super) fn new(comparisons: &'a [Comparison<'a>]) -> Self {
        let filter = |of: &Comparison<'a>| (of.type_oid, of.operator, of.value);
        let (mut groups, mut start) = (Vec::new(), 0);
        for group in comparisons.chunk_by(|one, next| filter(one) == filter(next)) {
            let open = start..start + group.len();
            start = open.end;
            groups.push(ComparisonGroup { open, at_once: PER_STATEMENT, is_suspect: false, is_slow: false });
        }
        let results = vec![None; comparisons.len()];
        Self { comparisons, results, groups, next: 0, suspects: VecDeque::new() }
    }

    /// The comparisons that are made next; none if all are made.
    pub(super) fn next(&mut self) -> Vec<Asked> {
        let is_done = |group: &ComparisonGroup| group.open.is_empty() || group.is_suspect;
        while self.groups.get(self.next).is_some_and(is_done) {
            self.next += 1;
        }
        while self.suspects.front().is_some_and(|suspect| self.groups[*suspect].open.is_empty()) {
            self.suspects.pop_front();
        }
        let all = self.groups.iter().enumerate().skip(self.next).filter(|(_, group)| !group.is_suspect);
        let next = self.fitting(all.flat_map(|(number, group)| group.asked(number)));
        match self.suspects.front() {
            Some(suspect) if next.is_empty() => {
                self.fitting(self.groups[*suspect].asked(*suspect).take(self.groups[*suspect].at_once))
            }
            _ => next,
        }
    }

    /// Those that were asked for have these results: as many as there was time for, none if the statement was cancelled.
    pub(super) fn note(&mut self, asked: &[Asked], results: impl ExactSizeIterator<Item = Compared>) {
        if results.len() == 0 {
            return self.note_cancelled(asked);
        }
        for ((group, index), result) in asked.iter().zip(results) {
            let group = &mut self.groups[*group];
            if result == Err(NotCompared::TooSlow) {
                group.give_up();
            } else if !group.is_slow {
                group.open.start = index + 1;
                self.results[*index] = Some(result);
            }
        }
    }

    /// The results.
    pub(super) fn finish(mut self) -> Vec<Compared> {
        let mut results: Vec<_> =
            self.results.into_iter().map(|result| result.unwrap_or(Err(NotCompared::TooSlow))).collect();
        for group in &mut self.groups {
            // What was cancelled once when it was made by itself has taken a part of the time that others lack.
            if group.at_once == PER_STATEMENT {
                results[group.open.clone()].fill(Err(NotCompared::Unasked));
            }
        }
        results
    }

    fn note_cancelled(&mut self, asked: &[Asked]) {
        let (Some((first, _)), Some((last, _))) = (asked.first(), asked.last()) else { return };
        if first == last {
            let group = &mut self.groups[*first];
            if asked.len() == 1 || group.at_once < PER_STATEMENT {
                return group.give_up();
            }
            group.at_once = asked.len() / 2;
        }
        for (number, _) in asked.chunk_by(|one, next| one.0 == next.0).map(|group| group[0]) {
            if !std::mem::replace(&mut self.groups[number].is_suspect, true) {
                self.suspects.push_back(number);
            }
        }
    }

    /// The first of these, and others as far as a statement may have them.
    fn fitting(&self, asked: impl Iterator<Item = Asked>) -> Vec<Asked> {
        let mut bytes = 0;
        asked
            .take(PER_STATEMENT)
            .take_while(|(_, index)| {
                let (Comparison { row, value, .. }, is_first) = (self.comparisons[*index], bytes == 0);
                bytes += 1 + value.len() + row.map_or(0, str::len);
                is_first || bytes <= BYTES_PER_STATEMENT
            })
            .collect()
    }
}

impl ComparisonGroup {
    fn asked(&self, number: usize) -> impl Iterator<Item = Asked> + use<> {
        self.open.clone().map(move |index| (number, index))
    }

    /// Its filter takes too long.
    fn give_up(&mut self) {
        self.is_slow = true;
        self.open = self.open.end..self.open.end;
    }
}

#[cfg(test)]
mod tests {
    use wire::supabase::changes::FilterOperator;

    use super::*;

    /// Compares until nothing is left, with a database that makes this many comparisons in the time of a statement, and none with
    /// the value `slow`. Returns the results and the number of cancelled statements.
    fn compare(comparisons: &[Comparison<'_>], at_once: usize) -> (Vec<Compared>, usize) {
        let (mut progress, mut cancelled) = (ComparisonProgress::new(comparisons), 0);
        loop {
            let asked = progress.next();
            if asked.is_empty() {
                return (progress.finish(), cancelled);
            }
            let is_cancelled =
                asked.len() > at_once || asked.iter().any(|(_, index)| comparisons[*index].value == "slow");
            cancelled += usize::from(is_cancelled);
            let answered = if is_cancelled { &[][..] } else { &asked };
            progress.note(&asked, answered.iter().map(|_| Ok(Some(true))));
        }
    }

    fn comparisons<'a>(rows: &'a [String], values: &'static [&'static str]) -> Vec<Comparison<'a>> {
        let one = |row, value| Comparison { type_oid: 25, operator: FilterOperator::Ilike, row, value };
        values.iter().flat_map(|value| rows.iter().map(|row| one(Some(&**row), *value))).collect()
    }

    fn rows(count: usize) -> Vec<String> {
        (0..count).map(|number| number.to_string()).collect()
    }

    #[test]
    fn a_slow_filter_takes_the_time_of_a_few_statements_whatever_it_is_compared_with() {
        for count in [1, 2, 10, 5_000] {
            let rows = rows(count);
            let asked = comparisons(&rows, &["a", "slow", "b"]);
            let (results, cancelled) = compare(&asked, 500);
            assert!(cancelled <= 3, "{cancelled} for {count}");
            for (comparison, result) in asked.iter().zip(results) {
                let is_slow = comparison.value == "slow";
                assert_eq!(result, if is_slow { Err(NotCompared::TooSlow) } else { Ok(Some(true)) });
            }
        }
    }

    #[test]
    fn many_comparisons_that_take_long_together_are_made_in_smaller_parts() {
        let rows = rows(500);
        let (results, cancelled) = compare(&comparisons(&rows, &["a"]), 300);
        assert_eq!(cancelled, 1);
        assert!(results.iter().all(|result| *result == Ok(Some(true))));
    }

    #[test]
    fn what_there_is_no_time_for_is_not_taken_to_be_slow() {
        let rows = rows(3);
        let asked = comparisons(&rows, &["a", "slow"]);
        let mut progress = ComparisonProgress::new(&asked);
        let first = progress.next();
        progress.note(&first, [].into_iter());
        let results = progress.finish();
        assert!(results.iter().all(|result| *result == Err(NotCompared::Unasked)), "{results:?}");
    }
}
