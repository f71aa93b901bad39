//! The link while it has a cable.
//!
//! A session begins by telling the peers everything and reading what they show, and ends with the cable. In
//! between it waits for whatever comes first and hands on what follows from it; it never waits for an answer
//! before it does something else. What it has handed over and not heard of is bounded, and while that bound
//! is reached departures stay where they are counted.

mod inbound;
mod liveness;
mod loss;
mod outbound;
mod resync;
mod subscriptions;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hub::{NodeId, Position, Room};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::cluster_message::ClusterMessage;
use super::peers::Peers;
use super::room_table::RoomTable;
use super::status::LinkStatus;
use super::{Context, OperatorCommand, departures, renewal};
use crate::bus::{
    AffectedRooms, BATCH_MAX, BusConnection, BusError, Inbox, InboxClosed, LeaseRenewal, OpenedConnection,
    ReceivedMessage, RejectedChange, RoomName, StoredSnapshot, StoredSnapshots,
};
use resync::UnsyncedRooms;

/// How often the peers are told how many users there are, if that has changed.
const CENSUS: Duration = Duration::from_secs(1);

/// Requests that are not answered yet, and bytes of messages in them. Enough to keep a long cable busy.
const UNANSWERED: usize = 256;
const UNANSWERED_BYTES: usize = 4 * 1024 * 1024;

/// Requests for copies that are not answered yet. They are counted apart: what is read may be out of reach while
/// messages pass.
const READS: usize = 256;

/// One cable's time.
pub(super) struct LinkSession<'c, 'l> {
    context: &'c Context,
    peers: &'c mut Peers,
    standing: &'c mut LinkStatus<'l>,
    cable: Box<dyn BusConnection>,
    inbox: Arc<Inbox>,
    rooms: RoomTable,
    unanswered: FuturesUnordered<BoxFuture<'static, Result<Done, BusError>>>,
    unanswered_bytes: usize,
    unanswered_messages: u64,
    /// How many of the requests are for copies.
    reads: usize,
    /// Whether one of the requests is a check of the connections.
    is_checking: bool,
    /// Taken out of the inbox and not yet heard.
    arrived: VecDeque<ReceivedMessage>,
    /// RoomTable there were before this cable.
    returning: VecDeque<Arc<Room>>,
    /// RoomTable whose copies are to be read again, because something was missed.
    rereading: BTreeSet<RoomName>,
    /// RoomTable in which somebody was silent of whom it is not known whether it is alive.
    unclear: HashSet<RoomName>,
    /// Where messages were dropped that would have followed those that have arrived.
    interrupted: AffectedRooms,
    /// Where something has been missed since the last renewal.
    missed: AffectedRooms,
    /// When it began.
    since: Instant,
    /// Whether the lease has been renewed, or that was refused; so everybody who was there before is known.
    is_renewed: bool,
    /// Whether there is a lease: until then nothing can be shown over this cable.
    is_registered: bool,
    /// Whether something was refused when the lease was last renewed.
    is_refused: bool,
    refused: UnsyncedRooms,
    /// RoomTable of which the peers are to be told how many messages there were.
    uncounted: BTreeSet<RoomName>,
    /// Peers have asked for the counts of rooms in which there were messages since then.
    counts_asked_since: Option<Instant>,
    /// Whether everything there was before this cable has been told over it.
    has_told: bool,
    /// Whether `ResyncBegin` was sent, and `ResyncEnd` was not.
    owes_told: bool,
    /// Requests with whole states of rooms that are not answered yet.
    unanswered_wholes: usize,
    /// How many requests for copies from before then are not answered.
    first_reads: usize,
    /// Who was alive when the lease was last renewed.
    alive: HashSet<NodeId>,
    /// Nodes that are telling everything they show, and where they have done so.
    telling: HashMap<NodeId, HashSet<RoomName>>,
    /// Questions that are not answered yet, and what the answer has to reach.
    asked: HashMap<(RoomName, NodeId), Position>,
}

/// What became of a request.
enum Done {
    /// It took effect.
    Subscription,
    /// All connections answer.
    Checked,
    /// Commands took effect, but for some changes.
    Sent(Sent),
    /// The same, of whole states of rooms.
    SentWholes(Sent),
    /// These rooms are shown like this.
    Copies { rooms: Vec<RoomName>, copies: Vec<StoredSnapshots>, is_first: bool },
    /// The lease is renewed, unless that is refused.
    Renewed(LeaseRenewal),
}

/// What became of one batch of commands.
struct Sent {
    bytes: usize,
    /// Messages of members in it.
    messages: u64,
    refusals: Vec<RejectedChange>,
}

impl<'c, 'l> LinkSession<'c, 'l> {
    pub(super) fn new(
        context: &'c Context,
        peers: &'c mut Peers,
        standing: &'c mut LinkStatus<'l>,
        (cable, inbox): OpenedConnection,
    ) -> Self {
        Self {
            context,
            peers,
            standing,
            cable,
            inbox,
            rooms: RoomTable::default(),
            unanswered: FuturesUnordered::new(),
            unanswered_bytes: 0,
            unanswered_messages: 0,
            reads: 0,
            is_checking: false,
            arrived: VecDeque::new(),
            returning: VecDeque::new(),
            rereading: BTreeSet::new(),
            unclear: HashSet::new(),
            interrupted: AffectedRooms::default(),
            missed: AffectedRooms::default(),
            since: Instant::now(),
            is_renewed: false,
            is_registered: false,
            is_refused: false,
            refused: UnsyncedRooms::default(),
            uncounted: BTreeSet::new(),
            counts_asked_since: None,
            has_told: false,
            owes_told: false,
            unanswered_wholes: 0,
            first_reads: 0,
            alive: HashSet::new(),
            telling: HashMap::new(),
            asked: HashMap::new(),
        }
    }

    /// Passes on what departs and what arrives, until `stop`.
    ///
    /// # Errors
    /// When the cable is lost.
    pub(super) async fn run(
        mut self,
        controls: &mut mpsc::Receiver<OperatorCommand>,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            lost = self.work(controls) => Err(lost),
        };
        let ended = match ended {
            // Peers learn of the end in any case, if only when the lease has run out.
            Ok(()) => timeout(self.context.settings.timeout, self.leave()).await.unwrap_or(Ok(())),
            lost => lost,
        };
        // Those of the peers who have missed them will know.
        self.context.metrics.unconfirmed.increment(self.unanswered_messages);
        self.rooms.admit_all(&self.context.hub);
        ended
    }

    async fn work(&mut self, controls: &mut mpsc::Receiver<OperatorCommand>) -> BusError {
        let settings = &self.context.settings;
        let [mut renewal, mut census, mut patience, mut keep_alive] = [
            renewal(settings),
            CENSUS,
            subscriptions::patience(settings.subscribe_timeout),
            settings.keep_alive,
        ]
        .map(interval);
        for interval in [&mut renewal, &mut census, &mut patience, &mut keep_alive] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let (inbox, mut fresh) = (Arc::clone(&self.inbox), Vec::new());
        loop {
            let unanswered = self.unanswered.len() - self.reads;
            let may_send = unanswered < UNANSWERED && self.unanswered_bytes < UNANSWERED_BYTES;
            let deadline = self.rooms.deadline();
            tokio::select! {
                Some(done) = self.unanswered.next() => match done {
                    Ok(done) => self.settle(done),
                    Err(lost) => return lost,
                },
                departures = departures(&self.context.hub), if may_send => self.depart(departures),
                taken = inbox.take(&mut fresh), if self.arrived.is_empty() => match taken {
                    Ok(dropped) => self.arrive(&mut fresh, dropped),
                    Err(InboxClosed) => return BusError::Closed,
                },
                // In turns, because there may be much to hear, and peers wait for this thread.
                () = tokio::task::yield_now(), if !self.arrived.is_empty() => self.hear_some(),
                () = tokio::task::yield_now(), if may_send && self.has_more() => self.do_some(),
                Some(control) = controls.recv() => self.say(&ClusterMessage::Operator(control)),
                _ = renewal.tick() => self.renew(),
                _ = keep_alive.tick() => self.check(),
                _ = census.tick() => self.count(),
                _ = patience.tick() => self.admit_waiting(),
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {
                    self.tidy(Instant::now());
                }
            }
        }
    }

    /// Tells the peers that everything is about to be told, if anything can be.
    fn begin(&mut self) {
        if self.is_registered {
            self.say(&ClusterMessage::ResyncBegin);
            self.owes_told = true;
        }
        self.returning = self.context.hub.rooms_for_relay().into();
        self.keep_counts_of_returning();
        self.tell_end();
        let users = self.peers.users_whole(self.context);
        self.say(&users);
    }

    fn renew(&mut self) {
        if !self.missed.is_empty() {
            self.ask_for_counts(renewal(&self.context.settings));
        }
        match std::mem::take(&mut self.missed) {
            AffectedRooms::Only(rooms) => rooms.into_iter().for_each(|name| self.read_again(name)),
            AffectedRooms::All => {
                self.rereading.extend(self.rooms.iter().map(|(name, _)| Arc::clone(name)));
            }
        }
        self.ask_again();
        let users = self.peers.users_whole(self.context);
        self.say(&users);
        let renewed = self.cable.renew();
        self.expect(renewed, Done::Renewed);
    }

    /// Checks the connections, one check at a time: the next is not needed while one has no answer, and requests that
    /// wait in the queue of a connection are bounded.
    fn check(&mut self) {
        if !std::mem::replace(&mut self.is_checking, true) {
            let checked = self.cable.check();
            self.expect(checked, |()| Done::Checked);
        }
    }

    fn count(&mut self) {
        self.context.metrics.subscriptions.set(self.rooms.len() as f64);
        if let Some(users) = self.peers.users_changed(self.context) {
            self.say(&users);
        }
        self.answer_for_counts();
    }

    fn tidy(&mut self, now: Instant) {
        self.rooms.admit_late(&self.context.hub, now);
        let left = self.rooms.leave(BATCH_MAX, now);
        left.iter().for_each(|name| self.peers.incoming.leave(name));
        if !left.is_empty() {
            let unsubscribed = self.cable.unsubscribe(&left);
            self.expect(unsubscribed, |()| Done::Subscription);
        }
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Subscription => {}
            Done::Checked => self.is_checking = false,
            Done::Sent(sent) => self.note_sent(sent),
            Done::SentWholes(sent) => {
                self.unanswered_wholes -= 1;
                self.note_sent(sent);
                self.tell_end();
            }
            Done::Copies { rooms, copies, is_first } => {
                self.reads -= 1;
                self.first_reads -= usize::from(is_first);
                for (name, copies) in rooms.into_iter().zip(copies) {
                    match copies {
                        Ok(copies) => self.hear_copies(&name, copies),
                        Err(why) => self.note_unread(name, &why),
                    }
                }
            }
            Done::Renewed(renewal) => self.note_renewal(renewal),
        }
        if self.is_renewed && self.has_told && (self.first_reads == 0 || self.is_refused) {
            self.standing.settle();
            self.compare_counts();
        }
    }

    /// Tells the peers what has happened up to the end, and that this is it. Copies are not waited for: there may be
    /// no connection to read them over.
    async fn leave(&mut self) -> Result<(), BusError> {
        while let Some(last) = departures(&self.context.hub).now_or_never() {
            self.depart(last);
        }
        self.say(&ClusterMessage::Disconnect);
        let (mut left, mut has_left) = (self.cable.leave(), false);
        while !has_left || self.unanswered.len() > self.reads {
            tokio::select! {
                answer = &mut left, if !has_left => {
                    answer?;
                    has_left = true;
                }
                Some(done) = self.unanswered.next() => match done? {
                    Done::Sent(sent) | Done::SentWholes(sent) => self.note_sent(sent),
                    Done::Copies { .. } => self.reads -= 1,
                    Done::Subscription | Done::Checked | Done::Renewed(_) => {}
                },
            }
        }
        Ok(())
    }
}
