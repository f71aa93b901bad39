//! What extensions are accepted, how their settings are completed, and the errors of each.

use super::*;
use crate::admin::tenants::secrets::tests::{decrypted, keys};

/// The settings of the example in upstream's documentation, with these changes; null takes one out.
fn settings(changes: Value) -> Value {
    let mut settings = json!({
        "db_name": "postgres",
        "db_host": "host.docker.internal",
        "db_user": "supabase_admin",
        "db_password": "letmein",
        "db_port": "5432",
        "region": "us-west-1",
        "poll_max_record_bytes": 2_000_000,
        "ssl_enforced": false,
    });
    for (name, value) in changes.as_object().expect("an object") {
        settings[name] = value.clone();
    }
    settings.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    settings
}

fn database(changes: Value) -> Value {
    json!({ "type": "postgres_cdc_rls", "settings": settings(changes) })
}

/// The extension that is stored of one that a request gives.
fn stored(given: Value) -> StoredExtension {
    let mut extensions = of_new_tenant(&json!([given]), &keys()).expect("valid");
    encrypt(&mut extensions, &[], &keys()).expect("there is a key");
    extensions.pop().expect("one")
}

/// As GET shows it.
fn shown(stored: &StoredExtension) -> Value {
    let mut settings = stored.settings.clone();
    settings.as_object_mut().expect("an object").remove("db_password");
    settings
}

fn replaced(before: &StoredExtension, given: Value) -> Result<StoredExtension, Value> {
    let before = std::slice::from_ref(before);
    let mut extensions = replacing(before, &json!([given]), &keys())?;
    encrypt(&mut extensions, before, &keys()).expect("there is a key");
    Ok(extensions.pop().expect("one"))
}

#[test]
fn settings_are_completed_and_secrets_encrypted() {
    let StoredExtension { kind, settings, .. } = stored(database(json!({"more": [1]})));
    assert_eq!(kind, "postgres_cdc_rls");
    let plain =
        ["db_host", "db_port", "db_name", "db_user", "db_password"].map(|name| decrypted(&settings[name]));
    assert_eq!(plain, ["host.docker.internal", "5432", "postgres", "supabase_admin", "letmein"]);
    let mut others = settings;
    others.as_object_mut().expect("an object").retain(|name, _| !SECRET.contains(&&**name));
    let expected = json!({
        "region": "us-west-1",
        "publication": "supabase_realtime",
        "slot_name": "supabase_realtime_replication_slot",
        "poll_interval_ms": 100,
        "poll_max_changes": 100,
        "poll_max_record_bytes": 2_000_000,
        "ssl_enforced": false,
        "more": [1],
    });
    assert_eq!(others, expected);
}

#[test]
fn other_names_of_types_and_settings_are_translated() {
    let given = json!({"type": "postgres", "settings": settings(json!({"postgres_changes_pool": 9, "subcriber_pool_size": 4}))});
    let StoredExtension { kind, settings, .. } = stored(given);
    assert_eq!(kind, "postgres_cdc_rls");
    assert_eq!((&settings["subcriber_pool_size"], settings.get("postgres_changes_pool")), (&json!(9), None));
    let given = self::settings(json!({"publication": null}));
    let StoredExtension { settings, .. } = stored(json!({"type": "postgres", "settings": given}));
    assert_eq!(settings["publication"], "supabase_realtime");
}

#[test]
fn every_extension_has_its_errors() {
    let long = "p".repeat(65_536);
    let missing = [
        "db_password can't be blank",
        "db_user can't be blank",
        "db_name can't be blank",
        "db_port can't be blank",
        "db_host can't be blank",
        "region can't be blank",
    ];
    for (given, errors) in [
        (json!([{"type": "postgres", "settings": {}}]), json!([{ "settings": missing }])),
        (json!([database(json!({"db_port": 5432}))]), json!([{"settings": ["db_port is invalid"]}])),
        (
            json!([database(json!({"db_host": null, "region": false}))]),
            json!([{"settings": ["db_host can't be blank", "region is invalid"]}]),
        ),
        (
            json!([database(json!({ "db_password": long }))]),
            json!([{"settings": ["db_password should be at most 65535 byte(s)"]}]),
        ),
        (json!([{"type": "mysql", "settings": {}}]), json!([{"type": ["is invalid"]}])),
        (json!([{"type": 5, "settings": 5}]), json!([{"type": ["is invalid"], "settings": ["is invalid"]}])),
        (json!([{"type": null, "settings": settings(json!({}))}]), json!([{"type": ["can't be blank"]}])),
        (json!([{"type": "postgres", "settings": null}]), json!([{"settings": ["can't be blank"]}])),
        (json!([{"type": "postgres", "settings": {"a": "\0"}}]), json!([{"settings": ["is invalid"]}])),
        (
            json!([database(json!({})), database(json!({}))]),
            json!([{}, {"type": ["has already been taken"]}]),
        ),
        (
            json!([{"type": "mysql", "settings": {}}, database(json!({}))]),
            json!([{"type": ["is invalid"]}, {}]),
        ),
        (json!(vec![database(json!({})); 10_000]), json!(["should have at most 16 item(s)"])),
        (json!({"0": database(json!({}))}), json!(["is invalid"])),
        (json!("postgres"), json!(["is invalid"])),
        (json!(null), json!(["is invalid"])),
    ] {
        assert_eq!(of_new_tenant(&given, &keys()), Err(errors.clone()), "{given:.200}");
        assert_eq!(replacing(&[], &given, &keys()), Err(errors), "{given:.200}");
    }
}

#[test]
fn incomplete_extensions_of_new_tenants_are_ignored() {
    let incomplete = [json!(5), json!({}), json!({"type": "postgres"}), json!({"settings": {}})];
    let given = json!([&incomplete[..], &[database(json!({}))]].concat());
    assert_eq!(of_new_tenant(&given, &keys()).map(|extensions| extensions.len()), Ok(1));
    for (given, errors) in incomplete.into_iter().zip([
        json!(["is invalid"]),
        json!([{"type": ["can't be blank"], "settings": ["can't be blank"]}]),
        json!([{"settings": ["can't be blank"]}]),
        json!([{"type": ["can't be blank"]}]),
    ]) {
        assert_eq!(replacing(&[], &json!([given]), &keys()), Err(errors), "{given}");
    }
    assert_eq!(replacing(&[], &json!([]), &keys()), Ok(Vec::new()));
}

#[test]
fn settings_that_get_has_returned_are_not_encrypted_twice() {
    let before = stored(database(json!({})));
    let mut given = shown(&before);
    given["poll_interval_ms"] = json!(50);
    let after = replaced(&before, json!({"type": "postgres_cdc_rls", "settings": given})).expect("valid");
    let mut expected = before.settings.clone();
    expected["poll_interval_ms"] = json!(50);
    assert_eq!(after.settings, expected, "the password, which is not shown, included");

    let mut given = shown(&before);
    given["db_password"] = json!("another");
    let after = replaced(&before, json!({"type": "postgres_cdc_rls", "settings": given})).expect("valid");
    assert_eq!(after.settings["db_host"], before.settings["db_host"]);
    assert_eq!(decrypted(&after.settings["db_password"]), "another");
}

#[test]
fn settings_that_get_has_returned_before_they_were_encrypted_again_are_not_encrypted_twice() {
    let (before, again) = (stored(database(json!({}))), stored(database(json!({}))));
    assert_ne!(shown(&before), shown(&again));
    let given = json!({"type": "postgres_cdc_rls", "settings": shown(&before)});
    let after = replaced(&again, given).expect("valid");
    assert_eq!(after.settings, again.settings, "the password, which is not shown, included");

    // The database has become another meanwhile.
    let other = stored(database(json!({"db_host": "another.example"})));
    let mut given = shown(&before);
    given["db_password"] = json!("another");
    let mut given = replacing(
        std::slice::from_ref(&other),
        &json!([{"type": "postgres_cdc_rls", "settings": given}]),
        &keys(),
    )
    .expect("complete");
    let text = "db_host is encrypted, and not as it is stored; it has to be given in plain text";
    assert_eq!(encrypt(&mut given, &[other], &keys()), Err(json!([{"settings": [text]}])));
}

#[test]
fn a_password_is_kept_only_for_the_same_database() {
    let before = stored(database(json!({})));
    let mut given = shown(&before);
    given["db_host"] = json!("elsewhere.example");
    let after = replaced(&before, json!({"type": "postgres_cdc_rls", "settings": given}));
    assert_eq!(after, Err(json!([{"settings": ["db_password can't be blank"]}])));
    let mut given = shown(&before);
    given["db_password"] = Value::Null;
    let after = replaced(&before, json!({"type": "postgres_cdc_rls", "settings": given}));
    assert_eq!(after, Err(json!([{"settings": ["db_password can't be blank"]}])));
}

#[test]
fn a_stored_secret_may_be_longer_than_one_in_plain_text() {
    let before = stored(database(json!({"db_password": "p".repeat(65_535)})));
    let given = before.settings.clone();
    let after = replaced(&before, json!({"type": "postgres_cdc_rls", "settings": given})).expect("valid");
    assert_eq!(after.settings, before.settings);
}
