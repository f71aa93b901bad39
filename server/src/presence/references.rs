//! Names for tracked states: `phx_ref`.
//!
//! Clients distinguish states by nothing else, so a ref is never used twice, not even by another node: four random
//! bytes for this process, then a counter of eight. Sixteen base64url characters, as upstream's.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// The source of refs.
#[derive(Debug, Clone, Copy)]
pub struct References;

impl References {
    /// A ref that was not used before.
    pub fn next() -> String {
        static PROCESS: LazyLock<u32> =
            LazyLock::new(|| getrandom::u32().expect("the operating system has random numbers"));
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&PROCESS.to_be_bytes());
        bytes[4..].copy_from_slice(&COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }
}
