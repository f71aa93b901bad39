//! Encryption of secrets at rest, in upstream's two forms (docs/protocol/postgres.md#encryption-at-rest).
//!
//! | form | recognised by | content |
//! |---|---|---|
//! | current | `g1:` | base64 of nonce (12 bytes), tag (16) and ciphertext; AES-256-GCM |
//! | legacy | nothing | base64 of ciphertext; AES-128-ECB with PKCS#7 padding |
//!
//! There may be several keys for the current form, which says whether a key is the right one. The legacy form does not, so
//! there is one key for it.

mod cipher;

use aes::Aes128;
use aes::cipher::KeyInit;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use secrecy::{ExposeSecret, SecretString};

/// The keys of a store.
pub struct EncryptionKeys {
    current: Option<LessSafeKey>,
    /// For the current form as well, to read what was encrypted before `current` was set.
    previous: Vec<LessSafeKey>,
    legacy: Option<Aes128>,
    written: WrittenForm,
}

/// The form in which new secrets are written, where there are keys for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WrittenForm {
    /// AES-256-GCM.
    #[default]
    Current,
    /// AES-128-ECB, which every version of upstream reads.
    Legacy,
}

/// A key that cannot be used. The key is in no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key for AES-256-GCM.
    #[error("`store.encryption_key` has {0} bytes; it needs exactly 32")]
    Current(usize),
    /// The key with which secrets were encrypted before.
    #[error("the previous key (`store.previous_encryption_key`) has {0} bytes; it needs exactly 32")]
    Previous(usize),
    /// The key for AES-128-ECB.
    #[error("`store.legacy_encryption_key` has {0} bytes; it needs exactly 16")]
    Legacy(usize),
}

/// Which key a secret is encrypted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedKey {
    /// The one for AES-256-GCM.
    Current,
    /// One that was that before.
    Previous,
    /// The one for AES-128-ECB.
    Legacy,
}

/// Why a secret cannot be encrypted or decrypted. Nothing of it is in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    /// There is no key for its form.
    #[error("there is no key for it: set `{0}`")]
    NoKey(&'static str),
    /// The key is another, or the value is damaged.
    #[error("`{0}` is not the key that it was encrypted with, or it is damaged")]
    WrongKey(&'static str),
    /// It is in neither form.
    #[error("it is not encrypted")]
    NotEncrypted,
    /// It is decrypted, and of no length. Every client could sign tokens with an empty secret.
    #[error("it is empty")]
    Empty,
}

/// The settings of the keys, for messages: by their variables, which operators of both servers know.
const CURRENT_KEY: &str = "DB_ENC_KEY_GCM";
const LEGACY_KEY: &str = "DB_ENC_KEY";

impl EncryptionKeys {
    /// The keys with these bytes.
    ///
    /// # Errors
    /// When one has another length than its cipher needs.
    pub fn new(
        current: Option<&SecretString>,
        legacy: Option<&SecretString>,
        written: WrittenForm,
    ) -> Result<Self, KeyError> {
        let current = current.map(|key| aes_256(key).map_err(KeyError::Current)).transpose()?;
        let legacy = legacy.map(|key| {
            let key = key.expose_secret().as_bytes();
            Aes128::new_from_slice(key).map_err(|_length| KeyError::Legacy(key.len()))
        });
        Ok(Self { current, previous: Vec::new(), legacy: legacy.transpose()?, written })
    }

    /// These keys, and further ones that only decrypt.
    ///
    /// # Errors
    /// When one has another length than its cipher needs.
    pub fn with_previous<'a>(
        mut self,
        keys: impl IntoIterator<Item = &'a SecretString>,
    ) -> Result<Self, KeyError> {
        for key in keys {
            self.previous.push(aes_256(key).map_err(KeyError::Previous)?);
        }
        Ok(self)
    }

    /// The key that [`encrypt`](Self::encrypt) uses.
    pub fn written_with(&self) -> Option<UsedKey> {
        match (&self.current, &self.legacy) {
            (Some(_), None) => Some(UsedKey::Current),
            (Some(_), Some(_)) if self.written == WrittenForm::Current => Some(UsedKey::Current),
            (_, Some(_)) => Some(UsedKey::Legacy),
            (None, None) => None,
        }
    }

    /// Encrypts a secret. In the current form the result is another each time.
    ///
    /// # Errors
    /// [`EncryptionError::NoKey`] when there is no key at all.
    pub fn encrypt(&self, secret: &SecretString) -> Result<String, EncryptionError> {
        let secret = secret.expose_secret().as_bytes();
        match (self.written_with(), &self.current, &self.legacy) {
            (Some(UsedKey::Current), Some(key), _) => Ok(cipher::encrypt(key, secret)),
            (_, _, Some(key)) => Ok(cipher::encrypt_legacy(key, secret)),
            _ => Err(EncryptionError::NoKey(CURRENT_KEY)),
        }
    }

    /// Decrypts a secret in either form.
    ///
    /// # Errors
    /// When there is no key for it, or it was encrypted with another.
    pub fn decrypt(&self, encrypted: &str) -> Result<SecretString, EncryptionError> {
        self.decrypt_with_any(encrypted).map(|(secret, _key)| secret)
    }

    /// Decrypts a secret in either form, and says which key it is encrypted with.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt).
    pub fn decrypt_with_any(&self, encrypted: &str) -> Result<(SecretString, UsedKey), EncryptionError> {
        let (bytes, used) = if encrypted.starts_with(cipher::PREFIX) {
            self.decrypt_current(encrypted)?
        } else {
            (self.decrypt_legacy(encrypted)?, UsedKey::Legacy)
        };
        let name = if used == UsedKey::Legacy { LEGACY_KEY } else { CURRENT_KEY };
        let text = String::from_utf8(bytes).map_err(|_other_key| EncryptionError::WrongKey(name))?;
        Ok((text.into(), used))
    }

    fn decrypt_current(&self, encrypted: &str) -> Result<(Vec<u8>, UsedKey), EncryptionError> {
        if self.current.is_none() && self.previous.is_empty() {
            return Err(EncryptionError::NoKey(CURRENT_KEY));
        }
        let bytes = cipher::current_bytes(encrypted).ok_or(EncryptionError::WrongKey(CURRENT_KEY))?;
        let current = self.current.iter().map(|key| (key, UsedKey::Current));
        let mut keys = current.chain(self.previous.iter().map(|key| (key, UsedKey::Previous)));
        keys.find_map(|(key, used)| Some((cipher::decrypt(key, &bytes)?, used)))
            .ok_or(EncryptionError::WrongKey(CURRENT_KEY))
    }

    fn decrypt_legacy(&self, encrypted: &str) -> Result<Vec<u8>, EncryptionError> {
        let bytes = cipher::legacy_bytes(encrypted).ok_or(EncryptionError::NotEncrypted)?;
        let key = self.legacy.as_ref().ok_or(EncryptionError::NoKey(LEGACY_KEY))?;
        cipher::decrypt_legacy(key, bytes).ok_or(EncryptionError::WrongKey(LEGACY_KEY))
    }
}

/// Whether a text is in the current form, whatever its key is.
pub fn is_in_current_form(text: &str) -> bool {
    cipher::current_bytes(text).is_some()
}

/// The key with these bytes; as an error, how many they are.
fn aes_256(key: &SecretString) -> Result<LessSafeKey, usize> {
    let key = key.expose_secret().as_bytes();
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_length| key.len())
}

impl std::fmt::Debug for EncryptionKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = out.debug_struct("EncryptionKeys");
        out.field("current", &self.current.is_some()).field("previous", &self.previous.len());
        out.field("legacy", &self.legacy.is_some()).finish()
    }
}
