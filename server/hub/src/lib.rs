//! Rooms in one process: who is where, what they are told, and in what order.
//!
//! No await, no JSON, no sockets, and no protocol: an event encodes itself for each dialect, the hub
//! only moves the resulting frames. Rooms are plain data behind short locks; nothing in here waits.
//!
//! Lock order is shard → room → outbox. The outbox is a leaf, and no callback runs under any of them.

mod frame;

pub use frame::{Dialect, Encode, Frame, FrameCache};
