//! The defaults, and the marks of every key.

use settings::Settings;

use crate::only;

#[test]
fn without_anything_the_defaults_hold() {
    let settings = only(&[]).load().expect("the defaults are good").settings;
    let json = |settings: &Settings| serde_json::to_value(settings).expect("settings are JSON");
    assert_eq!(json(&settings), json(&Settings::default()));
    assert_eq!(settings.server.port, 8080);
    assert!(settings.auth.jwt_secret.is_none());
    assert_eq!(settings.limits.max_payload_bytes(), 3_000_500);
    assert_eq!(settings.check(), []);
}

#[test]
fn the_defaults_survive_being_written_and_read() {
    let written = serde_json::to_value(Settings::default()).expect("settings are JSON");
    assert_eq!(written["server"]["max_frame_size"], "5 MB");
    assert_eq!(written["server"]["read_buffer_size"], "1 KiB");
    assert_eq!(written["presence"]["coalesce"], "50ms");
    let read: Settings = serde_json::from_value(written.clone()).expect("what we write we read");
    assert_eq!(serde_json::to_value(read).expect("settings are JSON"), written);
}

#[test]
fn every_setting_says_what_it_means_and_when_a_change_takes_hold() {
    let schema = schemars::schema_for!(Settings).to_value();
    let sections = schema["$defs"].as_object().expect("sections");
    let keys =
        sections.iter().filter_map(|(section, schema)| Some((section, schema["properties"].as_object()?)));
    for (section, key, schema) in
        keys.flat_map(|(s, keys)| keys.iter().map(move |(k, schema)| (s, k, schema)))
    {
        assert!(schema["description"].is_string(), "{section}.{key} has no doc comment");
        let reload = schema["x-reload"].as_str();
        // A section within a section says it of its own keys.
        assert!(
            schema["$ref"].is_string()
                || matches!(reload, Some("live" | "connection" | "credentials" | "restart")),
            "{section}.{key} has no x-reload"
        );
    }
}
