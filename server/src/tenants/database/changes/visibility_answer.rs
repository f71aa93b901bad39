//! The answer to the question which rows clients may see.
//!
//! ```text
//! early                        a transaction is not visible yet
//! renamed                      the table, or a column of its key, has another name
//! failed 22P02 message         nothing could be asked
//! rows (0,1) - (0,7)           where the rows with these keys are, if they are
//! 1 all                        the first client sees all of its rows
//! 2 at (0,7)                   the second one sees the one there
//! 3 keys 1 2                   the third one sees the rows with these keys
//! 4 failed 42501 message       why nothing is known for the fourth one
//! 9                            that many clients were asked about
//! ```
//!
//! A client that is not mentioned sees nothing. Numbers begin at 1.

use std::collections::HashMap;

use super::super::DatabaseFailure;
use super::logged_rows::Hindrance;
use super::visibility_statement::Client;
use crate::telemetry::codes::Code;

/// What a statement has found out.
#[derive(Debug)]
pub(super) enum VisibilityAnswer {
    /// Nothing was asked, for this reason.
    Hindered(Hindrance),
    /// It has taken too long before any client was asked about, as for a table that is locked.
    Canceled,
    /// The policies have prevented an answer, and would again.
    None(DatabaseFailure),
    /// The indices of visible keys, for the first clients that were asked about.
    Found(Vec<Result<Vec<u32>, DatabaseFailure>>),
}

/// Reads the answer about `clients` and this number of keys.
///
/// # Errors
/// When nothing could be asked, or the answer does not have this form, as when a policy has changed the setting that returns it.
pub(super) fn parse(
    answer: &str,
    keys: usize,
    clients: &[Client<'_>],
) -> Result<VisibilityAnswer, DatabaseFailure> {
    if answer == "early" {
        return Ok(VisibilityAnswer::Hindered(Hindrance::TooEarly));
    }
    if answer == "renamed" {
        return Ok(VisibilityAnswer::Hindered(Hindrance::Renamed));
    }
    if let Some(noted) = answer.strip_prefix("failed ") {
        let failure = failure(noted);
        return if failure.code == Code::QueryCanceled {
            Ok(VisibilityAnswer::Canceled)
        } else {
            Err(failure)
        };
    }
    read(answer, keys, clients).map(VisibilityAnswer::Found).ok_or_else(|| {
        DatabaseFailure::of_state("22000", "", "the answer about visible rows is not what was asked for")
    })
}

fn read(answer: &str, keys: usize, clients: &[Client<'_>]) -> Option<Vec<Result<Vec<u32>, DatabaseFailure>>> {
    let (lines, asked) = answer.rsplit_once('\n').unwrap_or(("", answer));
    let asked = asked.parse().ok().filter(|asked| (1..=clients.len()).contains(asked))?;
    let mut found = vec![Ok(Vec::new()); asked];
    let mut rows = Rows::default();
    for line in lines.lines() {
        if let Some(positions) = line.strip_prefix("rows ") {
            rows = Rows::at(positions);
            continue;
        }
        let (number, seen) = line.split_once(' ')?;
        let index = number.parse::<usize>().ok()?.checked_sub(1)?;
        *found.get_mut(index)? = match seen.strip_prefix("failed ") {
            Some(noted) => Err(failure(noted)),
            None => Ok(rows.seen(seen, keys, &clients.get(index)?.keys)?),
        };
    }
    Some(found)
}

/// Where rows are in the table.
#[derive(Debug, Default)]
struct Rows<'a> {
    /// By index of the key; `-` for one without a row.
    positions: Vec<&'a str>,
    /// The indices of the keys. Two, if a key was given twice.
    keys: HashMap<&'a str, Vec<u32>>,
}

impl<'a> Rows<'a> {
    fn at(positions: &'a str) -> Self {
        let mut rows = Self { positions: positions.split(' ').collect(), keys: HashMap::new() };
        for (index, position) in (0..).zip(&rows.positions) {
            rows.keys.entry(position).or_default().push(index);
        }
        rows
    }

    /// The keys that a client sees, of those that it was asked about.
    fn seen(&self, seen: &str, keys: usize, asked: &[u32]) -> Option<Vec<u32>> {
        let mut visible = Vec::new();
        match seen.split_once(' ') {
            None if seen == "all" => {
                let exists = |key: &&u32| self.positions.get(**key as usize).is_some_and(|at| *at != "-");
                visible.extend(asked.iter().filter(exists));
            }
            Some(("at", positions)) => {
                for position in positions.split(' ') {
                    let keys = self.keys.get(position)?;
                    // Of a key that was given twice, only what was asked for.
                    visible.extend(keys.iter().filter(|key| keys.len() == 1 || asked.contains(key)));
                }
            }
            Some(("keys", numbers)) => {
                for number in numbers.split(' ') {
                    let key = number.parse::<u32>().ok()?.checked_sub(1)?;
                    visible.push(Some(key).filter(|key| (*key as usize) < keys)?);
                }
            }
            _ => return None,
        }
        visible.sort_unstable();
        Some(visible)
    }
}

/// SQLSTATE and message.
fn failure(noted: &str) -> DatabaseFailure {
    let (state, message) = noted.split_once(' ').unwrap_or((noted, ""));
    DatabaseFailure::of_state(state, "", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(count: usize) -> Vec<Client<'static>> {
        (0..count).map(|_| Client { role: "anon", claims: "{}", keys: vec![0, 1, 2] }).collect()
    }

    #[test]
    fn each_form_of_an_answer_is_read() {
        let text = "rows (0,1) - (3,2)\n1 all\n2 at (3,2)\n3 keys 3 1\n5 failed 42501 no\n6";
        let Ok(VisibilityAnswer::Found(found)) = parse(text, 3, &clients(9)) else { panic!() };
        assert_eq!(found.len(), 6);
        let visible = |client: usize| found[client].as_ref().unwrap().clone();
        assert_eq!(
            [visible(0), visible(1), visible(2), visible(3)],
            [vec![0, 2], vec![2], vec![0, 2], vec![]]
        );
        assert_eq!(found[4].as_ref().unwrap_err().reason, "no (42501)");
        assert!(matches!(
            parse("early", 3, &clients(1)),
            Ok(VisibilityAnswer::Hindered(Hindrance::TooEarly))
        ));
        assert!(matches!(parse("failed 57014 late", 3, &clients(1)), Ok(VisibilityAnswer::Canceled)));
        assert_eq!(parse("failed 22P02 bad", 3, &clients(1)).unwrap_err().reason, "bad (22P02)");
    }

    #[test]
    fn what_was_not_asked_is_no_answer() {
        for text in ["", "0", "3", "x", "1 all", "3 all\n1", "1 keys 9\n1", "1 at (0,1)\n1", "1 keys\n1"] {
            assert!(parse(text, 2, &clients(2)).is_err(), "{text:?}");
        }
    }
}
