//! Help, completion scripts and manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_realtime-server");

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The commands that the help lists.
fn commands() -> BTreeSet<String> {
    let help = printed(&["--help"]);
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    listed.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// The output of this shell script with `input` on stdin.
fn shell(script: &str, input: &str) -> String {
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("bash is installed");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_help_lists_every_command() {
    let listed = commands();
    for command in ["serve", "token", "health", "config", "completions", "man", "version"] {
        assert!(listed.contains(command), "{command}: {listed:?}");
    }
}

#[test]
fn the_script_of_each_shell_completes_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
}

#[test]
fn bash_completes_with_its_script() {
    let script = printed(&["completions", "bash"]);
    let completed = |words: &str, number: usize| {
        // The completion function is the word after -F in the output of `complete -p`.
        let ask = format!(
            "source /dev/stdin; COMP_WORDS=({words}); COMP_CWORD={number}; set -- $(complete -p realtime-server); \
             while [ \"$1\" != -F ]; do shift; done; \"$2\" realtime-server \"${{COMP_WORDS[{number}]}}\"; \
             echo \"${{COMPREPLY[*]}}\""
        );
        shell(&ask, &script)
    };
    assert_eq!(completed("realtime-server se", 1), "serve\n");
    assert_eq!(completed("realtime-server serve --de", 2), "--dev\n");
    assert_eq!(completed("realtime-server config ch", 2), "check\n");
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH realtime-server 1"), "{page}");
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man1");
    assert_eq!(printed(&["man", &pages.to_string_lossy()]), "");
    for command in commands().into_iter().filter(|command| command != "help") {
        let name = format!("realtime-server-{command}");
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).expect(&name);
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
        assert!(page.contains(&format!("realtime\\-server\\-{command}")), "{page}");
    }
    let serve = fs::read_to_string(pages.join("realtime-server-serve.1")).expect("a page");
    assert!(serve.contains("\\-\\-dev"), "{serve}");

    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let output = Command::new(PROGRAM).arg("man").arg(&file).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.starts_with("error: cannot write the manual pages into "), "{error}");
}
