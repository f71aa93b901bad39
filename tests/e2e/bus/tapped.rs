//! A bus inside this process that lets a test act at the very moment at which something is requested of it.
//!
//! An action from outside comes too early or too late for what lies between two steps of a link.
//! The tap runs within such a step.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use hub::NodeId;
use realtime_server::bus::{
    Broker, Bus, BusConnection, BusError, BusFuture, Command, EntryPosition, KeptEntry, LargeRooms,
    LeaseRenewal, OpenedConnection, ReadRooms, RejectedCommand, RoomName,
};

/// What has just been requested of the bus.
pub(super) enum BusRequest<'a> {
    /// A connection, which is about to be handed out.
    Connect,
    /// To subscribe to these rooms.
    Subscribe(&'a [RoomName]),
    /// To carry out these commands.
    Send(&'a [Command]),
    /// To make sure that the connections carry traffic.
    Check,
}

type Tap = Box<dyn FnMut(&BusRequest<'_>) -> Result<(), BusError> + Send>;

/// A [`Broker`] with a tap. Clones are the same bus.
#[derive(Clone)]
pub(super) struct Tapped {
    broker: Broker,
    tap: Arc<Mutex<Option<Tap>>>,
    is_stalled: Arc<AtomicBool>,
}

impl Tapped {
    pub(super) fn over(broker: Broker) -> Self {
        Self { broker, tap: Arc::default(), is_stalled: Arc::default() }
    }

    /// What it is over.
    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// From now on `tap` runs after each request; with its error the connection is lost.
    pub(super) fn tap(&self, tap: impl FnMut(&BusRequest<'_>) -> Result<(), BusError> + Send + 'static) {
        *self.tap.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(tap));
    }

    /// From now on no check is answered.
    pub(super) fn stall_checks(&self) {
        self.is_stalled.store(true, Ordering::Relaxed);
    }

    fn run_tap(&self, request: &BusRequest<'_>) -> Result<(), BusError> {
        let mut tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        tap.as_mut().map_or(Ok(()), |tap| tap(request))
    }
}

impl Bus for Tapped {
    fn name(&self) -> String {
        self.broker.name()
    }

    fn connect(&self, node: NodeId) -> BusFuture<OpenedConnection> {
        let (bus, connecting) = (self.clone(), self.broker.connect(node));
        Box::pin(async move {
            let (connection, inbox) = connecting.await?;
            bus.run_tap(&BusRequest::Connect)?;
            Ok((Box::new(TappedConnection { connection, bus }) as Box<dyn BusConnection>, inbox))
        })
    }

    fn kept(
        &self,
        room: &RoomName,
        before: Option<EntryPosition>,
        count: usize,
    ) -> BusFuture<Vec<KeptEntry>> {
        self.broker.kept(room, before, count)
    }
}

struct TappedConnection {
    connection: Box<dyn BusConnection>,
    bus: Tapped,
}

impl TappedConnection {
    /// The answer, unless the tap has another.
    fn and<T: Send + 'static>(&self, answer: BusFuture<T>, request: &BusRequest<'_>) -> BusFuture<T> {
        match self.bus.run_tap(request) {
            Ok(()) => answer,
            Err(lost) => std::future::ready(Err(lost)).boxed(),
        }
    }
}

impl BusConnection for TappedConnection {
    fn subscribe(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<RejectedCommand>> {
        let answer = self.connection.subscribe(rooms);
        self.and(answer, &BusRequest::Subscribe(rooms))
    }

    fn unsubscribe(&mut self, rooms: &[RoomName]) -> BusFuture<()> {
        self.connection.unsubscribe(rooms)
    }

    fn send(&mut self, commands: Vec<Command>) -> BusFuture<Vec<RejectedCommand>> {
        let answer = self.connection.send(commands.clone());
        self.and(answer, &BusRequest::Send(&commands))
    }

    fn refresh(&mut self, rooms: &[RoomName]) -> BusFuture<Vec<RejectedCommand>> {
        self.connection.refresh(rooms)
    }

    fn snapshots(&mut self, rooms: &[RoomName], large: LargeRooms) -> BusFuture<ReadRooms> {
        self.connection.snapshots(rooms, large)
    }

    fn check(&mut self) -> BusFuture<()> {
        let answer = self.connection.check();
        let answer = self.and(answer, &BusRequest::Check);
        if self.bus.is_stalled.load(Ordering::Relaxed) { std::future::pending().boxed() } else { answer }
    }

    fn renew(&mut self) -> BusFuture<LeaseRenewal> {
        self.connection.renew()
    }

    fn leave(&mut self) -> BusFuture<()> {
        self.connection.leave()
    }
}
