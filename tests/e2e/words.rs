//! The sources use the field's standard words: this refuses the names and metaphors that they have replaced, and
//! type names with two meanings.

mod lexer;
mod refused;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use crate::repository::{rust_sources, sources};
use lexer::{Piece, identifiers, pieces, words};
use refused::{EMPTY_COMMENTS, In, REFUSED, Refused};

/// Files that may hold any word: these tables, and the releases of the past.
const EXCLUDED: [&str; 2] = ["tests/e2e/words", "CHANGELOG.md"];

/// Words that are names on the wire: the file, the word.
const WIRE_NAMES: [(&str, &str); 2] =
    [("docs/bus-protocol.md", "goodbye"), ("server/src/bus/link/cluster_message.rs", "goodbye")];

/// Type names that two modules of a crate may share, with the reason.
const SHARED_NAMES: &[(&str, &str, &str)] =
    &[("server/src", "Args", "clap: the arguments of each subcommand, always named with their module")];

fn is_excluded(file: &str) -> bool {
    EXCLUDED.iter().any(|path| file.starts_with(path))
}

/// A form of a refused word.
struct Form {
    text: &'static str,
    words: Vec<String>,
    rule: &'static Refused,
}

/// The forms, by their first words.
static FORMS: LazyLock<HashMap<String, Vec<Form>>> = LazyLock::new(|| {
    let mut forms: HashMap<String, Vec<Form>> = HashMap::new();
    for rule in REFUSED {
        for &text in rule.forms {
            let form = Form { text, words: words(text), rule };
            forms.entry(form.words[0].clone()).or_default().push(form);
        }
    }
    forms
});

/// The forms that stand somewhere in `found`, word by word.
fn forms_in(found: &[String]) -> impl Iterator<Item = &'static Form> {
    (0..found.len()).flat_map(move |first| {
        let forms = FORMS.get(&found[first]).into_iter().flatten();
        forms.filter(move |form| found[first..].starts_with(&form.words))
    })
}

/// The refused words of a piece of a source.
fn refused(piece: Piece<'_>) -> Vec<(&'static str, &'static Refused)> {
    let (text, is_code) = match piece {
        Piece::Code(text) => (text, true),
        Piece::Text(text) => (text, false),
    };
    let mut found: Vec<(&'static str, &'static Refused)> = Vec::new();
    let mut note = |form: &'static Form| {
        if found.iter().all(|(known, _)| *known != form.text) {
            found.push((form.text, form.rule));
        }
    };
    forms_in(&words(text)).filter(|form| form.rule.place == In::Sentences).for_each(&mut note);
    for name in identifiers(text).filter(|_| is_code) {
        let is_refused = |form: &&Form| match form.rule.place {
            In::Sentences => false,
            In::Names => true,
            In::Types => form.text == name,
        };
        forms_in(&words(name)).filter(is_refused).for_each(&mut note);
    }
    found
}

#[test]
fn refused_words_are_not_used() {
    let (mut wrong, mut unused) = (Vec::new(), WIRE_NAMES.to_vec());
    for (file, text) in sources() {
        for (line, piece) in pieces(&file, &text) {
            // Elsewhere a word alone may be a key of another system, such as those of CloudFormation.
            let is_rust = file.ends_with(".rs");
            for (form, rule) in
                refused(piece).into_iter().filter(|(_, rule)| is_rust || rule.place != In::Types)
            {
                let name = (&*file, form);
                if WIRE_NAMES.contains(&name) {
                    unused.retain(|exception| *exception != name);
                } else if !is_excluded(&file) {
                    wrong.push(format!("{file}:{line}: «{form}»: {} ({})", rule.instead, rule.why));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(unused.is_empty(), "exceptions that no source needs: {unused:?}");
}

#[test]
fn doc_comments_say_something() {
    let mut wrong = Vec::new();
    for (file, text) in rust_sources("server").into_iter().chain(rust_sources("tests")) {
        let comments = (1..).zip(text.lines()).filter_map(|(number, line)| {
            let comment = line.trim().strip_prefix("///")?.trim();
            EMPTY_COMMENTS.contains(&comment).then_some((number, comment))
        });
        wrong.extend(comments.map(|(number, comment)| format!("{file}:{number}: {comment}")));
    }
    wrong.retain(|line| !is_excluded(line));
    assert!(wrong.is_empty(), "say what the item is for, or leave the comment out:\n{}", wrong.join("\n"));
}

/// The name of the type that a line defines at the top of a module, if others can see it.
fn defined_type(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub")?;
    let rest =
        rest.strip_prefix('(').map_or(Some(rest), |scope| scope.split_once(')').map(|(_, rest)| rest))?;
    let (kind, name) = rest.trim_start().split_once(' ')?;
    ["struct", "enum", "trait", "type"].contains(&kind).then(|| identifiers(name).next())?
}

#[test]
fn a_type_name_has_one_meaning_within_a_crate() {
    let mut wrong = Vec::new();
    for krate in
        ["server/src", "server/hub/src", "server/wire/src", "server/settings/src", "tests/harness/src"]
    {
        let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (file, text) in rust_sources(krate) {
            for name in text.lines().filter_map(defined_type) {
                homes.entry(name.to_owned()).or_default().push(file.clone());
            }
        }
        let is_shared =
            |name: &str| SHARED_NAMES.iter().any(|(path, known, _)| (*path, *known) == (krate, name));
        homes.retain(|name, files| files.len() > 1 && !is_shared(name));
        wrong.extend(homes.iter().map(|(name, files)| format!("`{name}`: {}", files.join(", "))));
    }
    assert!(wrong.is_empty(), "two modules define a type of this name:\n{}", wrong.join("\n"));
}

#[test]
fn a_refused_word_is_found_in_each_of_its_forms() {
    let forms = |piece| refused(piece).into_iter().map(|(form, _)| form).collect::<Vec<_>>();
    assert_eq!(forms(Piece::Text(" The cable's end.")), ["cable"]);
    assert_eq!(forms(Piece::Code("struct RedisCable;")), ["cable"]);
    assert_eq!(forms(Piece::Code("fn is_done_by()")), ["is done by"]);
    assert_eq!(forms(Piece::Code("let address_place = AddressPlace;")), ["address place"]);
    assert_eq!(forms(Piece::Code("enum Why {}")), ["Why"]);
    for fine in [Piece::Text("heard, a ticket and why"), Piece::Code("let why = applicable(place);")] {
        assert_eq!(forms(fine), [""; 0], "{fine:?}");
    }
    assert_eq!(defined_type("pub(crate) struct Wire<'a> {"), Some("Wire"));
    assert_eq!(defined_type("pub type Names = [u8; 2];"), Some("Names"));
    assert_eq!(defined_type("    pub struct Inner;"), None);
}
