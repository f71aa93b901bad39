//! Rules that involve two keys.
//!
//! Every problem is reported, not only the first, so that a file can be fixed at once. What concerns one
//! key, ranges included, is marked where the key is defined.

use secrecy::ExposeSecret;

use crate::problem::{Conflict, Problem};
use crate::{Settings, secrets};

impl Settings {
    /// Every problem between these settings; none when they can be used.
    pub fn check(&self) -> Vec<Problem> {
        let conflicts = self.conflicts().into_iter();
        conflicts.map(|conflict| Problem::with(conflict.keys[0].clone(), conflict.message)).collect()
    }

    pub(crate) fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let mut expect = |holds: bool, keys: &[&str], message: &str| {
            if !holds {
                let keys = keys.iter().map(|key| (*key).to_owned()).collect();
                conflicts.push(Conflict { keys, message: message.into() });
            }
        };
        expect(
            self.server.idle_timeout > self.server.ping_interval,
            &["server.idle_timeout", "server.ping_interval"],
            "must be longer than server.ping_interval, or clients are disconnected before they are pinged",
        );
        let tls = &self.server.tls;
        expect(
            tls.cert_file.is_some() == tls.key_file.is_some(),
            &["server.tls.cert_file", "server.tls.key_file"],
            "server.tls.cert_file and server.tls.key_file are needed together",
        );
        expect(
            !self.server.listeners_collide(),
            &["server.internal.port", "server.port"],
            "must not be server.port: the internal listener needs a port of its own",
        );
        expect(
            !self.server.internal.exclusive || self.server.internal.port.is_some(),
            &["server.internal.exclusive", "server.internal.port"],
            "needs server.internal.port, without which operators have no port",
        );
        expect(
            self.telemetry.push.auth_can_be_sent(),
            &["telemetry.push.auth"],
            "has a space, so it is the value of a header, which cannot have line breaks or other control characters",
        );
        if let Some((key, message)) = self.telemetry.cloudwatch.problem() {
            expect(false, &[key], message);
        }
        self.expect_keys_of_the_right_length(&mut expect);
        self.expect_frames_that_fit(&mut expect);
        conflicts.extend(secrets::shared_with_operators(self));
        conflicts
    }

    /// The ciphers of the store need keys of exactly these lengths.
    fn expect_keys_of_the_right_length(&self, expect: &mut impl FnMut(bool, &[&str], &str)) {
        let store = &self.store;
        for (name, key, bytes, random) in [
            ("store.encryption_key", &store.encryption_key, 32, 24),
            ("store.previous_encryption_key", &store.previous_encryption_key, 32, 24),
            ("store.legacy_encryption_key", &store.legacy_encryption_key, 16, 12),
        ] {
            let given = key.as_ref().map_or(bytes, |key| key.expose_secret().len());
            let message = format!(
                "has {given} bytes, and needs exactly {bytes}, such as the output of `openssl rand -base64 {random}`"
            );
            expect(given == bytes, &[name], &message);
        }
    }

    /// A payload that is allowed must fit into a message that is allowed.
    fn expect_frames_that_fit(&self, expect: &mut impl FnMut(bool, &[&str], &str)) {
        let frame = self.server.max_frame_size.as_u64();
        let own = ("limits".to_owned(), &self.limits);
        let tenants = self.tenants.iter();
        let tenants = tenants.map(|(id, tenant)| (format!("tenants.{id}.limits"), &tenant.limits));
        // A limit that is taken over is told where it stands.
        let inherited =
            |limits: &crate::Limits| limits.max_payload_size_in_kb == self.limits.max_payload_size_in_kb;
        let tenants = tenants.filter(|(_, limits)| !inherited(limits));
        for (section, limits) in std::iter::once(own).chain(tenants) {
            let payload = limits.max_payload_bytes() as u64;
            let message = format!(
                "must fit into server.max_frame_size: with its envelope such a payload has {payload} bytes, and a \
                 message of more than {frame} closes its connection"
            );
            let key = format!("{section}.max_payload_size_in_kb");
            expect(payload <= frame, &[&key, "server.max_frame_size"], &message);
        }
    }
}
