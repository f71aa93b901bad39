//! Which files are read.

use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{Folder, errors, only};

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

// What is not a regular file may block its reader, or have no end.
#[test]
fn only_regular_files_are_read() {
    let folder = Folder::with(&[("config.toml", ""), ("config.d/a.toml", "")]);
    std::fs::remove_file(folder.path("config.d/a.toml")).expect("removed");
    let fifo = |file: &std::path::Path| {
        mknodat(CWD, file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    };
    fifo(&folder.path("config.d/a.toml"));
    let error = folder.errors(&[]);
    assert_eq!(
        error,
        "config.d/a.toml: cannot be read: it is a FIFO (named pipe), and only regular files are used"
    );
    fifo(&folder.path("secret"));
    std::fs::remove_file(folder.path("config.d/a.toml")).expect("removed");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).expect("a socket");
    for (name, found) in [("secret", "a FIFO (named pipe)"), ("socket", "a socket")] {
        let error = folder.errors(&[("JWT_SECRET_FILE", &format!("{{}}/{name}"))]);
        let text =
            format!("variable JWT_SECRET_FILE: {name} cannot be read: it is {found}, and only regular");
        assert!(error.starts_with(&text), "{error}");
    }
    let error = only(&[("REALTIME_CONFIG", "/dev/zero")]).load().expect_err("it has no end");
    assert!(error.to_string().starts_with("/dev/zero: cannot be read: it is a device"), "{error}");
}

#[test]
fn the_size_of_files_is_limited() {
    let folder = Folder::with(&[("config.toml", ""), ("config.d/large.toml", ""), ("secret", "")]);
    let resize = |name: &str, bytes: u64| {
        let file = std::fs::OpenOptions::new().write(true).open(folder.path(name)).expect("there");
        file.set_len(bytes).expect("resized");
    };
    resize("config.d/large.toml", 1 << 30);
    assert_eq!(
        folder.errors(&[]),
        "config.d/large.toml: cannot be read: it is too large: it has 1 GiB, and all files of settings together may \
         have 1536 KiB"
    );
    // One after the other: many files would take as much memory as a large one.
    folder.write("config.toml", &format!("#{}", " ".repeat(9 << 17)));
    folder.write("config.d/large.toml", &format!("#{}", " ".repeat(9 << 17)));
    assert!(folder.errors(&[]).contains("all files of settings together may have 1536 KiB"));
    resize("config.toml", 0);
    resize("secret", (1 << 20) + 1);
    let error = folder.errors(&[("JWT_SECRET_FILE", "{}/secret")]);
    assert!(error.contains("it has 1048577 B, and a file with a secret may have 1 MiB"), "{error}");
}

// Half a million lines `a=` took half a gigabyte, and 2 MB of `a.a.a=1` three.
#[test]
fn the_number_of_keys_is_limited() {
    let deep = |lines: usize| format!("a{}=1\n", ".a".repeat(69)).repeat(lines);
    for (text, keys) in [("a=\n".repeat(500_000), 500_000), (deep(1_000), 70_000)] {
        assert_eq!(
            errors(&text, &[]),
            format!(
                "config.toml: cannot be read: it is too large: it has {keys} keys and list items, and all files of \
                 settings together may have 50000 (each `.`, `=`, `,` and `[` outside comments counts as one)"
            )
        );
    }
    let tenants: String =
        (0..12_000).map(|n| format!("[tenants.t{n}.auth]\njwt_secret = \"{n:032}\"\n")).collect();
    let commented = format!("# {}\n{tenants}", ".".repeat(60_000));
    let folder = Folder::with(&[("config.toml", &commented)]);
    assert_eq!(folder.sources(&[]).load().expect("they are few enough").settings.tenants.len(), 12_000);
    folder.write("config.d/more.toml", &tenants);
    assert!(folder.errors(&[]).starts_with("config.d/more.toml: cannot be read: it is too large"));
}
