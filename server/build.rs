//! Tells the program which commit it is built from: `REALTIME_COMMIT`, as a container build sets it, else what git
//! says, else `unknown`. Runs again only when one of these may have changed.

use std::path::Path;
use std::process::Command;

/// The variable, for whoever builds and for the program.
const VARIABLE: &str = "REALTIME_COMMIT";

/// Characters of a commit that are shown: no two commits of a repository this size begin with the same.
const SHOWN: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let set = std::env::var(VARIABLE).ok().filter(|commit| is_commit(commit));
    let commit = set.or_else(of_repository).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env={VARIABLE}={}", &commit[..commit.len().min(SHOWN)]);
}

fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The commit that is checked out, if these sources are a repository of their own and not part of another one.
fn of_repository() -> Option<String> {
    if !Path::new("../.git").exists() {
        return None;
    }
    // What a commit or a checkout changes. Of a path that is not there cargo would think that it changes every time.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // A branch may have no file of its own (`git pack-refs`), but each commit is a line in the log of HEAD.
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
        path.inspect(|path| println!("cargo::rerun-if-changed={path}"));
    }
    git(&["rev-parse", "HEAD"]).filter(|commit| is_commit(commit))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
