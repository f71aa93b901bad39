//! What a queue holds at most.

/// The bounds of a queue. A single frame always fits an empty queue.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Maximum bytes.
    pub bytes: usize,
    /// Maximum frames.
    pub frames: u32,
}
