//! The text form of arrays: what PostgreSQL writes, and the array literals that it reads.
//!
//! ```text
//! array   = [bounds "="] "{" [item *(delimiter item)] "}"      white space between them is ignored
//! item    = array without bounds | quoted element | element | NULL
//! ```

/// The text is no array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed array")]
pub struct MalformedArray;

/// A part of the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ArrayToken<'t> {
    /// A list begins: the whole, or one within a dimension.
    Open,
    /// A list ends.
    Close,
    /// Another item follows.
    Delimiter,
    /// An element without its quotes and escapes.
    Element(&'t [u8]),
    /// An element that is NULL.
    Null,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Start,
    ItemOrClose,
    Item,
    DelimiterOrClose,
}

/// The unread rest of an array's text.
#[derive(Debug)]
pub(crate) struct ArrayText<'a> {
    rest: &'a [u8],
    delimiter: u8,
    expected: Expected,
    depth: usize,
}

impl<'a> ArrayText<'a> {
    /// The array `text`, whose elements are separated by `delimiter`: a comma for all types but `box`.
    pub(crate) fn new(text: &'a [u8], delimiter: u8) -> Self {
        Self { rest: text, delimiter, expected: Expected::Start, depth: 0 }
    }

    /// The next token; `None` behind the last one. An element with escapes is decoded into `buffer`.
    pub(crate) fn next<'t>(
        &mut self,
        buffer: &'t mut Vec<u8>,
    ) -> Result<Option<ArrayToken<'t>>, MalformedArray>
    where
        'a: 't,
    {
        if self.expected == Expected::Start {
            self.skip_bounds()?;
        }
        self.rest = self.rest.trim_ascii_start();
        let Some((&byte, rest)) = self.rest.split_first() else {
            return if self.is_complete() { Ok(None) } else { Err(MalformedArray) };
        };
        let accepts_item = matches!(self.expected, Expected::Item | Expected::ItemOrClose);
        let token = match byte {
            _ if self.is_complete() => return Err(MalformedArray),
            b'{' if accepts_item || self.expected == Expected::Start => {
                self.depth += 1;
                self.expected = Expected::ItemOrClose;
                ArrayToken::Open
            }
            b'}' if matches!(self.expected, Expected::ItemOrClose | Expected::DelimiterOrClose) => {
                self.depth -= 1;
                self.expected = Expected::DelimiterOrClose;
                ArrayToken::Close
            }
            _ if byte == self.delimiter && self.expected == Expected::DelimiterOrClose => {
                self.expected = Expected::Item;
                ArrayToken::Delimiter
            }
            b'"' if accepts_item => {
                self.expected = Expected::DelimiterOrClose;
                self.rest = rest;
                return self.quoted(buffer).map(Some);
            }
            _ if accepts_item => {
                self.expected = Expected::DelimiterOrClose;
                return self.unquoted(buffer).map(Some);
            }
            _ => return Err(MalformedArray),
        };
        self.rest = rest;
        Ok(Some(token))
    }

    /// Calls `visit` with each element of an array of one dimension without bounds; `None` for NULL.
    pub(crate) fn each_element(
        &mut self,
        mut visit: impl FnMut(Option<&[u8]>),
    ) -> Result<(), MalformedArray> {
        if self.rest.trim_ascii_start().starts_with(b"[") {
            return Err(MalformedArray);
        }
        let mut buffer = Vec::new();
        while let Some(token) = self.next(&mut buffer)? {
            match token {
                ArrayToken::Element(element) => visit(Some(element)),
                ArrayToken::Null => visit(None),
                ArrayToken::Open if self.depth > 1 => return Err(MalformedArray),
                ArrayToken::Open | ArrayToken::Close | ArrayToken::Delimiter => {}
            }
        }
        Ok(())
    }

    /// The lists that have begun and not ended.
    pub(crate) fn dimensions(&self) -> usize {
        self.depth
    }

    fn is_complete(&self) -> bool {
        self.depth == 0 && self.expected != Expected::Start
    }

    /// Skips `[0:2]=`, which an array has whose first index is not 1.
    fn skip_bounds(&mut self) -> Result<(), MalformedArray> {
        let text = self.rest.trim_ascii_start();
        if text.starts_with(b"[") {
            let end = text.iter().position(|&byte| byte == b'=').ok_or(MalformedArray)?;
            self.rest = &text[end + 1..];
        }
        Ok(())
    }

    /// An element behind its opening quote.
    fn quoted<'t>(&mut self, buffer: &'t mut Vec<u8>) -> Result<ArrayToken<'t>, MalformedArray>
    where
        'a: 't,
    {
        let end = end_of_element(self.rest, |byte| byte == b'"').ok_or(MalformedArray)?;
        let content = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(ArrayToken::Element(without_escapes(content, buffer)))
    }

    /// An element without quotes, up to what ends it. White space at its end does not belong to it, unless it is escaped.
    fn unquoted<'t>(&mut self, buffer: &'t mut Vec<u8>) -> Result<ArrayToken<'t>, MalformedArray>
    where
        'a: 't,
    {
        let delimiter = self.delimiter;
        let ends = |byte| byte == delimiter || matches!(byte, b'{' | b'}' | b'"');
        let end = end_of_element(self.rest, ends).ok_or(MalformedArray)?;
        let (written, rest) = self.rest.split_at(end);
        self.rest = rest;
        if rest[0] != delimiter && rest[0] != b'}' {
            return Err(MalformedArray);
        }
        let mut content = written.trim_ascii_end();
        let backslashes = content.iter().rev().take_while(|&&byte| byte == b'\\').count();
        if backslashes % 2 == 1 {
            // The white space behind it is escaped.
            content = &written[..content.len() + 1];
        }
        match content {
            [] => Err(MalformedArray),
            null if null.eq_ignore_ascii_case(b"NULL") => Ok(ArrayToken::Null),
            content => Ok(ArrayToken::Element(without_escapes(content, buffer))),
        }
    }
}

/// The place of the first byte that `ends` accepts and no backslash escapes.
fn end_of_element(text: &[u8], ends: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if ends(byte) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// `text`, with each backslash removed that escapes the byte behind it.
fn without_escapes<'t>(text: &'t [u8], buffer: &'t mut Vec<u8>) -> &'t [u8] {
    if !text.contains(&b'\\') {
        return text;
    }
    buffer.clear();
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        buffer.extend(if byte == b'\\' { bytes.next().copied() } else { Some(byte) });
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens as a text in which every element has angle brackets.
    fn tokens(text: &str) -> Result<String, MalformedArray> {
        let (mut array, mut buffer, mut shown) = (ArrayText::new(text.as_bytes(), b','), Vec::new(), vec![]);
        while let Some(token) = array.next(&mut buffer)? {
            match token {
                ArrayToken::Open => shown.push(b'{'),
                ArrayToken::Close => shown.push(b'}'),
                ArrayToken::Delimiter => shown.push(b','),
                ArrayToken::Element(element) => shown.extend([b"<", element, b">"].concat()),
                ArrayToken::Null => shown.push(b'0'),
            }
        }
        Ok(String::from_utf8(shown).unwrap())
    }

    #[test]
    fn elements_are_separated_quoted_or_null() {
        assert_eq!(tokens("{}").unwrap(), "{}");
        assert_eq!(tokens(" { 1 , a b ,\"c,\\\"}\" } ").unwrap(), "{<1>,<a b>,<c,\"}>}");
        assert_eq!(tokens(r#"{NULL,null,"NULL",\NULL}"#).unwrap(), "{0,0,<NULL>,<NULL>}");
        assert_eq!(tokens(r#"{"",\,,a\ ,b\\ }"#).unwrap(), r"{<>,<,>,<a >,<b\>}");
    }

    #[test]
    fn dimensions_and_bounds_are_read() {
        assert_eq!(tokens("{{1,2},{3,NULL}}").unwrap(), "{{<1>,<2>},{<3>,0}}");
        assert_eq!(tokens("[0:1][2:2]={{1},{2}}").unwrap(), "{{<1>},{<2>}}");
    }

    #[test]
    fn what_is_no_array_is_an_error() {
        for text in [
            "", "1", "{", "}", "{}}", "{}{}", "{1", "{,}", "{1,}", "{,1}", "{1,,2}", "{a\"b\"}", "{\"a\"b}",
            "{a{b}}", "{{1}2}", "{\"a}", "{a\\}", "[0:1]", "{} x",
        ] {
            assert_eq!(tokens(text), Err(MalformedArray), "{text}");
        }
    }

    #[test]
    fn another_delimiter_leaves_commas_to_the_elements() {
        let mut buffer = Vec::new();
        let mut array = ArrayText::new(b"{(1,1),(0,0);(2,2),(1,1)}", b';');
        assert_eq!(array.next(&mut buffer), Ok(Some(ArrayToken::Open)));
        assert_eq!(array.next(&mut buffer), Ok(Some(ArrayToken::Element(b"(1,1),(0,0)"))));
    }
}
