//! Which files are read.

use std::os::unix::fs::symlink;

use crate::{Folder, only};

#[test]
fn a_named_file_must_exist() {
    let folder = Folder::with(&[]);
    assert!(
        folder.errors(&[]).starts_with("config.toml: cannot be read: No such file"),
        "{}",
        folder.errors(&[])
    );
    let error = only(&[("REALTIME_CONFIG", "/no/such.toml")]).load().expect_err("it is not there");
    assert!(error.to_string().starts_with("/no/such.toml: cannot be read: No such file"), "{error}");
}

#[test]
fn without_a_named_file_the_default_paths_are_searched() {
    let folder = Folder::with(&[("etc/config.toml", "server.port = 2"), ("other.toml", "server.port = 3")]);
    let usual = ["config.toml", "etc/config.toml"].map(|name| folder.path(name));
    let port = |variables: &[(&str, &str)]| {
        let variables = folder.variables(variables);
        let sources = settings::Sources::new(None, variables).usually_in(usual.clone());
        sources.load().expect("good").settings.server.port
    };
    assert_eq!(port(&[]), 2);
    folder.write("config.toml", "server.port = 1");
    assert_eq!(port(&[]), 1);
    assert_eq!(port(&[("REALTIME_CONFIG", "{}/other.toml")]), 3);
}

// A file that cannot be read is not a missing one: the defaults would be wrong.
#[test]
fn an_unreadable_file_at_a_default_path_is_an_error() {
    let folder = Folder::with(&[("file", "")]);
    symlink("nowhere", folder.path("config.toml")).expect("a link");
    for (place, why) in [("config.toml", "No such file"), ("file/config.toml", "Not a directory")] {
        let sources = settings::Sources::new(None, []).usually_in([folder.path(place)]);
        let error = folder.without_folder(&sources.load().expect_err("it cannot be read").to_string());
        assert!(error.starts_with(&format!("{place}: cannot be read: {why}")), "{error}");
    }
    let absent = settings::Sources::new(None, []).usually_in([folder.path("etc/config.toml")]);
    absent.load().expect("there is no such folder, so there is no such file");
}

#[test]
fn the_folder_beside_is_read_in_the_order_of_names() {
    let folder = Folder::with(&[
        ("config.toml", ""),
        ("config.d/b.toml", "server.port = 2\n[limits]\nmax_joins_per_second = 2"),
        ("config.d/a.toml", "server.port = 1\n[tenants.acme.limits]\nmax_joins_per_second = 1"),
        ("config.d/.hidden.toml", "server.port = 'broken'"),
        ("config.d/notes.txt", "not TOML"),
    ]);
    let settings = folder.sources(&[]).load().expect("good").settings;
    assert_eq!(settings.server.port, 2);
    assert_eq!(settings.limits.max_joins_per_second.get(), 2);
    assert_eq!(settings.tenants["acme"].limits.max_joins_per_second.get(), 1);
}

#[test]
fn every_file_that_sets_a_key_is_listed() {
    let folder = Folder::with(&[("config.toml", ""), ("config.d/a.toml", ""), ("secret", "s")]);
    let sources = folder.sources(&[("REALTIME_ENV", "staging"), ("JWT_SECRET_FILE", "{}/secret")]);
    let files: Vec<_> =
        sources.files().iter().map(|file| folder.without_folder(&file.display().to_string())).collect();
    assert_eq!(files, ["config.toml", "config.d", "config.d/a.toml", "config.staging.toml", "secret"]);
}
