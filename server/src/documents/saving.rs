//! Appends of a document, and the answers to those who wait for them.

use std::sync::Arc;

use tokio::time::Instant;
use wire::hocuspocus::Applied as Acknowledgement;

use super::appends::Append;
use super::compaction;
use super::delayed_answers::DelayedAnswers;
use super::event::DocumentEvent;
use super::mailbox::Saved;
use super::member::MemberId;
use super::task::{DocumentTask, REFUSED_INTERVAL};
use crate::telemetry::codes::Code;

impl DocumentTask {
    /// Begins to append what is not saved, unless that is being done.
    pub(super) fn submit(&mut self) {
        if self.retry_at.is_some() {
            return;
        }
        if let Some(updates) = self.unsaved.begin() {
            let document = Arc::clone(&self.document);
            self.document.documents.appends.put(Append { document, updates });
        }
    }

    pub(super) fn note_saved(&mut self, saved: Saved) {
        match saved {
            Ok(rows) => {
                let (updates, answers) = self.unsaved.succeeded();
                let updates = || rows.iter().copied().zip(updates.iter().map(|it| &it.update));
                self.document.log.add(updates().map(|(row, update)| (row, update.len())));
                self.send_answers(answers);
                updates().for_each(|(row, update)| self.relay_update(row, update));
                compaction::compact_if_long(&self.document);
            }
            Err(error) => {
                self.document.report(Code::UnableToSaveDocument, &error);
                self.unsaved.failed();
                self.retry_at = Some(Instant::now() + REFUSED_INTERVAL);
            }
        }
    }

    /// Those who are asked for what was not taken, now that something was saved.
    pub(super) fn take_asked(&mut self) -> Vec<MemberId> {
        let is_saving = self.unsaved.is_appending() || self.retry_at.is_some();
        if is_saving { Vec::new() } else { self.refused.ask() }
    }

    /// Sends answers to what is stored.
    pub(super) fn send_answers(&self, answers: DelayedAnswers) {
        let members = &self.parked.members;
        for (id, acknowledges) in answers.acknowledged {
            let member = members.get(&id);
            member.into_iter().for_each(|it| it.acknowledge(acknowledges, Acknowledgement::Yes));
        }
        for (ids, update) in answers.echoes {
            let event = DocumentEvent::Update(&update);
            ids.iter().filter_map(|id| members.get(id)).for_each(|member| member.send(&event));
        }
        // What a client has sent before its question is echoed before it is answered.
        for (id, payload) in answers.confirmed {
            members.get(&id).into_iter().for_each(|member| member.confirm(&payload));
        }
    }
}
