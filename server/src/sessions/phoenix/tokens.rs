//! Tokens while connected: refreshed by the client, ended by the clock (§6.3, §6.4).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::debug;
use wire::phoenix::Status;
use wire::supabase::TokenRefresh;

use super::Phoenix;
use crate::auth::{Fingerprint, TokenError};

/// A token is looked at again at least this often, however long it lives: the clock may be set meanwhile,
/// and no timer has to reach decades ahead.
const RECHECK: Duration = Duration::from_secs(300);

impl Phoenix {
    /// The event `access_token`. Never answered; a refused token ends the channel.
    pub(super) fn refresh_token(&mut self, topic: &str, payload: &str) {
        let token = match TokenRefresh::parse(payload) {
            TokenRefresh::New(token) => token,
            // Signed out: the rights stay until the token ends.
            TokenRefresh::Unchanged => return,
            TokenRefresh::Unreadable => return self.unknown_event(),
        };
        let Some(joined) = self.topics.get_mut(topic) else { return };
        if Fingerprint::of(&token) == joined.claims.fingerprint {
            return;
        }
        match self.tenant.verifier.verify(&token, SystemTime::now()) {
            Ok(claims) => joined.claims = Arc::new(claims),
            Err(error) => self.end(topic, &error),
        }
        self.reschedule();
    }

    /// Ends every channel whose token has run out.
    pub(super) fn end_expired(&mut self) {
        let now = SystemTime::now();
        let expired: Vec<(Box<str>, TokenError)> = self
            .topics
            .iter()
            .filter_map(|(topic, joined)| {
                let error = self.tenant.verifier.recheck(&joined.claims, now).err()?;
                Some((topic.clone(), error))
            })
            .collect();
        for (topic, error) in expired {
            self.end(&topic, &error);
        }
    }

    /// Ends a channel because of its token. One that ran out is told `phx_error`, on which clients join
    /// again with the token they hold by then; a token that was never good is told `phx_close`.
    fn end(&mut self, topic: &str, error: &TokenError) {
        let Some(joined) = self.topics.remove(topic) else { return };
        let (code, tenant) = ("ChannelShutdown", &self.tenant.id);
        debug!(parent: &self.origin.span(), code, %tenant, "Ended a channel: {error}");
        let join_ref = joined.join_ref.clone();
        drop(joined);
        self.line.system(&join_ref, topic, "system", Status::Error, &error.refresh_text());
        if error.is_outlived() {
            self.line.errored(&join_ref, topic);
        } else {
            self.line.closed(&join_ref, topic);
        }
    }

    /// When the first token has to be looked at.
    pub(super) fn token_deadline(&self, now: Instant) -> Option<Instant> {
        let wall_clock = SystemTime::now();
        let lefts =
            self.topics.values().map(|joined| self.tenant.verifier.time_left(&joined.claims, wall_clock));
        lefts.min().map(|left| now + left.min(RECHECK))
    }
}
