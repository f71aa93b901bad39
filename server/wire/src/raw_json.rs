//! JSON as text: parts of it without a tree.
//!
//! Each function is one pass of serde_json's validating scanner, which has its own stack: a million opening brackets take a
//! million bytes, not a million calls. Results are slices of the input, and the whole input is valid if the result is
//! `Ok`. Valid means the grammar: a lone surrogate (`"\ud800"`) or a number that no float can represent passes, and fails
//! only when it is decoded.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Error};

/// One member of an object, as written (RFC 8259).
#[derive(Clone, Copy)]
pub(crate) struct Property<'a> {
    /// The name with its quotes and escapes.
    pub(crate) key: &'a str,
    /// The value's text.
    pub(crate) value: &'a str,
}

impl<'a> Property<'a> {
    /// Whether the decoded name is `name`. A name that cannot be decoded equals none.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        string(self.key).is_some_and(|key| key == name)
    }
}

/// Whether `text` is one JSON value with only whitespace around it.
pub(crate) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Whether this JSON value is an object. It is known to be valid, so the first byte decides.
pub(crate) fn is_object(value: &str) -> bool {
    value.trim_ascii_start().starts_with('{')
}

/// A value, unless it is `null`, which means the same as absent: realtime-py sends it for fields it does not use.
pub(crate) fn given(value: Option<&str>) -> Option<&str> {
    value.filter(|value| *value != "null")
}

/// The content of a JSON string, borrowed unless it has escapes. `None` if the value is not a string or has half a
/// surrogate pair.
pub(crate) fn string(value: &str) -> Option<Cow<'_, str>> {
    let content = value.strip_prefix('"')?.strip_suffix('"')?;
    if content.contains('\\') {
        return serde_json::from_str(value).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(content))
}

/// Calls `visit` with each member of the object `text`, in order.
pub(crate) fn each_property<'a>(text: &'a str, visit: impl FnMut(Property<'a>)) -> Result<(), Error> {
    let mut deserializer = Deserializer::from_str(text);
    deserializer.deserialize_map(Properties(visit, PhantomData))?;
    deserializer.end()
}

/// The values of the named members of the object `text`; of members with the same name, the last one.
pub(crate) fn properties<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], Error> {
    let mut values = [None; N];
    each_property(text, |property| {
        if let Some(index) = names.iter().position(|name| property.is_named(name)) {
            values[index] = Some(property.value);
        }
    })?;
    Ok(values)
}

/// Calls `visit` with each element of the array `text`, in order.
pub(crate) fn each_element<'a>(text: &'a str, visit: impl FnMut(&'a str)) -> Result<(), Error> {
    let mut deserializer = Deserializer::from_str(text);
    deserializer.deserialize_seq(Elements(visit, PhantomData))?;
    deserializer.end()
}

/// The first `N` elements of the array `text`. Fewer are an error, more are ignored.
pub(crate) fn first_elements<const N: usize>(text: &str) -> Result<[&str; N], Error> {
    let mut deserializer = Deserializer::from_str(text);
    let elements = deserializer.deserialize_seq(FirstElements::<N>)?;
    deserializer.end()?;
    Ok(elements)
}

struct Properties<'a, F>(F, PhantomData<&'a str>);

impl<'a, F: FnMut(Property<'a>)> Visitor<'a> for Properties<'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some((key, value)) = members.next_entry::<&RawValue, &RawValue>()? {
            (self.0)(Property { key: key.get(), value: value.get() });
        }
        Ok(())
    }
}

struct Elements<'a, F>(F, PhantomData<&'a str>);

impl<'a, F: FnMut(&'a str)> Visitor<'a> for Elements<'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            (self.0)(element.get());
        }
        Ok(())
    }
}

struct FirstElements<const N: usize>;

impl<'a, const N: usize> Visitor<'a> for FirstElements<N> {
    type Value = [&'a str; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at least {N} elements")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut first = [""; N];
        for (index, slot) in first.iter_mut().enumerate() {
            let element = elements.next_element::<&RawValue>()?;
            *slot = element.ok_or_else(|| A::Error::invalid_length(index, &self))?.get();
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_names_is_used_whatever_its_escapes() {
        assert_eq!(
            properties(r#"{"a":1,"b":[ 2 ],"\u0061":3}"#, ["a", "b", "c"]).unwrap(),
            [Some("3"), Some("[ 2 ]"), None]
        );
    }

    #[test]
    fn a_name_that_cannot_be_decoded_is_skipped() {
        assert_eq!(properties(r#"{"\ud800":1,"a":2}"#, ["a"]).unwrap(), [Some("2")]);
    }

    #[test]
    fn depth_is_not_limited_by_the_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert!(is_valid(&deep));
        assert_eq!(first_elements::<1>(&format!("[{deep}]")).unwrap(), [deep.as_str()]);
        assert!(!is_valid(&"[".repeat(1_000_000)));
    }

    #[test]
    fn only_whitespace_may_follow_the_value() {
        assert!(properties::<0>("{} ", []).is_ok());
        assert!(properties::<0>("{} 1", []).is_err());
        assert!(first_elements::<1>("[1]]").is_err());
    }

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        assert!(matches!(string("\"é\""), Some(Cow::Borrowed("é"))));
        assert_eq!(string(r#""\u00e9""#).as_deref(), Some("é"));
        assert_eq!(string(r#""\ud800""#), None);
        assert_eq!(string("12"), None);
    }
}
