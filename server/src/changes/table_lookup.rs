//! The rows of one table that are looked up, and by whose rights.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::by_address::ByAddress;
use super::excluded::Excluded;
use super::excluded_viewers::Eligibility;
use super::log_change::LogChange;
use super::matching::{Candidate, Match, as_number};
use super::row_question::{LookupContext, RowMatch, RowQuestion};
use super::viewer::Viewer;
use crate::telemetry::codes::Code;
use crate::tenants::database::changes::{
    ChangeTable, LoggedRows, RowKey, RowRights, RowValues, VisibilityQuestion, VisibleRows,
};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// Rows of one description of a table that are looked up.
pub(super) struct TableLookup<'a> {
    change: &'a LogChange<'a>,
    row_match: RowMatch,
    keys: Vec<RowKey>,
    /// For each of the keys, if they have to be still the same.
    values: Vec<RowValues>,
    /// The place of the key of each change.
    places: FxHashMap<u32, u32>,
    groups: HashMap<LookupGroup, u32>,
    questions: Vec<LookupQuestion>,
    /// The place of the question of each candidate, once that is known.
    of_candidates: Vec<Option<u32>>,
}

/// Viewers for whom one lookup is right: where claims do not matter, all of a role, of whom the first stands for all.
#[derive(Debug, PartialEq, Eq, Hash)]
enum LookupGroup {
    OfRole(Box<str>),
    OfViewer(ByAddress<Viewer>),
}

/// The rows that a viewer may see, if they are among these.
struct LookupQuestion {
    viewer: Arc<Viewer>,
    rights: RowRights,
    /// The places of their keys, ascending.
    keys: Vec<u32>,
    /// The places of the keys of visible rows, ascending, once that is known.
    seen: Option<Vec<u32>>,
}

/// What was found.
pub(super) struct SeenRows {
    places: FxHashMap<u32, u32>,
    of_candidates: Vec<Option<u32>>,
    questions: Vec<LookupQuestion>,
    /// Whether there was no answer for some viewers.
    pub(super) is_incomplete: bool,
}

impl LookupGroup {
    fn of(one: &Candidate) -> Self {
        match one.row_rights {
            RowRights::PerRole => Self::OfRole(one.viewer.role().into()),
            _ => Self::OfViewer(ByAddress::of(&one.viewer)),
        }
    }
}

impl<'a> TableLookup<'a> {
    /// Nothing is asked yet, for any of so many candidates.
    pub(super) fn new(change: &'a LogChange<'a>, row_match: RowMatch, candidates: usize) -> Self {
        Self {
            change,
            row_match,
            keys: Vec::new(),
            values: Vec::new(),
            places: FxHashMap::default(),
            groups: HashMap::new(),
            questions: Vec::new(),
            of_candidates: vec![None; candidates],
        }
    }

    /// Adds the row of a change, for these candidates.
    pub(super) fn add<'c>(
        &mut self,
        number: u32,
        change: &LogChange<'_>,
        candidates: impl Iterator<Item = (u32, &'c Candidate)>,
    ) {
        let Some(key) = change.key() else { return };
        let place = as_number(self.keys.len());
        self.keys.push(key);
        if self.row_match == RowMatch::ByValues {
            self.values.push(change.known_values());
        }
        self.places.insert(number, place);
        for (index, candidate) in candidates {
            let question = self.question(index, candidate);
            let keys = &mut self.questions[question as usize].keys;
            if keys.last() != Some(&place) {
                keys.push(place);
            }
        }
    }

    fn question(&mut self, index: u32, candidate: &Candidate) -> u32 {
        let Self { groups, questions, of_candidates, .. } = self;
        *of_candidates[index as usize].get_or_insert_with(|| {
            *groups.entry(LookupGroup::of(candidate)).or_insert_with(|| {
                let (viewer, rights) = (Arc::clone(&candidate.viewer), candidate.row_rights);
                questions.push(LookupQuestion { viewer, rights, keys: Vec::new(), seen: None });
                as_number(questions.len() - 1)
            })
        })
    }

    /// Asks the database. Viewers for whom it took too long a moment ago are left out.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn run(
        mut self,
        context: LookupContext<'_>,
        excluded: &mut Excluded,
    ) -> Result<SeenRows, DatabaseFailure> {
        let tried = self.tried(excluded);
        if !tried.is_empty() {
            self.ask_for(&tried, context, excluded).await?;
        }
        let is_asked = |place: &usize| {
            let LookupQuestion { viewer, seen, .. } = &self.questions[*place];
            seen.is_none()
                && excluded.viewers.eligibility((self.table().oid, viewer.role()), viewer)
                    == Eligibility::Asked
        };
        let asked: Vec<usize> = (0..self.questions.len()).filter(is_asked).collect();
        if !asked.is_empty() {
            self.ask_for(&asked, context, excluded).await?;
        }
        let Self { places, of_candidates, questions, .. } = self;
        let is_incomplete = questions.iter().any(|question| question.seen.is_none());
        Ok(SeenRows { places, of_candidates, questions, is_incomplete })
    }

    fn table(&self) -> &'a ChangeTable {
        &self.change.log_table.table
    }

    /// The question of one viewer of each role whose exclusion is over.
    fn tried(&self, excluded: &Excluded) -> Vec<usize> {
        let mut tried: HashMap<&str, usize> = HashMap::new();
        for (place, LookupQuestion { viewer, .. }) in self.questions.iter().enumerate() {
            if let Eligibility::Tried(first) =
                excluded.viewers.eligibility((self.table().oid, viewer.role()), viewer)
            {
                let chosen = tried.entry(viewer.role()).or_insert(place);
                if Arc::ptr_eq(&first, viewer) {
                    *chosen = place;
                }
            }
        }
        tried.into_values().collect()
    }

    /// Asks some of the questions.
    async fn ask_for(
        &mut self,
        places: &[usize],
        LookupContext { database, transactions, visibility_wait, .. }: LookupContext<'_>,
        excluded: &mut Excluded,
    ) -> Result<(), DatabaseFailure> {
        let asked: Vec<_> = places.iter().map(|place| self.questions[*place].as_question()).collect();
        let rows = LoggedRows { keys: &self.keys, values: &self.values, transactions };
        let (begun, mut question) =
            (Instant::now(), RowQuestion::about((self.table(), transactions), visibility_wait));
        let found = loop {
            match database.visible_rows(&question.table, rows, &asked).await {
                Ok(found) => break found,
                Err(error) => question.prepare_again(database, error).await?,
            }
        };
        question.end(database).await;
        let metrics = database.tenant.metrics.database();
        metrics.changes_lookups.record(begun.elapsed().as_secs_f64());
        for (place, found) in places.iter().zip(found) {
            self.note(*place, found, database, excluded);
        }
        Ok(())
    }

    /// Notes an answer. A viewer for whom the policies fail sees nothing; one for whom they took too long is excluded.
    fn note(&mut self, place: usize, found: VisibleRows, database: &TenantDatabase, excluded: &mut Excluded) {
        let table = self.table();
        let LookupQuestion { viewer, rights, seen, .. } = &mut self.questions[place];
        let of_role = (table.oid, viewer.role());
        if let Err(failure) = &found
            && failure.code == Code::QueryCanceled
        {
            if excluded.viewers.add(of_role, (viewer, *rights), Instant::now()) {
                database.tenant.metrics.database().changes_exclusions.increment(1);
                database.report_hidden(table, viewer.role(), failure);
            }
            return;
        }
        if excluded.viewers.eligibility(of_role, viewer) != Eligibility::Asked {
            excluded.viewers.readmit(of_role);
        }
        *seen = Some(found.unwrap_or_else(|failure| {
            database.report_hidden(table, viewer.role(), &failure);
            Vec::new()
        }));
    }
}

impl LookupQuestion {
    fn as_question(&self) -> VisibilityQuestion<'_> {
        VisibilityQuestion { role: self.viewer.role(), claims: self.viewer.claims(), keys: &self.keys }
    }
}

impl SeenRows {
    /// Whether the viewer of a match may see its row; `None` if it was not asked, or had no answer.
    pub(super) fn is_visible(&self, one: Match) -> Option<bool> {
        let question = self.of_candidates[one.candidate as usize]?;
        let seen = self.questions[question as usize].seen.as_ref()?;
        let key = self.places.get(&one.change);
        Some(key.is_some_and(|key| seen.binary_search(key).is_ok()))
    }
}
