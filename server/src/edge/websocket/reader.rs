//! What reads the messages of a client: tungstenite, which a connection has to itself only while it is in a message.
//!
//! Between two messages tungstenite knows nothing of the connection, and its buffer is empty. So each thread has one that
//! its connections use in turns. Of ten thousand that are silent this saves 1.4 KiB each, and of those that send, the one
//! buffer stays in the processor's cache.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hub::{MemoryCharge, MemoryKind, UNCHARGED_BYTES};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};

use super::config::ConnectionConfig;
use super::tap::Tap;

thread_local! {
    static SHARED: Cell<Option<Box<Decoder>>> = const { Cell::new(None) };
}

/// tungstenite, with the configuration that it was made for.
struct Decoder {
    context: WebSocketContext,
    config: Arc<ConnectionConfig>,
}

/// What reading has come to.
#[derive(Debug)]
pub(super) enum ReadOutcome {
    Message(Message),
    /// So much was read that other connections get their turn, and no message is complete; or one was skipped. There may be
    /// more to read, and no waker is registered.
    Over,
    Failed(Error),
    /// Both close frames are exchanged, or reading has failed before.
    Ended,
}

/// Reads the messages of one connection.
#[derive(Default)]
pub(super) struct MessageReader {
    /// While the connection is in a message, has messages that were read and not returned, or is closing.
    own: Option<Box<Decoder>>,
    /// For `own`, between two reads.
    charge: Option<MemoryCharge>,
    has_ended: bool,
}

impl MessageReader {
    /// The next message, or why there is none.
    pub(super) fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        tap: &mut Tap<S>,
        config: &Arc<ConnectionConfig>,
        cx: &mut Context<'_>,
    ) -> Poll<ReadOutcome> {
        if self.has_ended {
            return Poll::Ready(ReadOutcome::Ended);
        }
        let mut decoder = self.own.take().unwrap_or_else(|| Decoder::borrow(config));
        tap.begin_read();
        let read = decoder.context.read(&mut Tapped { tap, cx });
        if let Err(Error::Io(error)) = &read
            && error.kind() == io::ErrorKind::WouldBlock
        {
            if tap.is_in_message() || !decoder.context.can_write() {
                self.own = Some(decoder);
            } else {
                decoder.give_back();
            }
            return if tap.is_read_over() { Poll::Ready(ReadOutcome::Over) } else { Poll::Pending };
        }
        self.has_ended = read.is_err();
        // The buffer that grew for a large message would be kept, and not be charged, while the next one is received. It is
        // empty: the tap passes nothing that follows before this is handed over.
        if !(read.as_ref().is_ok_and(is_large) && decoder.context.can_write()) {
            self.own = Some(decoder);
        }
        Poll::Ready(match read {
            Ok(message) => ReadOutcome::Message(message),
            Err(Error::AlreadyClosed | Error::ConnectionClosed) => ReadOutcome::Ended,
            Err(error) => ReadOutcome::Failed(error),
        })
    }

    /// Charges what is kept until the next read: a part of a message that is not large, with its decoder.
    ///
    /// # Errors
    /// When there is no memory for it, neither of the tenant nor of that which is reserved for connections.
    pub(super) fn charge_kept<S>(&mut self, tap: &Tap<S>, config: &ConnectionConfig) -> io::Result<()> {
        if self.own.is_none() || tap.is_in_large_message() {
            self.charge = None;
        } else if self.charge.is_none() {
            let bytes = size_of::<Decoder>() + config.read_buffer_size + UNCHARGED_BYTES;
            let memory = tap.memory();
            if !memory.has_room_for_connection(bytes) {
                memory.count_refusal(MemoryKind::Connections);
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            self.charge = Some(memory.charge(MemoryKind::Connections, bytes));
        }
        Ok(())
    }

    /// Writes a close frame into the tap, unless one was written before.
    pub(super) fn close<S: AsyncRead + Unpin>(
        &mut self,
        tap: &mut Tap<S>,
        config: &Arc<ConnectionConfig>,
        frame: CloseFrame,
    ) {
        let decoder = self.own.get_or_insert_with(|| Decoder::borrow(config));
        let mut stream = Tapped { tap, cx: &mut Context::from_waker(Waker::noop()) };
        // The tap accepts everything; this fails only if the client has closed.
        let _already_closing = decoder.context.close(&mut stream, Some(frame));
    }
}

impl Decoder {
    /// The one of this thread, or another if that is in use or of another configuration.
    fn borrow(config: &Arc<ConnectionConfig>) -> Box<Self> {
        match SHARED.take().filter(|shared| Arc::ptr_eq(&shared.config, config)) {
            Some(shared) => shared,
            None => {
                let limits = WebSocketConfig::default()
                    .read_buffer_size(config.read_buffer_size)
                    .max_message_size(Some(config.max_message_size))
                    .max_frame_size(Some(config.max_message_size));
                let context = WebSocketContext::new(Role::Server, Some(limits));
                Box::new(Self { context, config: Arc::clone(config) })
            }
        }
    }

    /// For the next connection of this thread. It must be between two messages.
    fn give_back(self: Box<Self>) {
        SHARED.set(Some(self));
    }
}

/// Whether it was charged as a whole, and so had a buffer of its size.
fn is_large(message: &Message) -> bool {
    (message.is_text() || message.is_binary()) && message.len() > UNCHARGED_BYTES
}

/// A tap as tungstenite uses it.
struct Tapped<'a, 'cx, S> {
    tap: &'a mut Tap<S>,
    cx: &'a mut Context<'cx>,
}

impl<S: AsyncRead + Unpin> Read for Tapped<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match self.tap.poll_read(self.cx, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S> Write for Tapped<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tap.write_control(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::time::Duration;

    use hub::{MemoryBudget, TenantMemory};
    use proptest::prelude::*;
    use proptest::sample::Index;
    use settings::Settings;

    use super::super::tap::BYTES_PER_READ;
    use super::*;

    const SIZES: [usize; 5] = [0, 1, 100, 1_200, 20_000];

    /// What a client sends, in the parts in which it arrives. Between two of them nothing is there to read.
    struct Parts(VecDeque<Vec<u8>>);

    impl AsyncRead for Parts {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Some(mut part) = self.0.pop_front() else { return Poll::Ready(Ok(())) };
            if part.is_empty() {
                return Poll::Pending;
            }
            let rest = part.split_off(part.len().min(buffer.remaining()));
            buffer.put_slice(&part);
            self.0.push_front(rest);
            Poll::Ready(Ok(()))
        }
    }

    struct TestClient {
        tap: Tap<Parts>,
        reader: MessageReader,
        received: Vec<String>,
    }

    impl TestClient {
        fn new(parts: VecDeque<Vec<u8>>, memory: &Arc<TenantMemory>, config: &Arc<ConnectionConfig>) -> Self {
            let tap = Tap::new(Parts(parts), &[], Arc::clone(memory), Arc::clone(config));
            Self { tap, reader: MessageReader::default(), received: Vec::new() }
        }

        /// Reads what has arrived. Returns whether more is to come.
        fn read(&mut self, config: &Arc<ConnectionConfig>) -> bool {
            loop {
                let mut cx = Context::from_waker(Waker::noop());
                match self.reader.poll_next(&mut self.tap, config, &mut cx) {
                    Poll::Ready(ReadOutcome::Ended) => return false,
                    Poll::Ready(ReadOutcome::Over) => drop(self.tap.take_skipped()),
                    Poll::Ready(read) => self.received.push(format!("{read:?}")),
                    Poll::Pending => return true,
                }
            }
        }
    }

    /// Reads what each client has sent, one after the other, until all have gone or wait.
    fn read_all(clients: &mut [TestClient], config: &Arc<ConnectionConfig>) {
        let mut rounds = 0..1_000;
        while clients.iter_mut().filter_map(|client| client.read(config).then_some(())).count() > 0 {
            rounds.next().expect("every message is read or skipped");
        }
    }

    /// A frame, masked with zeros.
    fn frame((opcode, is_final, bytes): (u8, bool, usize)) -> Vec<u8> {
        let mut frame = vec![opcode | u8::from(is_final) << 7, 0xff];
        frame.extend((bytes as u64).to_be_bytes());
        frame.extend([0; 4]);
        frame.resize(frame.len() + bytes, b'x');
        frame
    }

    /// The frames of a client, and where the parts end in which they arrive.
    fn sent() -> impl Strategy<Value = (Vec<(u8, bool, usize)>, Vec<Index>)> {
        let data = (prop::sample::select(vec![0, 1, 2]), any::<bool>(), prop::sample::select(SIZES.to_vec()));
        let ping = (Just(9), Just(true), 0_usize..=125);
        let frames = prop::collection::vec(prop_oneof![4 => data, 1 => ping], 0..8);
        (frames, prop::collection::vec(any::<Index>(), 0..8))
    }

    fn parts((frames, cuts): &(Vec<(u8, bool, usize)>, Vec<Index>)) -> VecDeque<Vec<u8>> {
        let bytes: Vec<u8> = frames.iter().copied().flat_map(frame).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect()
    }

    proptest! {
        #[test]
        fn what_a_client_sends_does_not_depend_on_those_that_use_the_same_decoder(
            clients in prop::collection::vec(sent(), 2..4),
            is_short_of_memory: bool,
        ) {
            let mut settings = Settings::default();
            settings.server.large_message_timeout = Duration::ZERO;
            let config = Arc::new(ConnectionConfig::of(&settings));
            let memory = match is_short_of_memory {
                true => TenantMemory::new(&MemoryBudget::new(0, 75)),
                false => TenantMemory::unlimited(),
            };
            let client = |sent| TestClient::new(parts(sent), &memory, &config);
            let mut alone: Vec<_> = clients.iter().map(client).collect();
            for client in &mut alone {
                drop(SHARED.take());
                read_all(std::slice::from_mut(client), &config);
            }
            let mut together: Vec<_> = clients.iter().map(client).collect();
            read_all(&mut together, &config);
            for (together, alone) in together.iter().zip(&alone) {
                prop_assert_eq!(&together.received, &alone.received);
            }
        }
    }

    #[test]
    fn connections_between_two_messages_share_a_decoder() {
        let config = Arc::new(ConnectionConfig::of(&Settings::default()));
        let client = || {
            let parts = [frame((1, true, 5)), frame((1, true, 900))];
            TestClient::new(parts.into(), &TenantMemory::unlimited(), &config)
        };
        let mut clients = [client(), client()];
        for _ in 0..2 {
            clients.iter_mut().for_each(|client| assert!(client.read(&config)));
            assert!(clients.iter().all(|client| client.reader.own.is_none()));
        }
        assert!(clients.iter().all(|client| client.received.len() == 2));
    }

    #[test]
    fn the_buffer_of_a_large_message_is_not_kept_for_the_next_one() {
        let config = Arc::new(ConnectionConfig::of(&Settings::default()));
        let fragments = [frame((1, false, 1)), frame((0, true, 900_000)), frame((1, true, 3))].concat();
        let mut client = TestClient::new([fragments].into(), &TenantMemory::unlimited(), &config);
        let mut sizes = Vec::new();
        while sizes.len() < 2 {
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(ReadOutcome::Message(message)) =
                client.reader.poll_next(&mut client.tap, &config, &mut cx)
            {
                assert_eq!(client.reader.own.is_none(), message.len() > UNCHARGED_BYTES);
                sizes.push(message.len());
            }
        }
        assert_eq!(sizes, [900_001, 3]);
    }

    #[test]
    fn a_message_of_many_frames_is_read_by_many_reads() {
        let config = Arc::new(ConnectionConfig::of(&Settings::default()));
        let (first, last) = (frame((1, false, 1)), frame((0, true, 1)));
        let fragments = [first, frame((0, false, 1)).repeat(20_000), last].concat();
        let one_read = (BYTES_PER_READ + config.read_buffer_size) as u64;
        let reads = fragments.len() as u64 / one_read;
        let mut client = TestClient::new([fragments].into(), &TenantMemory::unlimited(), &config);
        for number in 0..reads {
            let mut cx = Context::from_waker(Waker::noop());
            let read = client.reader.poll_next(&mut client.tap, &config, &mut cx);
            assert!(matches!(read, Poll::Ready(ReadOutcome::Over)), "read {number}");
            let received = client.tap.take_received();
            assert!(received <= one_read, "{received} by read {number}");
        }
        read_all(std::slice::from_mut(&mut client), &config);
        assert_eq!(client.received.len(), 2, "a message, and that the client has gone");
    }
}
