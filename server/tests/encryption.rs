//! Secrets at rest, against another implementation: Node's `crypto` reads what we write, and we read what it writes.

use std::process::Command;

use realtime_server::store::{EncryptionError, EncryptionKeys, KeyError, UsedKey, WrittenForm};
use secrecy::{ExposeSecret, SecretString};

const CURRENT: &str = "a key for AES-GCM of 32 bytes !!";
const LEGACY: &str = "supabaserealtime";

/// Empty, whole and broken blocks, Unicode in and out of the first plane, and the longest that is accepted.
fn secrets() -> Vec<String> {
    let texts = [
        "",
        "s",
        "0123456789abcde",
        "0123456789abcdef",
        "0123456789abcdef0",
        "ünï ☃",
        "𝔰𝔢𝔠𝔯𝔢𝔱 🔑",
        "a\nb\tc",
    ];
    let texts = texts.iter().map(|text| (*text).to_owned());
    texts
        .chain(["super-secret-jwt-token-with-at-least-32-characters-long".into(), "☃".repeat(21_845)])
        .collect()
}

fn keys(current: Option<&str>, legacy: Option<&str>, written: WrittenForm) -> EncryptionKeys {
    let (current, legacy) = (current.map(SecretString::from), legacy.map(SecretString::from));
    EncryptionKeys::new(current.as_ref(), legacy.as_ref(), written).unwrap()
}

/// Runs a script of Node with these arguments, and returns what it writes.
fn node(script: &str, arguments: &[&str]) -> String {
    let script = format!(
        "const c = require('node:crypto'); const [key, text] = process.argv.slice(1);\n\
         const say = (text) => process.stdout.write(text);\n{script}"
    );
    let ran = Command::new("node").args(["-e", &script, "--"]).args(arguments).output();
    let ran = ran.expect("Node is installed; `tests/install` does that");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn another_implementation_reads_the_current_form() {
    for secret in secrets() {
        let encrypted =
            keys(Some(CURRENT), None, WrittenForm::Current).encrypt(&secret.clone().into()).unwrap();
        let read = node(
            "const bytes = Buffer.from(text.replace('g1:', ''), 'base64');
             const d = c.createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12));
             d.setAuthTag(bytes.subarray(12, 28));
             say(d.update(bytes.subarray(28), null, 'utf8') + d.final('utf8'));",
            &[CURRENT, &encrypted],
        );
        assert_eq!(read, secret);
    }
}

#[test]
fn the_current_form_of_another_implementation_is_read() {
    for secret in secrets() {
        let encrypted = node(
            "const iv = c.randomBytes(12), e = c.createCipheriv('aes-256-gcm', key, iv);
             const bytes = Buffer.concat([e.update(text, 'utf8'), e.final()]);
             say('g1:' + Buffer.concat([iv, e.getAuthTag(), bytes]).toString('base64'));",
            &[CURRENT, &secret],
        );
        let read = keys(Some(CURRENT), Some(LEGACY), WrittenForm::Legacy).decrypt(&encrypted).unwrap();
        assert_eq!(read.expose_secret(), secret);
    }
}

#[test]
fn the_legacy_form_is_the_same_in_both_directions() {
    for secret in secrets() {
        let theirs = node(
            "const e = c.createCipheriv('aes-128-ecb', key, null);
             say(Buffer.concat([e.update(text, 'utf8'), e.final()]).toString('base64'));",
            &[LEGACY, &secret],
        );
        let keys = keys(Some(CURRENT), Some(LEGACY), WrittenForm::Legacy);
        assert_eq!(keys.encrypt(&secret.clone().into()).unwrap(), theirs);
        assert_eq!(keys.decrypt(&theirs).unwrap().expose_secret(), secret);
    }
}

#[test]
fn the_same_secret_is_encrypted_differently_each_time() {
    let keys = keys(Some(CURRENT), Some(LEGACY), WrittenForm::Current);
    assert_ne!(keys.encrypt(&"secret".into()), keys.encrypt(&"secret".into()));
}

#[test]
fn a_missing_or_wrong_key_is_an_error_that_names_it() {
    let none = keys(None, None, WrittenForm::Current);
    assert_eq!(none.encrypt(&"secret".into()), Err(EncryptionError::NoKey("DB_ENC_KEY_GCM")));
    for (form, other, variable) in [
        (
            WrittenForm::Current,
            keys(Some("another key, also of 32 bytes !!"), None, WrittenForm::Current),
            "DB_ENC_KEY_GCM",
        ),
        (WrittenForm::Legacy, keys(None, Some("another 16 bytes"), WrittenForm::Legacy), "DB_ENC_KEY"),
    ] {
        let encrypted = keys(Some(CURRENT), Some(LEGACY), form).encrypt(&"secret".into()).unwrap();
        assert_eq!(none.decrypt(&encrypted).unwrap_err(), EncryptionError::NoKey(variable));
        assert_eq!(other.decrypt(&encrypted).unwrap_err(), EncryptionError::WrongKey(variable));
    }
    assert_eq!(none.decrypt("plain text").unwrap_err(), EncryptionError::NotEncrypted);
}

#[test]
fn what_was_encrypted_with_a_previous_key_is_read_and_not_written() {
    let (old, older) = ("another key, also of 32 bytes !!", "the key before that, of 32 bytes");
    let previous = [SecretString::from(old), older.into()];
    let keys = keys(Some(CURRENT), Some(LEGACY), WrittenForm::Current).with_previous(&previous).unwrap();
    for (key, used) in [(CURRENT, UsedKey::Current), (old, UsedKey::Previous), (older, UsedKey::Previous)] {
        let encrypted = self::keys(Some(key), None, WrittenForm::Current).encrypt(&"secret".into()).unwrap();
        let (secret, by) = keys.decrypt_with_any(&encrypted).unwrap();
        assert_eq!((secret.expose_secret(), by), ("secret", used));
    }
    assert_eq!(keys.written_with(), Some(UsedKey::Current));
    assert!(keys.decrypt_with_any(&keys.encrypt(&"secret".into()).unwrap()).unwrap().1 == UsedKey::Current);
    let short = self::keys(None, None, WrittenForm::Current).with_previous(&["short".into()]).unwrap_err();
    assert_eq!(short, KeyError::Previous(5));
    assert!(!format!("{keys:?}").contains("key"), "{keys:?}");
}

#[test]
fn damaged_values_are_errors() {
    let keys = keys(Some(CURRENT), Some(LEGACY), WrittenForm::Current);
    let encrypted = keys.encrypt(&"secret".into()).unwrap();
    for length in 0..encrypted.len() {
        assert!(keys.decrypt(&encrypted[..length]).is_err(), "{length}");
    }
    for damaged in ["g1:", "g1:AAAA", "AAAA", "g1:????", ""] {
        assert!(keys.decrypt(damaged).is_err(), "{damaged}");
    }
}

#[test]
fn a_key_has_the_length_of_its_cipher() {
    let short = SecretString::from("short");
    let error = |current, legacy| EncryptionKeys::new(current, legacy, WrittenForm::Current).unwrap_err();
    assert_eq!(error(Some(&short), None), KeyError::Current(5));
    assert_eq!(error(None, Some(&short)), KeyError::Legacy(5));
}
