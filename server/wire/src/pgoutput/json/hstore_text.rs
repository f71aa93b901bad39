//! The text form of `hstore`: `"a"=>"1", "b"=>NULL`.

use super::{ValueError, write_string};

/// Writes an `hstore` as an object of strings.
pub(super) fn write(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let (mut rest, mut buffer) = (text, Vec::new());
    out.push(b'{');
    while !rest.is_empty() {
        if rest.len() < text.len() {
            rest = rest.strip_prefix(b", ").ok_or(ValueError::Malformed)?;
            out.push(b',');
        }
        rest = write_quoted(rest, &mut buffer, out)?.strip_prefix(b"=>").ok_or(ValueError::Malformed)?;
        out.push(b':');
        rest = match rest.strip_prefix(b"NULL") {
            Some(rest) => {
                out.extend_from_slice(b"null");
                rest
            }
            None => write_quoted(rest, &mut buffer, out)?,
        };
    }
    out.push(b'}');
    Ok(())
}

/// Writes the quoted string at the beginning of `text`. Returns what is behind it.
fn write_quoted<'a>(text: &'a [u8], buffer: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<&'a [u8], ValueError> {
    let mut bytes = text.strip_prefix(b"\"").ok_or(ValueError::Malformed)?.iter();
    buffer.clear();
    loop {
        match bytes.next() {
            Some(b'"') => break,
            Some(b'\\') => buffer.push(*bytes.next().ok_or(ValueError::Malformed)?),
            Some(byte) => buffer.push(*byte),
            None => return Err(ValueError::Malformed),
        }
    }
    write_string(buffer, out);
    Ok(bytes.as_slice())
}
