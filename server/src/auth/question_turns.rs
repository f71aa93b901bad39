//! The questions of one client are asked one after the other.
//!
//! A client chooses how many rooms it joins, and the policies how long an answer takes. Without turns one client with slow
//! questions would have all connections to the database of its tenant, and the others would be refused.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of the questions of one connection, or of one HTTP request. Takes no memory before the first question.
#[derive(Debug, Default)]
pub struct QuestionTurns(OnceLock<Arc<Semaphore>>);

/// The turn of a question, until it is dropped.
#[derive(Debug)]
pub struct QuestionTurn(#[expect(dead_code, reason = "dropped with the turn")] OwnedSemaphorePermit);

impl QuestionTurns {
    /// Waits for a turn, behind those who wait already.
    pub fn next_turn(&self) -> impl Future<Output = QuestionTurn> + Send + use<> {
        let turns = Arc::clone(self.0.get_or_init(|| Arc::new(Semaphore::new(1))));
        async move { QuestionTurn(turns.acquire_owned().await.expect("the semaphore is never closed")) }
    }
}
