//! Tokens while connected: refreshed by the client, ended by the clock or with their key
//! (docs/protocol/tokens.md#expiry).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use wire::supabase::TokenRefresh;

use super::PhoenixSession;
use super::outbound::Outbound;
use crate::auth::{Claims, Fingerprint, TokenError};

/// A token is looked at again at least this often, however long it lives: the clock may be set meanwhile,
/// and no timer has to reach decades ahead.
const RECHECK: Duration = Duration::from_secs(300);

impl PhoenixSession {
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
        let verified = self.tenant.policy().verifier.verify(&token, SystemTime::now());
        match verified {
            Ok(claims) => {
                let claims = Arc::new(claims);
                joined.claims = Arc::clone(&claims);
                self.look_by(Some(self.recheck_deadline(&claims)));
            }
            Err(error) => {
                self.end_because(topic, &error);
                self.watch_rooms();
            }
        }
    }

    /// Ends every channel whose token has run out, or was signed with a key that was taken away. Clients join
    /// again with the token they hold by then.
    pub(super) fn end_outlived(&mut self) {
        let (policy, now) = (self.tenant.policy(), SystemTime::now());
        let outlived: Vec<(Box<str>, TokenError)> = self
            .topics
            .iter()
            .filter_map(|(topic, joined)| {
                let error = policy.verifier.recheck(&joined.claims, now).err()?;
                Some((topic.clone(), error))
            })
            .collect();
        for (topic, error) in outlived {
            self.end_because(&topic, &error);
        }
    }

    /// Ends a channel because of its token. If that was good once, or names a key that is being fetched, the
    /// client may come again; one that never was good is told that this is the end.
    fn end_because(&mut self, topic: &str, error: &TokenError) {
        let may_be_good = error.may_join_again() || self.tenant.policy().verifier.is_looking_into(error);
        let last_word = if may_be_good { Outbound::errored } else { Outbound::closed };
        self.end(topic, &error.refresh_text(), last_word);
    }

    /// When the first token has to be looked at.
    pub(super) fn token_deadline(&self) -> Option<Instant> {
        // The times as tokens have them are compared, because a client may be in thousands of rooms.
        let first =
            self.topics.values().map(|joined| &joined.claims).min_by_key(|claims| claims.expires_at)?;
        Some(self.recheck_deadline(first))
    }

    /// When a token that said `claims` has to be looked at.
    pub(super) fn recheck_deadline(&self, claims: &Claims) -> Instant {
        let left = self.tenant.policy().verifier.time_left(claims, SystemTime::now());
        Instant::now() + left.min(RECHECK)
    }
}
