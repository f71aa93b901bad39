//! Handshakes whose token names a key that the tenant's slow key set does not have.
//!
//! The node fetches the set for such a token, but not again and again, and not for callers without limit: most tokens
//! are refused at once. Only one that was held until the set had come is a round.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use super::{Attack, repeat};
use crate::target::SLOW;

/// A refusal that is not held for the keys comes within `server.connect_error_backoff`, a second.
const HELD_MIN: Duration = Duration::from_secs(2);

static KEY: AtomicU64 = AtomicU64::new(0);

pub const ATTACK: Attack = Attack {
    name: "unknown-keys",
    about: "600 handshakes at once with an unknown `kid` at a tenant with a slow key set",
    start: |target| {
        repeat(target, 600, |target, number| {
            let header =
                json!({"alg": "ES256", "typ": "JWT", "kid": KEY.fetch_add(1, Ordering::Relaxed).to_string()});
            let claims = json!({"role": "authenticated", "exp": u32::MAX});
            let token = target.issuer().sign_with_header(&header, &claims);
            let mut socket = target.dial(number)?;
            socket.write(
                format!(
                    "GET /socket/websocket?vsn=2.0.0&tenant={SLOW}&apikey={token} HTTP/1.1\r\nhost: localhost\r\n\
                     connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                )
                .as_bytes(),
            )?;
            let sent = Instant::now();
            let head = socket.response_head()?;
            let was_held = head.starts_with("HTTP/1.1 401") && sent.elapsed() >= HELD_MIN;
            ensure!(was_held, "refused at once: {head}");
            Ok(())
        })
    },
};
