//! The printed version and commit.

use std::process::Command;

fn printed(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_realtime-server")).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The commit that is checked out, if this is a clone.
fn commit() -> Option<String> {
    let mut git = Command::new("git");
    let output = git.args(["rev-parse", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text").trim().to_owned())
}

#[test]
fn the_version_is_printed_with_its_commit() {
    let version = printed(&["version"]);
    assert_eq!(printed(&["--version"]), version);
    let start = concat!("realtime-server ", env!("CARGO_PKG_VERSION"), " (commit ");
    let shown = version.strip_prefix(start).and_then(|rest| rest.strip_suffix(")\n"));
    let shown = shown.unwrap_or_else(|| panic!("{version}"));
    match commit() {
        Some(commit) => assert!(shown.len() == 12 && commit.starts_with(shown), "{shown}, not {commit}"),
        None => assert_eq!(shown, "unknown"),
    }
}
