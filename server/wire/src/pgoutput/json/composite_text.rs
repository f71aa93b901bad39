//! The text form of composite values: `(1,"a ""b""",)`. A field without any text is NULL.

/// The text is no composite value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MalformedComposite;

/// The unread rest of a composite value, behind its opening parenthesis or the comma before a field.
#[derive(Debug)]
pub(super) struct CompositeText<'a>(&'a [u8]);

/// A field, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FieldText<'t> {
    /// The text without quotes and escapes; `None` for NULL.
    pub(super) text: Option<&'t [u8]>,
    /// Whether it is the last one.
    pub(super) is_last: bool,
}

impl<'a> CompositeText<'a> {
    /// The fields of the composite value `text`.
    pub(super) fn new(text: &'a [u8]) -> Result<Self, MalformedComposite> {
        text.strip_prefix(b"(").map(Self).ok_or(MalformedComposite)
    }

    /// The next field. A field with quotes or escapes is decoded into `buffer`. Not to be called behind the last one.
    pub(super) fn next_field<'t>(
        &mut self,
        buffer: &'t mut Vec<u8>,
    ) -> Result<FieldText<'t>, MalformedComposite>
    where
        'a: 't,
    {
        let end = end_of_field(self.0).ok_or(MalformedComposite)?;
        let (written, rest) = self.0.split_at(end);
        let is_last = rest[0] == b')';
        self.0 = &rest[1..];
        if is_last && !self.0.is_empty() {
            return Err(MalformedComposite);
        }
        let text = (!written.is_empty()).then(|| decoded(written, buffer));
        Ok(FieldText { text, is_last })
    }
}

/// The place of the comma or parenthesis behind a field.
fn end_of_field(text: &[u8]) -> Option<usize> {
    let (mut at, mut is_quoted) = (0, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            // Two quotes within a quoted run are an escaped one: they end the run and begin it again.
            b'"' => is_quoted = !is_quoted,
            b',' | b')' if !is_quoted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A field without its quotes and escapes.
fn decoded<'t>(written: &'t [u8], buffer: &'t mut Vec<u8>) -> &'t [u8] {
    if !written.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return written;
    }
    buffer.clear();
    let (mut bytes, mut is_quoted) = (written.iter().copied().peekable(), false);
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => buffer.extend(bytes.next()),
            b'"' if is_quoted && bytes.next_if_eq(&b'"').is_some() => buffer.push(b'"'),
            b'"' => is_quoted = !is_quoted,
            byte => buffer.push(byte),
        }
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Result<Vec<Option<String>>, MalformedComposite> {
        let (mut composite, mut buffer, mut fields) =
            (CompositeText::new(text.as_bytes())?, Vec::new(), vec![]);
        loop {
            let field = composite.next_field(&mut buffer)?;
            fields.push(field.text.map(|text| String::from_utf8(text.to_vec()).unwrap()));
            if field.is_last {
                return Ok(fields);
            }
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn fields_are_plain_quoted_or_null() {
        assert_eq!(fields(r#"(1,"a ""b""",)"#).unwrap(), [some("1"), some("a \"b\""), None]);
        assert_eq!(fields(r#"("",",)","\\x01")"#).unwrap(), [some(""), some(",)"), some("\\x01")]);
        assert_eq!(fields(r#"(a"b,"\,c)"#).unwrap(), [some("ab,,c")]);
        assert_eq!(fields("()").unwrap(), [None]);
    }

    #[test]
    fn what_is_no_composite_value_is_an_error() {
        for text in ["", "1", "(", "(1", "(1,", "(1)2", "(\"1)", "(1\\)", "(1\\"] {
            assert_eq!(fields(text), Err(MalformedComposite), "{text}");
        }
    }
}
