//! The extensions in a body. There is one type: the database whose changes a tenant shows
//! (upstream's `lib/extensions/postgres_cdc_rls/db_settings.ex` has its settings).

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::cast::{self, SECRET_BYTES_MAX};
use super::invalid::FieldError;
use super::secrets::{self, SecretError};
use crate::store::{EncryptionKeys, StoredExtension};
use crate::tenants::ENCRYPTED_SETTINGS as SECRET;

/// The type of a database.
pub(super) const POSTGRES: &str = "postgres_cdc_rls";

/// More than there are types, so that each can have errors of its own, and few, so that the errors are short.
pub(super) const EXTENSIONS_MAX: usize = 16;

/// Settings of a database that have to be given, each a string.
pub(super) const REQUIRED: [&str; 6] = ["region", "db_host", "db_port", "db_name", "db_user", "db_password"];

/// The secret that GET does not return.
const NOT_SHOWN: &str = "db_password";

/// A name of a setting in requests, and the name that upstream stores, misspelt.
const ALIAS: (&str, &str) = ("postgres_changes_pool", "subcriber_pool_size");

/// The settings with a default, which is written to the store.
fn defaults() -> [(&'static str, Value); 5] {
    [
        ("poll_interval_ms", json!(100)),
        ("poll_max_changes", json!(100)),
        ("poll_max_record_bytes", json!(1_048_576)),
        ("publication", json!("supabase_realtime")),
        ("slot_name", json!("supabase_realtime_replication_slot")),
    ]
}

/// The errors of one extension, by field.
type Errors = Map<String, Value>;

/// The extensions of a new tenant; their secrets are not encrypted yet. Those that lack a type or settings are ignored.
///
/// # Errors
/// The errors of the list, or one object for each in it.
pub(super) fn of_new_tenant(value: &Value, keys: &EncryptionKeys) -> Result<Vec<StoredExtension>, Value> {
    let is_complete = |entry: &Value| entry.get("type").is_some() && entry.get("settings").is_some();
    collect(list(value)?.iter().map(|entry| is_complete(entry).then(|| extension(entry, &[], keys))))
}

/// All extensions that a tenant is to have instead of those that are `stored`. Their secrets are not encrypted yet, but for
/// those that are given as they are stored.
///
/// # Errors
/// The errors of the list, or one object for each in it.
pub(super) fn replacing(
    stored: &[StoredExtension],
    value: &Value,
    keys: &EncryptionKeys,
) -> Result<Vec<StoredExtension>, Value> {
    let list = list(value)?;
    if !list.iter().all(Value::is_object) {
        return Err(FieldError::Invalid.into());
    }
    collect(list.iter().map(|entry| Some(extension(entry, stored, keys))))
}

fn list(value: &Value) -> Result<&[Value], Value> {
    let list = value.as_array().ok_or(FieldError::Invalid)?;
    if list.len() > EXTENSIONS_MAX { Err(FieldError::TooMany(EXTENSIONS_MAX).into()) } else { Ok(list) }
}

/// All of them, without those that are ignored, if none has an error and no type is there twice.
fn collect(
    extensions: impl Iterator<Item = Option<Result<StoredExtension, Errors>>>,
) -> Result<Vec<StoredExtension>, Value> {
    let (mut valid, mut errors, mut kinds) = (Vec::new(), Vec::new(), HashSet::new());
    for extension in extensions {
        errors.push(match extension.transpose() {
            Ok(Some(extension)) if !kinds.insert(extension.kind.clone()) => only("type", FieldError::Taken),
            Ok(extension) => {
                valid.extend(extension);
                Errors::new()
            }
            Err(errors) => errors,
        });
    }
    if errors.iter().all(Errors::is_empty) { Ok(valid) } else { Err(json!(errors)) }
}

fn only(field: &str, errors: impl Into<Value>) -> Errors {
    Errors::from_iter([(field.to_owned(), errors.into())])
}

fn extension(
    entry: &Value,
    stored: &[StoredExtension],
    keys: &EncryptionKeys,
) -> Result<StoredExtension, Errors> {
    let field = |name| entry.get(name).filter(|value| !cast::is_empty(value)).ok_or(FieldError::Blank);
    let kind = field("type").and_then(kind);
    let given = field("settings").and_then(cast::fields);
    match (kind, given) {
        (Ok(kind), Ok(given)) => {
            let stored = stored.iter().find(|stored| stored.kind == kind).map(|stored| &stored.settings);
            let given = stored.map_or_else(|| given.clone(), |stored| with_stored(given, stored, keys));
            let settings = settings(&given, stored).map_err(|errors| only("settings", errors))?;
            let (inserted_at, updated_at) = (String::new(), String::new());
            Ok(StoredExtension { kind, settings, inserted_at, updated_at })
        }
        (kind, given) => {
            let errors = [("type", kind.err()), ("settings", given.err())].into_iter();
            Err(errors.filter_map(|(field, error)| Some((field.to_owned(), error?.into()))).collect())
        }
    }
}

/// The type that a name means.
pub(super) fn kind(value: &Value) -> Result<String, FieldError> {
    // The second is the name of before 2022.
    let is_known = value.as_str().is_some_and(|name| [POSTGRES, "postgres"].contains(&name));
    if is_known { Ok(POSTGRES.into()) } else { Err(FieldError::Invalid) }
}

/// What is given, with secrets that are stored, but encrypted otherwise, as they are stored.
fn with_stored(given: &Map<String, Value>, stored: &Value, keys: &EncryptionKeys) -> Map<String, Value> {
    let mut given = given.clone();
    for name in SECRET {
        if let (Some(Value::String(text)), Some(stored)) = (given.get_mut(name), stored[name].as_str())
            && secrets::is_same(text, stored, keys)
        {
            stored.clone_into(text);
        }
    }
    given
}

/// The settings to store: those that are given, completed.
fn settings(given: &Map<String, Value>, stored: Option<&Value>) -> Result<Value, Vec<String>> {
    let mut settings = given.clone();
    if let Some(size) = settings.remove(ALIAS.0) {
        settings.insert(ALIAS.1.into(), size);
    }
    for (name, default) in defaults() {
        let value = settings.entry(name).or_insert(Value::Null);
        if value.is_null() {
            *value = default;
        }
    }
    if let Some(secret) = stored.and_then(|stored| hidden_secret(given, stored)) {
        settings.insert(NOT_SHOWN.into(), secret.clone());
    }
    let error = |name| check(settings.get(name), stored.map(|stored| &stored[name])).err();
    let errors = REQUIRED.into_iter().rev().filter_map(|name| Some(format!("{name} {}", error(name)?)));
    let errors: Vec<_> = errors.collect();
    if errors.is_empty() { Ok(Value::Object(settings)) } else { Err(errors) }
}

/// The stored secret that GET leaves out, if the others are given as GET has returned them.
fn hidden_secret<'a>(given: &Map<String, Value>, stored: &'a Value) -> Option<&'a Value> {
    let mut shown = SECRET.into_iter().filter(|name| *name != NOT_SHOWN);
    let is_as_shown = !given.contains_key(NOT_SHOWN)
        && shown.all(|name| given.get(name).is_some_and(|given| *given == stored[name]));
    stored.get(NOT_SHOWN).filter(|_| is_as_shown)
}

/// Checks a required setting. One that is stored may be longer, because it is encrypted.
fn check(given: Option<&Value>, stored: Option<&Value>) -> Result<(), FieldError> {
    match given {
        None | Some(Value::Null) => Err(FieldError::Blank),
        Some(Value::String(_)) if given == stored => Ok(()),
        Some(Value::String(text)) if text.len() > SECRET_BYTES_MAX => {
            Err(FieldError::TooLong(SECRET_BYTES_MAX))
        }
        Some(Value::String(_)) => Ok(()),
        Some(_) => Err(FieldError::Invalid),
    }
}

/// Encrypts the secrets of `extensions` that are not as they are `stored`.
///
/// # Errors
/// The errors of the list, if there is no key, or one is encrypted already.
pub(super) fn encrypt(
    extensions: &mut [StoredExtension],
    stored: &[StoredExtension],
    keys: &EncryptionKeys,
) -> Result<(), Value> {
    for extension in extensions {
        let stored = stored.iter().find(|stored| stored.kind == extension.kind);
        let encrypted = encrypt_settings(&mut extension.settings, stored.map(|it| &it.settings), keys);
        encrypted.map_err(|error| json!([only("settings", json!([error]))]))?;
    }
    Ok(())
}

fn encrypt_settings(
    settings: &mut Value,
    stored: Option<&Value>,
    keys: &EncryptionKeys,
) -> Result<(), String> {
    for name in SECRET {
        if let Some(Value::String(secret)) = settings.get_mut(name) {
            let stored = stored.and_then(|stored| stored[name].as_str());
            *secret = secrets::encrypted(secret, stored, keys).map_err(|error| match error {
                SecretError::Encrypted => format!("{name} {error}"),
                SecretError::Key(_) => error.to_string(),
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
