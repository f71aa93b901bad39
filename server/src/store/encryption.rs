//! Encryption of secrets at rest, in upstream's two forms (docs/protocol/postgres.md#encryption-at-rest).
//!
//! | form | recognised by | content |
//! |---|---|---|
//! | current | `g1:` | base64 of nonce (12 bytes), tag (16) and ciphertext; AES-256-GCM |
//! | legacy | nothing | base64 of ciphertext; AES-128-ECB with PKCS#7 padding |

use aes::Aes128;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretString};

/// What begins the current form.
const CURRENT: &str = "g1:";

/// Bytes of a tag of AES-GCM.
const TAG_LEN: usize = 16;

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// The keys of a store.
pub struct EncryptionKeys {
    current: Option<LessSafeKey>,
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
    /// The key for AES-128-ECB.
    #[error("`store.legacy_encryption_key` has {0} bytes; it needs exactly 16")]
    Legacy(usize),
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
        let current = current.map(|key| {
            let key = key.expose_secret().as_bytes();
            UnboundKey::new(&AES_256_GCM, key).map_err(|_length| KeyError::Current(key.len()))
        });
        let legacy = legacy.map(|key| {
            let key = key.expose_secret().as_bytes();
            Aes128::new_from_slice(key).map_err(|_length| KeyError::Legacy(key.len()))
        });
        Ok(Self { current: current.transpose()?.map(LessSafeKey::new), legacy: legacy.transpose()?, written })
    }

    /// Encrypts a secret. In the current form the result is another each time.
    ///
    /// # Errors
    /// [`EncryptionError::NoKey`] when there is no key at all.
    pub fn encrypt(&self, secret: &SecretString) -> Result<String, EncryptionError> {
        let secret = secret.expose_secret().as_bytes();
        match (&self.current, &self.legacy) {
            (Some(key), None) => Ok(encrypt(key, secret)),
            (Some(key), Some(_)) if self.written == WrittenForm::Current => Ok(encrypt(key, secret)),
            (_, Some(key)) => Ok(encrypt_legacy(key, secret)),
            (None, None) => Err(EncryptionError::NoKey(CURRENT_KEY)),
        }
    }

    /// Decrypts a secret in either form.
    ///
    /// # Errors
    /// When there is no key for it, or it was encrypted with another.
    pub fn decrypt(&self, encrypted: &str) -> Result<SecretString, EncryptionError> {
        let is_current = encrypted.starts_with(CURRENT);
        let bytes = STANDARD.decode(encrypted.strip_prefix(CURRENT).unwrap_or(encrypted));
        let bytes = bytes.map_err(|_no_base64| EncryptionError::NotEncrypted)?;
        let name = if is_current { CURRENT_KEY } else { LEGACY_KEY };
        let decrypted = if is_current {
            decrypt(self.current.as_ref().ok_or(EncryptionError::NoKey(name))?, bytes)
        } else {
            decrypt_legacy(self.legacy.as_ref().ok_or(EncryptionError::NoKey(name))?, bytes)
        };
        let text = decrypted.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(SecretString::from).ok_or(EncryptionError::WrongKey(name))
    }
}

fn encrypt(key: &LessSafeKey, secret: &[u8]) -> String {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).expect("the system provides random numbers");
    let mut text = secret.to_vec();
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
        .expect("a secret is shorter than AES-GCM allows");
    format!("{CURRENT}{}", STANDARD.encode([&nonce, tag.as_ref(), &text].concat()))
}

fn decrypt(key: &LessSafeKey, bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
    let (tag, text) = rest.split_at_checked(TAG_LEN)?;
    // Behind the ciphertext is where the library expects the tag.
    let mut bytes = [text, tag].concat();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    Some(key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.to_vec())
}

fn encrypt_legacy(key: &Aes128, secret: &[u8]) -> String {
    let padding = BLOCK - secret.len() % BLOCK;
    let mut bytes = secret.to_vec();
    bytes.resize(secret.len() + padding, padding as u8);
    for block in bytes.chunks_exact_mut(BLOCK) {
        key.encrypt_block(block.into());
    }
    STANDARD.encode(bytes)
}

fn decrypt_legacy(key: &Aes128, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(BLOCK) {
        return None;
    }
    for block in bytes.chunks_exact_mut(BLOCK) {
        key.decrypt_block(block.into());
    }
    let padding = usize::from(*bytes.last()?);
    let text = bytes.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding))?;
    let is_padding = bytes[text..].iter().all(|byte| usize::from(*byte) == padding);
    bytes.truncate(text);
    is_padding.then_some(bytes)
}

impl std::fmt::Debug for EncryptionKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (current, legacy) = (self.current.is_some(), self.legacy.is_some());
        out.debug_struct("EncryptionKeys").field("current", &current).field("legacy", &legacy).finish()
    }
}
