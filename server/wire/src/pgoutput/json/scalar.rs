//! Numbers, times and strings.

use super::ValueError;

/// The largest exponent that is written out; those of `double precision` end at 323.
const EXPONENT_MAX: usize = 400;

/// Writes a string. Bytes that are not UTF-8, which a database of the encoding `SQL_ASCII` may hold, become U+FFFD.
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    serde_json::to_writer(out, &*text).expect("a string is written to memory");
}

/// Writes `t` or `f` as a boolean.
pub(super) fn write_boolean(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    out.extend_from_slice(match text {
        b"t" => b"true",
        b"f" => b"false",
        _ => return Err(ValueError::Malformed),
    });
    Ok(())
}

/// Writes a number as it is, if JSON has this form.
pub(super) fn write_number(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let (_, digits) = sign(text);
    let (integer, fraction) = halves(digits, |byte| byte == b'.');
    let is_canonical = integer == b"0" || (is_digits(integer) && integer[0] != b'0');
    if !is_canonical || !fraction.is_none_or(is_digits) {
        return Err(ValueError::Malformed);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// Whether the text is a number that JSON has not: `NaN`, `Infinity` or `-Infinity`.
pub(super) fn is_not_finite(text: &[u8]) -> bool {
    matches!(text, b"NaN" | b"Infinity" | b"-Infinity")
}

/// Writes a number with its exponent written out: `1.5e-07` as `0.00000015`. Negative zero is zero, as in a `numeric`.
pub(super) fn write_float(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let (negative, unsigned) = sign(text);
    let (mantissa, Some(exponent)) = halves(unsigned, |byte| byte == b'e') else {
        return write_number(if unsigned == b"0" { unsigned } else { text }, out);
    };
    let (integer, fraction) = halves(mantissa, |byte| byte == b'.');
    // PostgreSQL writes one digit before the point, and no point without digits behind it.
    let is_normalized = matches!(integer, [b'1'..=b'9']) && fraction.is_none_or(is_digits);
    let (to_the_left, exponent) = sign(exponent.strip_prefix(b"+").unwrap_or(exponent));
    let places = places(exponent).filter(|_| is_normalized).ok_or(ValueError::Malformed)?;
    out.extend_from_slice(negative);
    let fraction = fraction.unwrap_or_default();
    if to_the_left.is_empty() || places == 0 {
        write_shifted_right(integer, fraction, places, out);
    } else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', places - 1));
        out.extend_from_slice(integer);
        out.extend_from_slice(fraction);
    }
    Ok(())
}

/// How far an exponent moves the point.
fn places(exponent: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(exponent).ok().filter(|digits| is_digits(digits.as_bytes()))?;
    digits.parse().ok().filter(|&places| places <= EXPONENT_MAX)
}

fn write_shifted_right(integer: &[u8], fraction: &[u8], places: usize, out: &mut Vec<u8>) {
    let (before, behind) = fraction.split_at(places.min(fraction.len()));
    out.extend_from_slice(integer);
    out.extend_from_slice(before);
    out.extend(std::iter::repeat_n(b'0', places - before.len()));
    if !behind.is_empty() {
        out.push(b'.');
        out.extend_from_slice(behind);
    }
}

/// Writes a `timestamp`: `2024-02-03 12:34:56 BC` as `"2024-02-03T12:34:56 BC"`. `infinity` stays.
pub(super) fn write_timestamp(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let (date, time) = halves(text, |byte| byte == b' ');
    write_time([date, time.unwrap_or_default()], &[], &[], out)
}

/// Writes a `timestamptz`, whose zone has minutes then: `2024-02-03 12:34:56+00` as `"2024-02-03T12:34:56+00:00"`.
pub(super) fn write_timestamptz(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let (date, time) = halves(text, |byte| byte == b' ');
    let time = time.unwrap_or_default();
    let (time, era) = time.strip_suffix(b" BC").map_or((time, &b""[..]), |time| (time, b" BC"));
    let zone = time.iter().rposition(|byte| matches!(byte, b'+' | b'-')).map(|at| &time[at..]);
    let minutes: &[u8] = if zone.is_some_and(|zone| zone.len() == 3) { b":00" } else { b"" };
    write_time([date, time], minutes, era, out)
}

/// Writes the parts of a time as a string. They have no characters that a string escapes.
fn write_time(
    [date, time]: [&[u8]; 2],
    minutes: &[u8],
    era: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" +-:.".contains(byte);
    if ![date, time].into_iter().flatten().all(is_plain) {
        return Err(ValueError::Malformed);
    }
    let separator: &[u8] = if time.is_empty() { b"" } else { b"T" };
    for part in [b"\"", date, separator, time, minutes, era, b"\""] {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// Writes a `bytea` in hexadecimal without its `\x`.
pub(super) fn write_bytea(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let digits = text.strip_prefix(b"\\x").ok_or(ValueError::Malformed)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(ValueError::Malformed);
    }
    out.push(b'"');
    out.extend_from_slice(digits);
    out.push(b'"');
    Ok(())
}

/// The minus sign, if there is one, and what follows it.
fn sign(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(usize::from(text.first() == Some(&b'-')))
}

/// What is before the first byte that `separates`, and what is behind it.
fn halves(text: &[u8], separates: impl Fn(u8) -> bool) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| separates(byte)) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
