//! The two forms in which secrets are stored, as bytes and base64.

use aes::Aes128;
use aes::cipher::{BlockDecrypt, BlockEncrypt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

/// What begins the current form.
pub(super) const PREFIX: &str = "g1:";

/// Bytes of a tag of AES-GCM.
const TAG_LEN: usize = 16;

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// The bytes of a secret in the current form, if it has that.
pub(super) fn current_bytes(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    (bytes.len() >= NONCE_LEN + TAG_LEN).then_some(bytes)
}

/// The bytes of a secret in the legacy form, if it can be in that: some blocks.
pub(super) fn legacy_bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty() && bytes.len().is_multiple_of(BLOCK))
}

/// A secret in the current form.
pub(super) fn encrypt(key: &LessSafeKey, secret: &[u8]) -> String {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).expect("the system provides random numbers");
    let mut text = secret.to_vec();
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
        .expect("a secret is shorter than AES-GCM allows");
    format!("{PREFIX}{}", STANDARD.encode([&nonce, tag.as_ref(), &text].concat()))
}

/// The secret in the bytes of the current form, if they were encrypted with this key.
pub(super) fn decrypt(key: &LessSafeKey, bytes: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
    let (tag, text) = rest.split_at_checked(TAG_LEN)?;
    // Behind the ciphertext is where the library expects the tag.
    let mut bytes = [text, tag].concat();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    Some(key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.to_vec())
}

/// A secret in the legacy form.
pub(super) fn encrypt_legacy(key: &Aes128, secret: &[u8]) -> String {
    let padding = BLOCK - secret.len() % BLOCK;
    let mut bytes = secret.to_vec();
    bytes.resize(secret.len() + padding, padding as u8);
    for block in bytes.chunks_exact_mut(BLOCK) {
        key.encrypt_block(block.into());
    }
    STANDARD.encode(bytes)
}

/// The secret in the bytes of the legacy form, if their padding is right under this key.
pub(super) fn decrypt_legacy(key: &Aes128, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    for block in bytes.chunks_exact_mut(BLOCK) {
        key.decrypt_block(block.into());
    }
    let padding = usize::from(*bytes.last()?);
    let text = bytes.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding))?;
    let is_padding = bytes[text..].iter().all(|byte| usize::from(*byte) == padding);
    bytes.truncate(text);
    is_padding.then_some(bytes)
}
