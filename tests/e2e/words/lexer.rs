//! Splits a source into code and text: text is what stands in comments, strings and documents.
//!
//! No parser: nesting and interpolation are not followed. It is right for the sources of this repository, and a
//! mistake shows as a word that a test reports in the wrong place.

/// A stretch of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Code(&'a str),
    /// A comment, the inside of a string, or a line of a document.
    Text(&'a str),
}

/// How a language marks its comments and strings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// `// comment`, `/* comment */`; strings may span lines; `'` begins a character or a lifetime.
    Rust,
    /// As Rust, but `'` begins a string, and so does a backtick.
    JavaScript,
    /// `# comment`, strings in single or double quotes.
    Script,
    /// As a script, with strings in three quotes that may span lines.
    Python,
    Document,
}

impl Syntax {
    fn of(file: &str) -> Syntax {
        match file.rsplit_once('.').map(|(_, extension)| extension) {
            Some("rs") => Syntax::Rust,
            Some("js" | "mjs" | "ts") => Syntax::JavaScript,
            Some("py") => Syntax::Python,
            Some("md") => Syntax::Document,
            _ => Syntax::Script,
        }
    }

    /// The comment or string that begins with this code, and the length of its opening mark.
    fn opening(self, code: &str, before: Option<char>) -> Option<(usize, Region)> {
        let quoted = |mark: &str, end: &str, spans_lines| {
            code.starts_with(mark).then(|| {
                (mark.len(), Region { end: end.to_owned(), has_escapes: !mark.starts_with('r'), spans_lines })
            })
        };
        let comment = |mark: &str| {
            code.starts_with(mark).then(|| {
                (mark.len(), Region { end: "\n".to_owned(), has_escapes: false, spans_lines: false })
            })
        };
        match self {
            Syntax::Document => None,
            Syntax::Rust | Syntax::JavaScript => {
                let raw = || {
                    let hashes = code.strip_prefix('r')?.bytes().take_while(|byte| *byte == b'#').count();
                    let is_string = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' || c == 'b');
                    let (mark, end) =
                        ("r".to_owned() + &"#".repeat(hashes) + "\"", "\"".to_owned() + &"#".repeat(hashes));
                    (self == Syntax::Rust && is_string).then(|| quoted(&mark, &end, true))?
                };
                let single = || match self {
                    Syntax::JavaScript => quoted("'", "'", false).or_else(|| quoted("`", "`", true)),
                    // `'x'` and `'\n'` are characters, `'a` is a lifetime.
                    _ => {
                        let mut after = code.strip_prefix('\'')?.chars();
                        let is_character = after.next() == Some('\\') || after.next() == Some('\'');
                        is_character.then(|| quoted("'", "'", false))?
                    }
                };
                comment("//")
                    .or_else(|| quoted("/*", "*/", true))
                    .or_else(raw)
                    .or_else(|| quoted("\"", "\"", self == Syntax::Rust))
                    .or_else(single)
            }
            Syntax::Script | Syntax::Python => {
                let is_comment = before.is_none_or(char::is_whitespace);
                let long = || quoted("\"\"\"", "\"\"\"", true).filter(|_| self == Syntax::Python);
                let comment = || is_comment.then(|| comment("#"))?;
                comment()
                    .or_else(long)
                    .or_else(|| quoted("\"", "\"", false))
                    .or_else(|| quoted("'", "'", false))
            }
        }
    }
}

/// The comment or string that the lexer is in.
struct Region {
    end: String,
    has_escapes: bool,
    spans_lines: bool,
}

/// The pieces of a file with the numbers of their lines.
pub(super) fn pieces<'a>(file: &str, text: &'a str) -> Vec<(usize, Piece<'a>)> {
    let syntax = Syntax::of(file);
    let (mut found, mut region) = (Vec::new(), None);
    for (number, line) in (1..).zip(text.lines()) {
        if syntax == Syntax::Document {
            found.push((number, Piece::Text(line)));
        } else {
            found.extend(line_pieces(syntax, line, &mut region).into_iter().map(|piece| (number, piece)));
        }
    }
    found
}

fn line_pieces<'a>(syntax: Syntax, line: &'a str, region: &mut Option<Region>) -> Vec<Piece<'a>> {
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    while at < line.len() {
        let rest = &line[at..];
        let width = rest.chars().next().map_or(1, char::len_utf8);
        match region {
            Some(open) if open.has_escapes && rest.starts_with('\\') => {
                at += width + rest[width..].chars().next().map_or(0, char::len_utf8);
            }
            Some(open) if rest.starts_with(&open.end) => {
                found.push(Piece::Text(&line[start..at]));
                at += open.end.len();
                (start, *region) = (at, None);
            }
            Some(_) => at += width,
            None => match syntax.opening(rest, line[..at].chars().next_back()) {
                Some((length, opened)) => {
                    found.push(Piece::Code(&line[start..at]));
                    at += length;
                    (start, *region) = (at, Some(opened));
                }
                None => at += width,
            },
        }
    }
    found.push(if region.is_some() { Piece::Text(&line[start..]) } else { Piece::Code(&line[start..]) });
    region.take_if(|open| !open.spans_lines);
    found.retain(|piece| !matches!(piece, Piece::Code(part) | Piece::Text(part) if part.trim().is_empty()));
    found
}

/// The identifiers of a stretch of code.
pub(super) fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.split(move |c| !is_part(c)).filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

/// The words of a sentence or an identifier in lower case: `ClusterLink`, `cluster_link` and «cluster link» have
/// the same two.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in text.chars() {
        if c.is_alphanumeric() {
            let continues = before.is_alphanumeric() && !(c.is_uppercase() && before.is_lowercase());
            if !continues {
                found.push(String::new());
            }
            if let Some(word) = found.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        before = c;
    }
    found
}

#[test]
fn comments_and_strings_are_text() {
    use Piece::{Code, Text};
    let numbered = |file, text| pieces(file, text).into_iter().map(|(_, piece)| piece).collect::<Vec<_>>();
    let rust = "//! a\nlet x: &'a str = r#\"b \"c\n d\"#; // e\nf('\"', '\\'', \"g\\\"h\"); /* i\nj */ k";
    let expected = [
        Text("! a"),
        Code("let x: &'a str = "),
        Text("b \"c"),
        Text(" d"),
        Code("; "),
        Text(" e"),
        Code("f("),
        Text("\""),
        Code(", "),
        Text("\\'"),
        Code(", "),
        Text("g\\\"h"),
        Code("); "),
        Text(" i"),
        Text("j "),
        Code(" k"),
    ];
    assert_eq!(numbered("a.rs", rust), expected);
    let python = "\"\"\"a\nb\"\"\"\nc = 'd' # e\n";
    assert_eq!(numbered("a.py", python), [Text("a"), Text("b"), Code("c = "), Text("d"), Text(" e")]);
    assert_eq!(numbered("run", "a=${b#c} # d\n"), [Code("a=${b#c} "), Text(" d")]);
    assert_eq!(numbered("a.md", "a // b\n"), [Text("a // b")]);
}

#[test]
fn an_identifier_has_the_words_of_a_sentence() {
    assert_eq!(
        words("HTTPStatus ClusterLink, cluster_link2 v1.0"),
        ["httpstatus", "cluster", "link", "cluster", "link2", "v1", "0"]
    );
    assert_eq!(identifiers("let a_b = C::d(1, 2u8);").collect::<Vec<_>>(), ["let", "a_b", "C", "d"]);
}
