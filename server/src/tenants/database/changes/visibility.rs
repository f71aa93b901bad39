//! Which rows clients may see now: for each client the rows, given by their primary keys, that it could select with its role and
//! claims.
//!
//! Many clients are asked about in one round trip, each in a subtransaction that is rolled back: neither an error nor a setting of
//! one reaches the next. All see one snapshot (`REPEATABLE READ`).

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::super::{DatabaseFailure, TenantDatabase};
use super::ChangeTable;
use super::logged_rows::{LoggedRows, LookupError, RowsInSql};
use super::visibility_answer::{VisibilityAnswer, parse};
use super::visibility_attempt::{LookupAttempt, attempt};
use super::visibility_statement::{Client, LookupStatement};
use crate::telemetry::codes::{Code, Scope};

/// The most pairs of a client and a key of one statement, which bounds the answer. A client counts as one more, for its role.
const PAIRS_PER_STATEMENT: usize = 100_000;

/// The most bytes of claims of one statement.
const CLAIM_BYTES_PER_STATEMENT: usize = 1 << 20;

/// The most rows of one statement that are asked about again, each alone, because a policy fails for one of them.
const ROW_BY_ROW_MAX: usize = 1_000;

/// The time for all questions about a table, as a multiple of `database.query_timeout`, which is that of a statement.
const TIMEOUTS_PER_TABLE: u32 = 2;

/// Instead of a role: it would reset the session to that of the server, which may see more.
const RESET_ROLE: &str = "none";

/// The question which rows a client may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VisibilityQuestion<'a> {
    /// The role of the client in the database.
    pub role: &'a str,
    /// The payload of its token (`request.jwt.claims`).
    pub claims: &'a str,
    /// The rows, as indices of the keys.
    pub keys: &'a [u32],
}

impl TenantDatabase {
    /// Which rows of `table` may be seen, for each question, in order. It takes twice `database.query_timeout` at most, if the database
    /// answers other questions.
    ///
    /// # Errors
    /// When the database does not answer, or refuses the keys; when the table has no primary key. A role or a policy that fails is
    /// the error of one question, and so is that there was no time for it ([`Code::QueryCanceled`]). Also when the question is to be
    /// asked again.
    pub async fn visible_rows(
        &self,
        table: &ChangeTable,
        rows: LoggedRows<'_>,
        questions: &[VisibilityQuestion<'_>],
    ) -> Result<Vec<VisibleRows>, LookupError> {
        if table.primary_key.is_empty() {
            return Err(DatabaseFailure::of_state("42704", "", "the table has no primary key").into());
        }
        let found = questions.iter().map(|question| match question.is_possible() {
            true => Ok(Vec::new()),
            false => Err(unknown_role(question.role)),
        });
        let mut found: Vec<_> = found.collect();
        let mut time = LookupTime::of(self);
        for range in rows.parts() {
            let offset = range.start;
            let part = Part { database: self, rows: RowsInSql { table, rows: rows.part(range) } };
            part.find((questions, offset), &mut found, &mut time).await?;
        }
        Ok(found)
    }

    /// Reports why rows of a table are hidden from a client.
    pub fn report_hidden(&self, table: &ChangeTable, role: &str, failure: &DatabaseFailure) {
        let ChangeTable { schema, name, .. } = table;
        let reason = format!("rows of `{schema}.{name}` for the role `{role}`: {}", failure.reason);
        self.reports().record(failure.code.at(Scope::Log), reason);
    }
}

/// The indices of the keys of the rows that a client may see, ascending, or why they could not be found out.
pub type VisibleRows = Result<Vec<u32>, DatabaseFailure>;

/// What is asked about rows that fit into one statement.
struct Part<'a> {
    database: &'a TenantDatabase,
    rows: RowsInSql<'a>,
}

impl Part<'_> {
    /// Adds what is visible of these keys, the first of which has the index `offset`.
    async fn find(
        &self,
        (questions, offset): (&[VisibilityQuestion<'_>], usize),
        found: &mut [VisibleRows],
        time: &mut LookupTime,
    ) -> Result<(), LookupError> {
        let first = u32::try_from(offset).unwrap_or(u32::MAX);
        let end = first.saturating_add(u32::try_from(self.rows.rows.keys.len()).unwrap_or(u32::MAX));
        let (mut indices, mut clients) = (Vec::new(), Vec::new());
        for (index, question) in questions.iter().enumerate().filter(|(index, _)| found[*index].is_ok()) {
            let of_part = question.keys.iter().filter(|key| (first..end).contains(*key));
            let keys: Vec<u32> = of_part.map(|key| key - first).collect();
            if !keys.is_empty() {
                indices.push(index);
                clients.push(Client { role: question.role, claims: question.claims, keys });
            }
        }
        let mut answers = self.ask_all(&clients, time).await?;
        self.ask_row_by_row(&clients, &mut answers, time).await?;
        for (index, visible) in indices.into_iter().zip(answers) {
            let all = &mut found[index];
            match visible {
                Ok(keys) => all.iter_mut().for_each(|all| all.extend(keys.iter().map(|key| key + first))),
                Err(failure) => *all = Err(failure),
            }
        }
        Ok(())
    }

    /// What each of these clients may see. A statement answers for as many as it can in its time, and at least for one.
    async fn ask_all(
        &self,
        clients: &[Client<'_>],
        time: &mut LookupTime,
    ) -> Result<Vec<VisibleRows>, LookupError> {
        let mut answers = Vec::with_capacity(clients.len());
        while answers.len() < clients.len() {
            let Some(time_of_statement) = time.of_next() else {
                answers.resize(clients.len(), Err(time.over.clone()));
                break;
            };
            let rest = &clients[answers.len()..];
            match self.ask(&rest[..at_once(rest)], time_of_statement).await? {
                VisibilityAnswer::Found(some) => answers.extend(some),
                VisibilityAnswer::Hindered(hindrance) => return Err(LookupError::Hindered(hindrance)),
                VisibilityAnswer::Canceled => {}
                VisibilityAnswer::None(failure) => time.end(failure),
            }
        }
        Ok(answers)
    }

    /// Asks about each row alone for the clients whose policies fail: that may concern some of their rows only.
    async fn ask_row_by_row(
        &self,
        clients: &[Client<'_>],
        answers: &mut [VisibleRows],
        time: &mut LookupTime,
    ) -> Result<(), DatabaseFailure> {
        let (mut singles, mut of) = (Vec::new(), Vec::new());
        for (index, Client { role, claims, keys }) in clients.iter().enumerate() {
            let fails = answers[index].as_ref().is_err_and(DatabaseFailure::is_of_policy);
            if fails && keys.len() > 1 && singles.len() + keys.len() <= ROW_BY_ROW_MAX {
                singles.extend(keys.iter().map(|key| Client { role, claims, keys: vec![*key] }));
                of.resize(singles.len(), index);
            }
        }
        let found = match self.ask_all(&singles, time).await {
            Ok(found) => found,
            // What is known of the others stays.
            Err(LookupError::Hindered(_)) => return Ok(()),
            Err(LookupError::Failed(failure)) => return Err(failure),
        };
        for (index, keys) in of.into_iter().zip(found) {
            let keys = match keys {
                Ok(keys) => keys,
                Err(failure) => {
                    if failure.code == Code::QueryCanceled {
                        answers[index] = Err(failure);
                    }
                    continue;
                }
            };
            match &mut answers[index] {
                Err(failure) if failure.code == Code::QueryCanceled => {}
                Ok(all) => all.extend(keys),
                Err(_) if keys.is_empty() => {}
                Err(failure) => {
                    self.database.report_hidden(self.rows.table, clients[index].role, failure);
                    answers[index] = Ok(keys);
                }
            }
        }
        Ok(())
    }

    async fn ask(&self, clients: &[Client<'_>], time: Duration) -> Result<VisibilityAnswer, DatabaseFailure> {
        let statement = LookupStatement { rows: self.rows, clients, time, tag: Uuid::new_v4().simple() };
        let answer = match attempt(self.database, &statement).await? {
            LookupAttempt::Answered(answer) => answer,
            LookupAttempt::Unanswered(failure) => return Ok(VisibilityAnswer::None(failure)),
        };
        parse(&answer, self.rows.rows.keys.len(), clients)
            .map_err(|failure| self.database.note_failure(failure))
    }
}

/// How long questions about one table may take.
struct LookupTime {
    until: Instant,
    of_statement: Duration,
    /// Why nothing is asked after that.
    over: DatabaseFailure,
}

impl LookupTime {
    fn of(database: &TenantDatabase) -> Self {
        let of_statement = database.spec.usage.query_timeout;
        let over = DatabaseFailure::new(Code::QueryCanceled, "policies take too long together");
        Self { until: Instant::now() + TIMEOUTS_PER_TABLE * of_statement, of_statement, over }
    }

    /// The time of the next statement, if there is some.
    fn of_next(&self) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        Some(left.min(self.of_statement)).filter(|time| !time.is_zero())
    }

    /// Nothing more is asked, because of this.
    fn end(&mut self, failure: DatabaseFailure) {
        self.until = Instant::now();
        self.over = failure;
    }
}

/// How many of `clients`, and at least one, are asked about at once.
fn at_once(clients: &[Client<'_>]) -> usize {
    let (mut pairs, mut bytes) = (0, 0);
    let fitting = clients.iter().take_while(|client| {
        pairs += client.keys.len() + 1;
        bytes += client.claims.len();
        pairs <= PAIRS_PER_STATEMENT && bytes <= CLAIM_BYTES_PER_STATEMENT
    });
    fitting.count().max(1)
}

impl VisibilityQuestion<'_> {
    /// Whether it can be asked: no text in PostgreSQL can have NUL, and the session must not be reset.
    fn is_possible(&self) -> bool {
        !self.role.eq_ignore_ascii_case(RESET_ROLE)
            && !self.role.contains('\0')
            && !self.claims.contains('\0')
    }
}

fn unknown_role(role: &str) -> DatabaseFailure {
    DatabaseFailure::of_state("42704", "", &format!("role {role:?} does not exist"))
}
