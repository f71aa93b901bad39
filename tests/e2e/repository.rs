//! The sources of this repository, for the tests that read them: imports, citations, words.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Directories without sources of ours: what is built, installed, generated or secret.
const SKIPPED: [&str; 9] =
    ["target", "node_modules", "cdk.out", "__pycache__", "corpus", "artifacts", "data", "dist", "secrets"];

/// Extensions of files that hold code, comments or documentation. A script may have none.
const READ: [&str; 13] = ["rs", "js", "mjs", "ts", "py", "toml", "md", "sh", "tf", "hcl", "yaml", "yml", ""];

/// The text of every source, by its path within the repository.
pub(crate) fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository");
    let (mut found, mut open) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                    open.push(path);
                }
            } else if READ.contains(&extension.as_str()) && name != ".git" {
                // Anything that is not text is no source.
                let Ok(text) = fs::read_to_string(&path) else { continue };
                let within = path.strip_prefix(&root).expect("below the root");
                found.insert(within.to_string_lossy().into_owned(), text);
            }
        }
    }
    for file in ["tests/e2e/repository.rs", "server/src/lib.rs", "docs/protocol/README.md", "Makefile"] {
        assert!(found.contains_key(file), "the walk has missed {file}");
    }
    found
}

/// The Rust files below a directory.
pub(crate) fn rust_sources(directory: &str) -> Vec<(String, String)> {
    let is_inside = |file: &str| {
        let rest = file.strip_prefix(directory);
        rest.is_some_and(|rest| rest.starts_with('/')) && file.ends_with(".rs")
    };
    let found: Vec<_> = sources().into_iter().filter(|(file, _)| is_inside(file)).collect();
    assert!(!found.is_empty(), "no Rust in {directory}");
    found
}
