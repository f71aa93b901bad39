//! Sets the commit of this build: the variable `REALTIME_COMMIT`, as a container build sets it, else the commit that
//! git has checked out, else `unknown`. Runs again only when one of these may have changed.

use std::path::Path;
use std::process::Command;

/// The environment variable, both of the build and of the compiled program.
const VARIABLE: &str = "REALTIME_COMMIT";

/// Characters of the abbreviated commit: unique in a repository of this size.
const ABBREVIATED: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let set = std::env::var(VARIABLE).ok().filter(|commit| is_commit(commit));
    let commit = set.or_else(checked_out_commit).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env={VARIABLE}={}", &commit[..commit.len().min(ABBREVIATED)]);
}

fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The commit that is checked out, if these sources are a repository of their own and not part of another one.
fn checked_out_commit() -> Option<String> {
    if !Path::new("../.git").exists() {
        return None;
    }
    // The files that a commit or a checkout changes. A missing path would make cargo rerun this script every time.
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
