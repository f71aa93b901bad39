//! Reads the body of a request, within the limit of its route, in time, and within the memory of its tenant.
//!
//! The memory for a body is charged before its first byte is read: its whole announced size, because of many bodies that
//! have half of their memory each none could be completed. A body without an announced size may become as large as the
//! limit, so that is charged. While there is no memory the socket is not read, and the client is held back by TCP.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use hub::{MemoryCharge, MemoryKind, TenantMemory};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use crate::routes::{BodyError, ReceivedBody};
use crate::workers::pause_if_used_up;

/// A body of this size is part of what its connection is charged with.
const SMALL_BODY: usize = 4 * 1024;

/// Reads `body`, of at most `limit` bytes, within `timeout`.
pub(super) async fn read(
    mut body: Incoming,
    limit: usize,
    timeout: Duration,
    memory: Arc<TenantMemory>,
) -> Result<ReceivedBody, BodyError> {
    let deadline = Instant::now() + timeout;
    let announced = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(BodyError::TooLarge);
    }
    let size = announced.unwrap_or(limit);
    let Ok(charge) = timeout_at(deadline, charge(&memory, size)).await else {
        memory.count_refusal(MemoryKind::Receiving);
        let _discarded = timeout_at(deadline + timeout, discard(&mut body)).await;
        return Err(BodyError::OutOfMemory);
    };
    let collected = timeout_at(deadline, collect(&mut body, announced.unwrap_or_default(), limit)).await;
    let bytes = collected.map_err(|_elapsed| BodyError::TimedOut)??;
    Ok(ReceivedBody::new(bytes, charge))
}

/// A charge for a body of this size, as soon as there is memory; none for a small body.
async fn charge(memory: &Arc<TenantMemory>, bytes: usize) -> Option<MemoryCharge> {
    if bytes <= SMALL_BODY {
        return None;
    }
    match memory.charge_in_turn(MemoryKind::Receiving, bytes) {
        Ok(charge) => Some(charge),
        Err(wait) => Some(poll_fn(|cx| wait.poll(cx.waker()).map_or(Poll::Pending, Poll::Ready)).await),
    }
}

/// Reads what the client still sends. If the connection were closed instead, many clients would see that it broke off and
/// not the response.
async fn discard(body: &mut Incoming) {
    while let Some(Ok(_discarded)) = body.frame().await {
        pause_if_used_up().await;
    }
}

/// The bytes of `body`. With the right capacity they are never moved: the buffers that are left behind when a vector grows
/// would take as much memory again, for as long as the allocator keeps them. Memory that is not written is not resident,
/// so that a body that becomes large without having announced its size gets a buffer for the largest.
async fn collect(body: &mut Incoming, capacity: usize, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::with_capacity(capacity);
    while let Some(frame) = body.frame().await {
        // Trailers are refused: no handler reads them, and hyper accepts lines in them that end without a carriage return.
        let data = frame.ok().and_then(|frame| frame.into_data().ok()).ok_or(BodyError::Broken)?;
        if data.len() > limit - bytes.len() {
            return Err(BodyError::TooLarge);
        }
        if data.len() > bytes.capacity() - bytes.len() && bytes.len() + data.len() > SMALL_BODY {
            bytes.reserve_exact(limit - bytes.len());
        }
        bytes.extend_from_slice(&data);
        pause_if_used_up().await;
    }
    Ok(bytes)
}
