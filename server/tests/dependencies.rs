//! How many crates `make run` builds. The first build takes longer with each of them, so a new one is a decision.

use std::collections::BTreeSet;
use std::process::Command;

/// The expected number. A commit that adds or removes a dependency changes it, and explains why.
const EXPECTED: &str = include_str!("../crates-built-by-make-run");

#[test]
fn make_run_builds_the_expected_number_of_crates() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--package",
            "realtime-server",
            "--no-default-features",
            "--features",
            "sqlite",
        ])
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("text");
    let crates: BTreeSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert_eq!(
        crates.len().to_string(),
        EXPECTED.trim(),
        "if this is intended, update server/crates-built-by-make-run"
    );
}
