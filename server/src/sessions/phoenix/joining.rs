//! Topics whose join waits for its authorization, for changes, or for earlier messages (docs/protocol/channels.md#waiting-joins).
//!
//! The wait is a task; everything else of the connection goes on. Messages to such a topic are held until the join is
//! answered, and are then handled in their order as if they arrived only now: a topic that is not joined in the end
//! answers them as one that never was. A leave, another join of the topic and the end of the connection cancel the wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hub::{MemoryCharge, MemoryKind, TenantMemory, UNCHARGED_BYTES};
use rustc_hash::FxBuildHasher;
use tokio::time::{Instant, timeout_at};
use wire::phoenix::{Ref, Status};

use super::early_member::EarlyMember;
use super::join::Join;
use super::replayed::ReplayedMessages;
use super::{PhoenixSession, error_response};
use crate::auth::{AuthorizationError, Authorized, traced};
use crate::broadcast::BroadcastError;
use crate::broadcast::replay::ReplayError;
use crate::changes::SubscribeError;
use crate::sessions::Session;
use crate::sessions::completions::{Completion, Completions, PendingTask};
use crate::telemetry::codes::Scope;
use crate::telemetry::traces::TraceSpan;

/// The waiting joins of one connection. There while at least one waits.
pub(super) struct Joining {
    topics: HashMap<Box<str>, JoiningTopic, FxBuildHasher>,
    completions: Completions<WaitResult>,
    /// Of all topics together.
    held: HeldSize,
    /// For what is held, once it is more than a connection may have without.
    charge: Option<MemoryCharge>,
}

/// A join that waits, and the messages that wait for it.
struct JoiningTopic {
    join: Join<'static>,
    step: JoinStep,
    task: PendingTask,
    messages: Vec<HeldMessage>,
    /// Why a message was refused. After it none is held, so that those which are handled in the end have no gap between them.
    refused: Option<BroadcastError>,
}

/// What a join waits for.
pub(super) enum JoinStep {
    /// Whether the client may join.
    Authorization,
    /// That the changes flow which the member asks for.
    Changes(EarlyMember),
    /// The earlier messages that the member asks for.
    Replay(EarlyMember),
}

/// What a join has waited for.
pub(super) enum WaitResult {
    Authorization(Authorized),
    Changes(Result<(), SubscribeError>),
    Replay(Box<Result<ReplayedMessages, ReplayError>>),
}

/// A message as it was received.
pub(super) enum HeldMessage {
    Text(Box<str>),
    Binary(Box<[u8]>),
}

/// How many messages are held, and how large they are.
#[derive(Debug, Clone, Copy, Default)]
struct HeldSize {
    messages: usize,
    bytes: usize,
}

impl HeldMessage {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl Joining {
    /// Keeps `message` until the join of `topic` is answered, if there is room below `max`, as there always is for a
    /// single message, and `memory`. After the first that finds none, the others to the topic are refused for the same reason.
    fn hold(
        &mut self,
        topic: &str,
        message: HeldMessage,
        max: HeldSize,
        memory: &Arc<TenantMemory>,
    ) -> Result<(), BroadcastError> {
        let Self { topics, held, charge, .. } = self;
        let Some(joining) = topics.get_mut(topic) else { return Ok(()) };
        let bytes = held.bytes + message.len();
        if joining.refused.is_none() {
            joining.refused = if held.messages > 0 && held.messages >= max.messages {
                Some(BroadcastError::TooManyHeld)
            } else if held.messages > 0 && bytes > max.bytes {
                Some(BroadcastError::TooLargeHeld)
            } else if bytes > UNCHARGED_BYTES && !charge_to(charge, bytes, memory) {
                Some(BroadcastError::OutOfMemory)
            } else {
                None
            };
        }
        if let Some(error) = joining.refused {
            return Err(error);
        }
        joining.messages.push(message);
        *held = HeldSize { messages: held.messages + 1, bytes };
        Ok(())
    }

    /// Ends the wait of a topic. Its task is cancelled when the result is dropped.
    fn remove(&mut self, topic: &str) -> Option<JoiningTopic> {
        let joining = self.topics.remove(topic)?;
        self.held.messages -= joining.messages.len();
        self.held.bytes -= joining.messages.iter().map(HeldMessage::len).sum::<usize>();
        if let Some(charge) = &mut self.charge {
            charge.resize(self.held.bytes);
        }
        Some(joining)
    }

    /// The next join that has what it waited for; `None` in place of that if its task has panicked.
    fn next(&mut self) -> Option<(JoiningTopic, Option<WaitResult>)> {
        loop {
            let Completion { task, result } = self.completions.take()?;
            let found = self.topics.iter().find(|(_, joining)| joining.task.id() == task);
            // A join that was cancelled in the last moment is not there any more.
            let Some(topic) = found.map(|(topic, _)| topic.clone()) else { continue };
            return Some((self.remove(&topic)?, result));
        }
    }
}

/// Makes it a charge for `bytes`, if there is memory. Returns whether there is.
fn charge_to(charge: &mut Option<MemoryCharge>, bytes: usize, memory: &Arc<TenantMemory>) -> bool {
    let is_charged = match charge {
        Some(charge) => charge.try_grow(bytes.saturating_sub(charge.bytes())),
        None => {
            *charge = memory.try_charge(MemoryKind::Held, bytes);
            charge.is_some()
        }
    };
    if !is_charged {
        memory.count_refusal(MemoryKind::Held);
    }
    is_charged
}

impl PhoenixSession {
    /// How many topics are being joined.
    pub(super) fn joining_topics(&self) -> usize {
        self.joining.as_ref().map_or(0, |joining| joining.topics.len())
    }

    /// Whether messages to `topic` have to wait for its join.
    pub(super) fn is_joining(&self, topic: &str) -> bool {
        self.joining.as_ref().is_some_and(|joining| joining.topics.contains_key(topic))
    }

    /// Lets `join` wait for its authorization in `span`, at most `server.authorization_timeout`. The time counts from here on. What
    /// was started earlier ends earlier, so that this task has its turn by the end of that time.
    pub(super) fn await_authorization(
        &mut self,
        join: Join<'_>,
        span: TraceSpan,
        work: impl Future<Output = Authorized> + Send + 'static,
    ) {
        let deadline = Instant::now() + self.services.node.settings().server.authorization_timeout;
        let in_time = async move {
            let result = timeout_at(deadline, work).await;
            result.unwrap_or_else(|_elapsed| Err(AuthorizationError::undecided()))
        };
        let work = async move { WaitResult::Authorization(traced(span, in_time).await) };
        self.await_step(join, JoinStep::Authorization, work);
    }

    /// Lets `join` wait for `work`.
    pub(super) fn await_step(
        &mut self,
        join: Join<'_>,
        step: JoinStep,
        work: impl Future<Output = WaitResult> + Send + 'static,
    ) {
        let (services, outbox) = (&self.services, &self.outbound.outbox);
        let joining = self.joining.get_or_insert_with(|| {
            let completions = Completions::new(outbox, services.tasks.clone(), self.max_tasks);
            Box::new(Joining {
                topics: HashMap::default(),
                completions,
                held: HeldSize::default(),
                charge: None,
            })
        });
        let (join, task) = (join.into_owned(), joining.completions.start(work));
        let topic = join.message.topic.as_ref().into();
        let waiting = JoiningTopic { join, step, task, messages: Vec::new(), refused: None };
        joining.topics.insert(topic, waiting);
        self.watch_rooms();
    }

    /// Holds a message to a topic that is being joined. One that finds no room is refused.
    pub(super) fn hold(&mut self, topic: &str, refs: (&Ref<'_>, &Ref<'_>), message: HeldMessage) {
        let max = {
            let server = &self.services.node.settings().server;
            let bytes = usize::try_from(server.max_held_bytes.as_u64()).unwrap_or(usize::MAX);
            HeldSize { messages: server.max_held_messages.get(), bytes }
        };
        let Some(joining) = &mut self.joining else { return };
        if let Err(error) = joining.hold(topic, message, max, &self.tenant.memory) {
            self.refuse_message(topic, refs, error);
        }
    }

    /// Answers a message that is not handled.
    pub(super) fn refuse_message(&self, topic: &str, refs: (&Ref<'_>, &Ref<'_>), error: BroadcastError) {
        self.tenant.reports.record(self.report(error.code(), Scope::Channel), error);
        let response = error_response(&error.to_string());
        self.outbound.reply(refs.0, refs.1, topic, Status::Error, &response);
    }

    /// The `join_ref` of the waiting join of `topic`, if there is one.
    pub(super) fn waiting_join(&self, topic: &str) -> Option<&Ref<'static>> {
        let joining = self.joining.as_ref()?.topics.get(topic)?;
        Some(&joining.join.message.join_ref)
    }

    /// Ends the wait of `topic` without an answer to its join, and returns the `join_ref` of that. What the join has
    /// replaced is closed, and what was sent to it is answered.
    pub(super) fn cancel_join(&mut self, topic: &str) -> Option<Ref<'static>> {
        let JoiningTopic { join, task, messages, .. } = self.joining.as_mut()?.remove(topic)?;
        drop(task);
        if let Some(replaced) = &join.message.replaced {
            self.outbound.closed(replaced, topic);
        }
        self.handle_held(messages);
        Some(join.message.join_ref)
    }

    /// Answers the joins that have what they waited for, or lets them wait for the next.
    pub(super) fn answer_waiting(&mut self) {
        while let Some((joining, result)) = self.joining.as_mut().and_then(|joining| joining.next()) {
            let JoiningTopic { join, step, task: _, messages, refused } = joining;
            let topic = join.message.topic.clone();
            // A panic is logged where it happens.
            match (step, result) {
                (JoinStep::Replay(member), result) => {
                    let result = match result {
                        Some(WaitResult::Replay(result)) => *result,
                        _ => Err(ReplayError::TimedOut),
                    };
                    self.answer_replayed_join(join, member, result);
                }
                (JoinStep::Changes(member), result) => {
                    let outcome = match result {
                        Some(WaitResult::Changes(outcome)) => outcome,
                        _ => Err(SubscribeError::TimedOut { after: Duration::ZERO, reason: None }),
                    };
                    self.answer_subscribed_join(join, member, outcome);
                }
                (JoinStep::Authorization, Some(WaitResult::Authorization(result))) => {
                    self.answer_waiting_join(join, result);
                }
                (JoinStep::Authorization, _) => {
                    self.answer_waiting_join(join, Err(AuthorizationError::undecided()));
                }
            }
            // Those to a topic that waits on are held again.
            self.handle_held(messages);
            if let Some(joining) = &mut self.joining
                && let Some(joining) = joining.topics.get_mut(&*topic)
            {
                joining.refused = joining.refused.or(refused);
            }
        }
    }

    /// Handles messages that were held, and forgets the last wait.
    fn handle_held(&mut self, messages: Vec<HeldMessage>) {
        if self.joining_topics() == 0 {
            self.joining = None;
        }
        for message in messages {
            match message {
                HeldMessage::Text(text) => self.text(&text),
                HeldMessage::Binary(bytes) => self.binary(&bytes),
            }
        }
        self.flush();
    }
}
