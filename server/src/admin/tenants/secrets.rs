//! Secrets as they are stored: encrypted, once.

use secrecy::SecretString;

use crate::store::{EncryptionError, EncryptionKeys};

/// What a request gives for a secret, as it is to be stored: what is stored now, which is what GET has returned, stays as
/// it is.
///
/// # Errors
/// When there is no key.
pub(super) fn encrypted(
    given: &str,
    stored: Option<&str>,
    keys: &EncryptionKeys,
) -> Result<String, EncryptionError> {
    if stored == Some(given) { Ok(given.into()) } else { keys.encrypt(&SecretString::from(given)) }
}

/// The error of a field that cannot be encrypted.
pub(super) fn message(error: EncryptionError) -> String {
    format!("cannot be encrypted: {error}")
}

#[cfg(test)]
pub(super) mod tests {
    use secrecy::ExposeSecret;
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
    }
}
