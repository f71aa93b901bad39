//! A page that may be large because it has a part for each tenant, at a path that many clients may request at once.
//!
//! One thread at a time renders it, of those with a lower priority than the workers (`workers/offload.rs`). A client that does
//! not read its response keeps a whole page in memory, which it shares with those that got the same one. So only some responses
//! may be unread at once, and of few pages, and one may be closed for another (`unread.rs`). A request that finds no room waits
//! for some. Rendering may take a tenth of one processor's time. While that is used up, or too many pages are unread, the newest
//! one is sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use hub::{MemoryCharge, MemoryKind, Party};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Mutex;
use tokio::task::JoinError;

use super::unread::{Unread, UnreadResponse};
use crate::node::Node;
use crate::response;
use crate::routes::{RequestHead, RoutedRequest};
use crate::telemetry::codes::{Code, Scope};
use crate::token_bucket::TokenBucket;

/// How long a request waits for room. Others may take it first.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// How long it waits at least before it looks again, because many may wait.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// Milliseconds in a second in which a page may be rendered; ten seconds' worth at once.
const RENDERING_PER_SECOND: u64 = 100;

/// What the page is, and its newest text.
pub(super) struct Page {
    node: Arc<Node>,
    content_type: &'static str,
    render: fn(&Node) -> String,
    unread: Arc<Unread>,
    newest: Arc<Mutex<Newest>>,
}

/// Locked while it is rendered.
struct Newest {
    text: Option<Arc<Text>>,
    time: TokenBucket,
    /// How many texts have been rendered.
    count: u64,
}

/// The bytes of a page, counted among those that wait to be sent. They have a limit of their own, so that operators see the
/// page also while clients use all memory.
struct Text {
    bytes: String,
    number: u64,
    rendered_at: Instant,
    _charge: MemoryCharge,
}

/// The body of one response.
struct Body {
    text: Arc<Text>,
    _unread: UnreadResponse,
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.text.bytes.as_bytes()
    }
}

impl Page {
    pub(super) fn new(
        node: &Arc<Node>,
        content_type: &'static str,
        render: fn(&Node) -> String,
    ) -> Arc<Self> {
        let newest = Newest { text: None, time: TokenBucket::per_second(RENDERING_PER_SECOND), count: 0 };
        let (unread, newest) = (Arc::default(), Arc::new(Mutex::new(newest)));
        Arc::new(Self { node: Arc::clone(node), content_type, render, unread, newest })
    }

    /// The node whose page it is.
    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// Responds with the page.
    pub(super) async fn respond(self: Arc<Self>, request: RoutedRequest) -> Response<Bytes> {
        let Some(unread) = self.wait_for_room(&request.head).await else {
            let code = Code::UnreadPageLimitReached;
            self.node.reports.record(code.at(Scope::Http), code.text());
            return response::json(StatusCode::SERVICE_UNAVAILABLE, &code.text().into());
        };
        match self.text().await {
            Ok(text) => {
                unread.is_of(text.number);
                let body = Bytes::from_owner(Body { text, _unread: unread });
                response::page(StatusCode::OK, self.content_type, body)
            }
            Err(_panicked) => response::empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// The page: the newest one if that is to be sent again, or another one.
    async fn text(&self) -> Result<Arc<Text>, JoinError> {
        let mut newest = Arc::clone(&self.newest).lock_owned().await;
        if let Some(text) = newest.again(&self.unread, Instant::now()) {
            return Ok(text);
        }
        let (node, render) = (Arc::clone(&self.node), self.render);
        // A task, which keeps the lock, because it goes on when the client closes its connection.
        tokio::spawn(async move {
            let offload = Arc::clone(&node.offload);
            offload.run_beside(Party::NODE, move || newest.render(&node, render)).await
        })
        .await
    }

    /// Room for the response to this request; `None` if others take it for too long.
    async fn wait_for_room(&self, head: &RequestHead) -> Option<UnreadResponse> {
        let address = head.client_address();
        let network = self.node.client_network(address).unwrap_or(address);
        let end = Instant::now() + WAIT_MAX;
        loop {
            let now = Instant::now();
            match self.unread.open(network, head.closing(), now) {
                Ok(unread) => return Some(unread),
                Err(until) if until < end => {
                    tokio::time::sleep_until(until.max(now + WAIT_MIN).into()).await;
                }
                Err(_) => return None,
            }
        }
    }
}

impl Newest {
    /// The newest text, if no other one may be rendered now.
    fn again(&mut self, unread: &Unread, now: Instant) -> Option<Arc<Text>> {
        let text = self.text.as_ref()?;
        let may_render = self.time.has_any(now) && unread.make_room_for_text(text.rendered_at, now);
        (!may_render).then(|| Arc::clone(text))
    }

    fn render(&mut self, node: &Node, render: fn(&Node) -> String) -> Arc<Text> {
        let (rendered_at, before) = (Instant::now(), processor_time());
        // Not kept beside the new one.
        self.text = None;
        let bytes = render(node);
        let _charge = node.common_memory.charge(MemoryKind::Sending, bytes.capacity());
        // Not the time that passes: on a busy machine the thread waits for the workers.
        let took = u64::try_from(processor_time().saturating_sub(before).as_millis()).unwrap_or(u64::MAX);
        self.time.overdraw(took.saturating_add(1), rendered_at);
        self.count += 1;
        let text = Text { bytes, number: self.count, rendered_at, _charge };
        Arc::clone(self.text.insert(Arc::new(text)))
    }
}

/// What the calling thread has used of a processor.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
