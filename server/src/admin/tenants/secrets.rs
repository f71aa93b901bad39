//! Secrets as they are stored: encrypted, once.
//!
//! GET returns some of them encrypted, and what it returns may be sent back, also when it was encrypted again meanwhile. An
//! encrypted value is never taken for another secret than the one that is stored in its place: otherwise who has a copy of the
//! database, and may write tenants, could move the secret of one tenant to where he can observe it.

use secrecy::{ExposeSecret, SecretString};

use crate::store::{EncryptionError, EncryptionKeys, is_in_current_form};

/// Why what a request gives cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretError {
    /// It is encrypted, and is another secret than the stored one, or cannot be compared with it.
    #[error("is encrypted, and not as it is stored; it has to be given in plain text")]
    Encrypted,
    /// There is no key.
    #[error("cannot be encrypted: {0}")]
    Key(#[from] EncryptionError),
}

/// What a request gives for a secret, as it is to be stored: what is stored now, which is what GET has returned, stays as
/// it is, and so does what GET has returned of the same secret before.
///
/// # Errors
/// When it is encrypted, but is not the stored secret; and when there is no key.
pub(super) fn encrypted(
    given: &str,
    stored: Option<&str>,
    keys: &EncryptionKeys,
) -> Result<String, SecretError> {
    match stored {
        Some(stored) if is_same(given, stored, keys) => Ok(stored.into()),
        _ if is_in_current_form(given) => Err(SecretError::Encrypted),
        _ => Ok(keys.encrypt(&SecretString::from(given))?),
    }
}

/// Whether both are the same secret, encrypted. The legacy form looks like any base64; but what decrypts to just the stored
/// secret is no other secret. What another program has stored in plain text is none, and is encrypted when it is given.
pub(super) fn is_same(given: &str, stored: &str, keys: &EncryptionKeys) -> bool {
    match (keys.decrypt(given), keys.decrypt(stored)) {
        (Ok(given), Ok(stored)) => given.expose_secret() == stored.expose_secret(),
        (_, Err(EncryptionError::NotEncrypted)) => false,
        _ => given == stored,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;
    use crate::store::WrittenForm;

    /// Keys that encrypt in the current form.
    pub fn keys() -> EncryptionKeys {
        let key = SecretString::from("0123456789abcdef0123456789abcdef");
        EncryptionKeys::new(Some(&key), None, WrittenForm::Current).expect("a key of 32 bytes")
    }

    /// What was encrypted with [`keys`].
    pub fn decrypted(encrypted: &Value) -> String {
        let encrypted = encrypted.as_str().expect("a secret");
        keys().decrypt(encrypted).expect("encrypted with this key").expose_secret().into()
    }

    #[test]
    fn a_secret_is_encrypted_unless_it_is_stored() {
        let stored = encrypted("secret", None, &keys()).expect("there is a key");
        assert_eq!(decrypted(&stored.clone().into()), "secret");
        assert_eq!(encrypted(&stored, Some(&stored), &keys()).as_ref(), Ok(&stored));
        let again = encrypted("secret", Some(&stored), &keys()).expect("there is a key");
        assert_eq!(decrypted(&again.into()), "secret");
        let plain = encrypted("a secret", Some("a secret"), &keys()).expect("there is a key");
        assert_eq!(decrypted(&plain.into()), "a secret", "it was stored in plain text");
    }

    #[test]
    fn what_get_has_returned_before_is_not_encrypted_twice() {
        let (new, old) = (SecretString::from("fedcba9876543210fedcba9876543210"), "0123456789abcdef".into());
        let before = EncryptionKeys::new(Some(&new), Some(&old), WrittenForm::Legacy).expect("two keys");
        let legacy = before.encrypt(&"secret".into()).expect("there is a key");
        let after = EncryptionKeys::new(Some(&new), Some(&old), WrittenForm::Current).expect("two keys");
        let previous = keys().encrypt(&"secret".into()).expect("there is a key");
        let after = after.with_previous([&"0123456789abcdef0123456789abcdef".into()]).expect("32 bytes");
        let stored = after.encrypt(&"secret".into()).expect("there is a key");
        for given in [&legacy, &previous, &after.encrypt(&"secret".into()).expect("there is a key")] {
            assert_eq!(encrypted(given, Some(&stored), &after).as_ref(), Ok(&stored), "{given}");
        }
        // Another secret, of another tenant or of before a change, or under a key that is gone.
        let other = after.encrypt(&"other".into()).expect("there is a key");
        assert_eq!(encrypted(&other, Some(&stored), &after), Err(SecretError::Encrypted));
        assert_eq!(encrypted(&other, None, &after), Err(SecretError::Encrypted));
        assert_eq!(encrypted(&previous, Some(&stored), &before), Err(SecretError::Encrypted));
        // What could be in the legacy form may as well be a secret of random bytes in base64.
        let other = before.encrypt(&"other".into()).expect("there is a key");
        let taken = encrypted(&other, Some(&stored), &after).expect("it is plain text");
        assert_eq!(after.decrypt(&taken).expect("ours").expose_secret(), other);
    }
}
