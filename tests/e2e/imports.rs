//! The house has floors: imports go down only, and some guests stay in one room (server/src/lib.rs).

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of `server/src`, from the roof down. A module may use those below its own.
const FLOORS: [&[&str]; 8] = [
    &["main"],
    &["cli"],
    &["app", "drain", "reload", "resources"],
    &["edge"],
    &["sessions"],
    &["broadcast", "presence", "documents", "changes", "webhooks", "admin"],
    &["node"],
    &["auth", "tenants"],
];
/// Below all floors: what everybody may use.
const CELLAR: [&str; 9] =
    ["store", "bus", "telemetry", "answer", "query", "watch", "crypto", "pem", "version"];
/// Slices, which meet in the hub and nowhere else.
const SLICES: &[&str] = FLOORS[5];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// All Rust files below a folder, with their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let (root, mut found) = (repository(), Vec::new());
    let mut open = vec![root.join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable folder");
            open.extend(
                entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with("target")),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
            found.push((name, fs::read_to_string(&path).expect("a readable file")));
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// The lines of code: no comments, and nothing after `mod tests`, which may look wherever it likes.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("mod tests"));
    lines.map(|line| line.split("//").next().unwrap_or_default())
}

/// The top-level modules that a line names as `crate::module`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter_map(|(at, prefix)| {
        // `$crate::` and `some_crate::` are something else.
        let before = line[..at].chars().next_back();
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let is_module = rest[..end].starts_with(|c: char| c.is_ascii_lowercase());
        (is_module && !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$'))
            .then_some(&rest[..end])
    })
}

fn floor(module: &str) -> Option<usize> {
    let found = FLOORS.iter().position(|floor| floor.contains(&module));
    found.or_else(|| CELLAR.contains(&module).then_some(FLOORS.len()))
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for (file, text) in sources("server/src") {
        let inside = file.strip_prefix("server/src/").expect("below server/src");
        let module = inside.split(['/', '.']).next().unwrap_or_default();
        if module == "lib" {
            continue;
        }
        let Some(own) = floor(module) else {
            wrong.push(format!("{file}: give `{module}` a floor in tests/e2e/imports.rs"));
            continue;
        };
        for import in code(&text).flat_map(imports).filter(|import| *import != module) {
            let below = floor(import).is_some_and(|other| other > own);
            // Above the cellar and outside the slices, neighbours of one floor may know each other.
            let beside = floor(import) == Some(own) && !SLICES.contains(&module);
            if !below && !beside {
                wrong.push(format!("{file}: `{module}` must not use `crate::{import}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn some_crates_are_known_in_one_place_only() {
    let guests = [
        ("hyper", "server/src/edge/"),
        ("hyper_util", "server/src/edge/"),
        ("tokio_rustls", "server/src/edge/"),
        ("proxy_header", "server/src/edge/"),
        ("tungstenite", "server/src/edge/"),
        ("tokio_tungstenite", "server/src/edge/"),
        ("figment", "server/settings/src/load/merge.rs"),
        ("jsonwebtoken", "server/src/auth/"),
        ("reqwest", "server/src/auth/jwks/"),
        ("notify", "server/src/watch"),
        ("redis", "server/src/bus/"),
        ("metrics_exporter_prometheus", "server/src/telemetry/"),
    ];
    let mut wrong = Vec::new();
    for (file, text) in sources("server") {
        for (guest, home) in guests {
            // A path into the crate; a word alone may be a sentence, or an address such as `redis://`.
            let mentions = |line: &str| {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let found = line.match_indices(guest).map(|(at, _)| line.split_at(at));
                found
                    .into_iter()
                    .any(|(before, rest)| !before.ends_with(word) && rest[guest.len()..].starts_with("::"))
            };
            // An example that measures the edge's own code may speak its language.
            let excused = file.starts_with(home) || file.starts_with("server/examples/");
            if !excused && code(&text).any(mentions) {
                wrong.push(format!("{file} knows `{guest}`, which lives in {home}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_first_what_it_is() {
    let files = sources("server").into_iter().chain(sources("tests"));
    let silent: Vec<_> = files.filter(|(_, text)| !text.starts_with("//!")).map(|(file, _)| file).collect();
    assert!(silent.is_empty(), "without a header: {silent:?}");
}
