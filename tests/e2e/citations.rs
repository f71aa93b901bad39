//! Comments cite documents that a reader of this repository can open, and headings that exist.
//!
//! A section number is allowed in a paragraph that names an RFC. Everything else about the protocols is cited by
//! file and heading: `docs/protocol/channels.md#join-checks`.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository;

/// Where the notes are, as citations spell it.
const NOTES: &str = "docs/protocol/";

/// All sources but this file, which holds examples of what it refuses.
fn sources() -> BTreeMap<String, String> {
    let mut found = repository::sources();
    found.remove("tests/e2e/citations.rs").expect("the walk has found this file");
    found
}

/// What begins a comment in this file, the longest first.
fn marks(file: &str) -> &'static [&'static str] {
    let has_slashes = [".rs", ".js", ".mjs", ".ts"].iter().any(|extension| file.ends_with(extension));
    if has_slashes { &["//!", "///", "//"] } else { &["#"] }
}

/// The text of a line if it is nothing but a comment; every line of a document is text.
fn comment<'a>(file: &str, line: &'a str) -> Option<&'a str> {
    let line = line.trim();
    if file.ends_with(".md") {
        return Some(line);
    }
    marks(file).iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim)
}

/// Paragraphs with the number of their first line: comment lines without an empty one between them, or lines of a
/// document. A line of code stands alone.
fn paragraphs(file: &str, text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (number, line) in (1..).zip(text.lines()) {
        let part = comment(file, line).filter(|part| !part.is_empty());
        match (part, found.last_mut().filter(|_| continues)) {
            (Some(part), Some((_, paragraph))) => paragraph.extend([" ", part]),
            (part, _) => found.push((number, part.unwrap_or(line).to_owned())),
        }
        continues = part.is_some();
    }
    found
}

/// Whether a section of some document is cited by its number: with the section sign, or in words.
fn cites_a_number(paragraph: &str) -> bool {
    let words: Vec<String> = paragraph.split_whitespace().map(str::to_lowercase).collect();
    let in_words = words.windows(2).any(|pair| {
        let first = pair[1].chars().next().unwrap_or_default();
        match pair[0].trim_start_matches('(') {
            "section" | "sections" => first.is_ascii_digit(),
            "appendix" => pair[1].trim_matches(|c: char| !c.is_alphanumeric()).len() == 1,
            _ => false,
        }
    });
    in_words || paragraph.contains('\u{a7}')
}

/// Whether a document is named that the section can belong to.
fn names_a_document(paragraph: &str) -> bool {
    let after_rfc = paragraph.split("RFC ").skip(1);
    paragraph.contains(NOTES)
        || after_rfc.into_iter().any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The headings of a document as links spell them: lower case, spaces as hyphens, no punctuation.
fn anchors(document: &str) -> Vec<String> {
    let mut is_code = false;
    let lines = document.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    lines.map(anchor).collect()
}

/// Links of one text: the file, and the heading if one is named.
fn links<'a>(file: &str, text: &'a str) -> Vec<(String, Option<&'a str>)> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '#'));
    let target = |rest: &'a str| rest[..rest.find(ends).unwrap_or(rest.len())].trim_end_matches('.');
    let mut found = Vec::new();
    let mut add = |file: &str, heading| found.push((file.to_owned(), heading));
    for (at, _) in text.match_indices(NOTES) {
        let (path, heading) = cut(target(&text[at..]));
        // Without a file the notes as a whole are meant.
        if path.ends_with(".md") {
            add(path, heading);
        }
    }
    // Between the notes, links are relative.
    if file.starts_with(NOTES) {
        for (at, opening) in text.match_indices("](") {
            let (path, heading) = cut(target(&text[at + opening.len()..]));
            match path {
                "" => add(file, heading),
                path if path.ends_with(".md") && !path.contains('/') => {
                    add(&format!("{NOTES}{path}"), heading)
                }
                _ => {}
            }
        }
    }
    found
}

fn cut(target: &str) -> (&str, Option<&str>) {
    target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)))
}

#[test]
fn a_cited_section_belongs_to_a_document_that_is_named() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (line, paragraph) in paragraphs(&file, &text) {
            if cites_a_number(&paragraph) && !names_a_document(&paragraph) {
                wrong.push(format!("{file}:{line}: {paragraph}"));
            }
        }
    }
    assert!(wrong.is_empty(), "cite a heading of {NOTES}, or name the RFC:\n{}", wrong.join("\n"));
}

#[test]
fn every_cited_heading_exists() {
    let sources = sources();
    let headings: BTreeMap<&str, Vec<String>> = sources
        .iter()
        .filter(|(file, _)| file.starts_with(NOTES))
        .map(|(file, text)| (file.as_str(), anchors(text)))
        .collect();
    let mut wrong = Vec::new();
    for (file, headings) in &headings {
        // A second heading of one name would get another anchor.
        let distinct: BTreeSet<_> = headings.iter().collect();
        if distinct.len() != headings.len() {
            wrong.push(format!("{file} has two headings of the same name"));
        }
    }
    for (file, text) in &sources {
        for (document, heading) in links(file, text) {
            let known = headings.get(document.as_str());
            let exists =
                known.is_some_and(|known| heading.is_none_or(|heading| known.iter().any(|k| k == heading)));
            if !exists {
                wrong.push(format!("{file} cites {document}#{}", heading.unwrap_or_default()));
            }
        }
    }
    assert!(wrong.is_empty(), "no such heading:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let sources = sources();
    let text = &sources["docs/ARCHITECTURE.md"];
    let names = text.split('`').skip(1).step_by(2).filter(|name| name.contains('/') && !name.contains(' '));
    let exists = |name: &str| sources.keys().any(|file| file.starts_with(name.trim_end_matches('/')));
    let is_path =
        |name: &&str| ["server/", "tests/", "docs/", "config/"].iter().any(|at| name.starts_with(at));
    let missing: Vec<_> = names.filter(is_path).filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md names {missing:?}");
}

#[test]
fn a_citation_is_recognised_in_each_of_its_forms() {
    let sign = '\u{a7}';
    for text in [
        format!("(http {sign}5)"),
        "see section 2.4".into(),
        "(sections 4.1, 6)".into(),
        "of appendix A, as".into(),
    ] {
        assert!(cites_a_number(&text) && !names_a_document(&text), "{text}");
        assert!(names_a_document(&format!("{text} of RFC 6455")), "{text}");
        assert!(names_a_document(&format!("{text}: docs/protocol/http.md#batch")), "{text}");
    }
    for text in ["a section of settings", "the appendix", "section [server]", "RFC 7518, 3.3"] {
        assert!(!cites_a_number(text), "{text}");
    }
    let comments = paragraphs("a.rs", "//! one\n//! two\n//!\n//! three\nlet x = 1; // four\n// five\n");
    let texts: Vec<_> = comments.iter().map(|(line, text)| (*line, text.trim())).collect();
    assert_eq!(texts, [(1, "one two"), (3, "//!"), (4, "three"), (5, "let x = 1; // four"), (6, "five")]);
    let script = paragraphs("run", "# one\n# two\nthree\n");
    assert_eq!(script, [(1, "one two".to_owned()), (3, "three".to_owned())]);
    assert_eq!(anchors("# A b\n```\n# no\n```\n## The `phx_ref`: c/d, e-f"), ["a-b", "the-phx_ref-cd-e-f"]);
    assert_eq!(
        links("docs/protocol/a.md", "[x](b.md#c), [y](#d) and docs/protocol/e.md#f. [z](../../config/g.md)"),
        [
            ("docs/protocol/e.md".to_owned(), Some("f")),
            ("docs/protocol/b.md".to_owned(), Some("c")),
            ("docs/protocol/a.md".to_owned(), Some("d"))
        ]
    );
}
