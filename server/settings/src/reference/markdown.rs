//! The reference of all keys and variables, as a page of Markdown.

use std::fmt::Write as _;

use serde_json::Value;

use super::wrap::wrap;
use crate::load::literal;
use crate::shape::{self, Key, ReloadMode, Shape, dotted};
use crate::value_kind::ValueKind;
use crate::variables::{self, Treatment, Variable};

/// Lines of text are broken here.
const WIDTH: usize = 120;

/// Defaults longer than this stand below.
const INLINE: usize = 60;

const HEAD: &str = "\
# Configuration reference

Written by `realtime-server config reference` from the structs in `server/settings/src`; do not edit.

Settings come in layers, and a later one replaces keys of the earlier ones:

1. the defaults below;
2. the file: `--config FILE`, else the variable `REALTIME_CONFIG`, else `./config.toml`, else
   `/etc/realtime/config.toml`;
3. `config.d/*.toml` beside it, in alphabetical order;
4. `config.<name>.toml` beside it, if the variable `REALTIME_ENV` is `<name>`; that file must exist;
5. [the variables](#variables) of Supabase Realtime and of the Realtime SDK;
6. `REALTIME__SECTION__KEY` for every key, at any depth: `REALTIME__TENANTS__ACME__AUTH__JWT_SECRET`. Lists are
   JSON or separated by commas, whole sections are JSON;
7. flags: `--set section.key=value`, and `--host` and `--port` of `serve`.

Every variable that holds a secret may name a file instead: `JWT_SECRET_FILE=/run/secrets/jwt`. A secret may hold
commas, so `REALTIME__AUTH__JWT_SECRETS` is JSON or a single secret, and `REALTIME__AUTH__JWT_SECRETS_FILE` has one a
line. An empty variable counts as unset. A secret is taken as it is, with white space and quotes around it, which are
remarked; words and truth values are read without case. Durations are written `\"30s\"`, `\"5m\"` or `\"1h 30m\"`, sizes
`\"64 KiB\"`, `\"5 MB\"` or as a number of bytes.

A running server reads all layers again when one of the files changes, on SIGHUP, and on `POST /admin/reload`. If
anything is wrong with the files of the configuration, what was accepted of them last stays, as a whole; a file with a secret that
is refused stays by itself. What is not refused is applied, and the problem is reported until it is corrected. Each key states when a change applies:

- **live**: at once, for all connections;
- **new connections**: at once, for connections made from then on;
- **credentials**: a new user or password at once, for connections to the database or Redis that are made from then on, while those
  that exist stay. Another host, port, database or scheme waits as under **restart**, and its user and password wait with it;
- **restart**: the running value stays, and the key is listed as pending.

`realtime-server config check` reports what is wrong, `realtime-server config show --origin` the effective values and where they are set.
Misspelt variables and files that are not read cause warnings at the start, and notes of the check.
";

pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    let root = shape::root();
    if let Shape::Section(sections) = &root.shape {
        for (name, section) in sections {
            describe_section(&mut page, name, section);
        }
    }
    describe_variables(&mut page);
    page
}

fn describe_section(page: &mut String, name: &str, section: &Key) {
    let title =
        if matches!(section.shape, Shape::Table(_)) { format!("{name}.<id>") } else { name.to_owned() };
    paragraph(page, &format!("\n## `[{title}]`\n\n"), &section.meaning);
    if let Shape::Table(item) = &section.shape {
        paragraph(page, "\n", &item.meaning);
    }
    for (path, key) in section.leaves() {
        let path: Vec<_> = [name.to_owned()].into_iter().chain(path).collect();
        // What a tenant shares with sections of all tenants is explained there.
        if let ["tenants", "*", "auth" | "limits" | "history", ..] =
            path.iter().map(String::as_str).collect::<Vec<_>>()[..]
        {
            continue;
        }
        describe_key(page, &dotted(&path).replace(".*", ".<id>"), key);
    }
    if name == "tenants" {
        page.push_str("\n### `tenants.<id>.auth.…`, `tenants.<id>.limits.…`, `tenants.<id>.history.…`\n\n");
        page.push_str("The same keys as in [`[auth]`](#auth), [`[limits]`](#limits) and [`broadcast.history`](#broadcasthistorymax_age). What\n`tenants.<id>.limits` does not say is as in `[limits]`; `tenants.<id>.history` is as `broadcast.history` if it says nothing; of\n`[auth]` nothing is taken over.\n");
    }
}

fn describe_key(page: &mut String, name: &str, key: &Key) {
    let default = literal(&key.default);
    let short = default.chars().count() <= INLINE;
    let mut facts = vec![kind(key)];
    facts.push(match &key.default {
        Value::Null => "unset by default".into(),
        _ if short => format!("default `{default}`"),
        _ => "default below".into(),
    });
    facts.push(reload(key.reload).into());
    let variables = variables::names_that_set(name);
    if !variables.is_empty() {
        facts.push(format!("set by `{}`", variables.join("`, `")));
    }
    let _ = write!(page, "\n### `{name}`\n\n{}\n", facts.join(" · "));
    paragraph(page, "\n", &key.meaning);
    if !short {
        page.push_str("\n```toml\n");
        for (name, value) in key.default.as_object().into_iter().flatten() {
            let _ = writeln!(page, "{} = {}", dotted(&[name]), literal(value));
        }
        page.push_str("```\n");
    }
}

/// What it may be, without the article.
fn kind(key: &Key) -> String {
    let expected = key.expected();
    match &key.shape {
        Shape::One(ValueKind::Url(_)) if key.secret => {
            format!("secret {}", expected.trim_start_matches("an "))
        }
        Shape::One(_) if key.secret => "secret text".into(),
        Shape::List(_) if key.secret => "list of secret texts".into(),
        _ => expected.trim_start_matches("a ").trim_start_matches("an ").to_owned(),
    }
}

fn reload(reload: ReloadMode) -> &'static str {
    match reload {
        ReloadMode::Live => "**live**",
        ReloadMode::Connection => "**new connections**",
        ReloadMode::Credentials => "**credentials**",
        ReloadMode::Restart => "**restart**",
    }
}

fn describe_variables(page: &mut String) {
    paragraph(
        page,
        "\n## Variables\n\n",
        "Those of Supabase Realtime and of the Realtime SDK's server. Integers are whole, truth values are `true`, \
         `1`, `false` or `0`, lists are separated by commas; a wrong value is a problem that names the variable. \
         Variables without effect are reported once, at the start. Where two spellings exist, both are understood.",
    );
    page.push_str("\n| variable | here |\n|---|---|\n");
    for variable in variables::table() {
        let names = format!("`{}`", variable.names.join("`, `"));
        let secret = if variable.secret { " (or `…_FILE`)" } else { "" };
        let _ = writeln!(page, "| {names}{secret} | {} |", effect(variable));
    }
}

fn effect(variable: &Variable) -> String {
    match variable.treatment {
        Treatment::Sets(targets) => {
            let keys = targets.iter().map(|target| {
                let words = target.conversion.description();
                let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
                let when = if target.seeding { " under `SEED_SELF_HOST=true`" } else { "" };
                format!("`{}`{words}{when}", target.key)
            });
            format!("sets {}", keys.collect::<Vec<_>>().join(", "))
        }
        Treatment::Ignored(why) => format!("accepted, no meaning here: {why}"),
        Treatment::Unsupported(why) => format!("not supported, with a warning: {why}"),
        Treatment::Planned(part) => format!("accepted, no effect yet: {} not available yet", part.name()),
    }
}

fn paragraph(page: &mut String, before: &str, text: &str) {
    page.push_str(before);
    for line in wrap(text, WIDTH) {
        let _ = writeln!(page, "{line}");
    }
}
