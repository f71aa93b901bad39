//! The session of a connection, which handles large messages on a thread beside the workers.
//!
//! While it does, nothing is read, so messages are handled in their order and none is held. Frames are written all the same.
//! What else the session is to do then is done when it has returned; a disconnect, too.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hub::{MemoryCharge, Party};
use tokio_tungstenite::tungstenite::Message;

use crate::sessions::Session;

/// What handles the messages of a connection.
pub(super) struct Handler {
    /// `None` while it handles a large message.
    session: Option<Box<dyn Session>>,
    offloaded: Option<Box<Offloaded>>,
}

/// A session that handles a large message.
struct Offloaded {
    returned: Pin<Box<dyn Future<Output = Box<dyn Session>> + Send>>,
    /// The client has [caught up](Session::caught_up) meanwhile.
    caught_up: bool,
}

impl Handler {
    pub(super) fn new(session: Box<dyn Session>) -> Self {
        Self { session: Some(session), offloaded: None }
    }

    /// The session, unless it handles a large message.
    pub(super) fn session(&mut self) -> Option<&mut (dyn Session + 'static)> {
        self.session.as_deref_mut()
    }

    /// Whether the session can handle what is read.
    pub(super) fn is_ready(&self) -> bool {
        self.session.is_some()
    }

    /// When the session has something to do, as far as that is known.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.session.as_ref()?.deadline()
    }

    /// Handles a message.
    ///
    /// # Panics
    /// If the session handles another one: none is read then.
    pub(super) fn message(&mut self, message: &Message) {
        let session = self.session.as_deref_mut();
        handle(session.expect("nothing is read while a large message is handled"), message);
    }

    /// Has `message` handled beside the workers, when it is the turn of `party`. Until then `charge` is kept: the frames that
    /// the message becomes are charged besides.
    pub(super) fn offload(&mut self, message: Message, charge: Option<MemoryCharge>, party: Party) {
        let Some(mut session) = self.session.take() else { return };
        let (offload, bytes) = (Arc::clone(session.offload()), message.len());
        let work = move || {
            drop(charge);
            handle(&mut *session, &message);
            session.flush();
            session
        };
        let returned = Box::pin(async move { offload.run(party, bytes, work).await });
        self.offloaded = Some(Box::new(Offloaded { returned, caught_up: false }));
    }

    /// Ready when the session has returned from a large message.
    pub(super) fn poll_returned(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(offloaded) = &mut self.offloaded else { return Poll::Pending };
        let mut session = ready!(offloaded.returned.as_mut().poll(cx));
        if offloaded.caught_up {
            session.caught_up();
        }
        *self = Self::new(session);
        Poll::Ready(())
    }

    /// The client has caught up after frames were dropped.
    pub(super) fn caught_up(&mut self) {
        if let Some(offloaded) = &mut self.offloaded {
            offloaded.caught_up = true;
        } else if let Some(session) = self.session() {
            session.caught_up();
        }
    }
}

fn handle(session: &mut dyn Session, message: &Message) {
    match message {
        Message::Text(text) => session.text(text),
        Message::Binary(bytes) => session.binary(bytes),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
    }
}
