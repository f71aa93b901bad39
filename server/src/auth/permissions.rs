//! The claim `permissions`: which rooms and documents the holder of a token may use, and how
//! (docs/protocol/tokens.md#permissions).
//!
//! Its size and the time that a comparison takes are bounded, because clients choose the names that are compared, and an
//! application may have tokens signed with what its users choose.

use serde_json::Value;

/// Patterns in one list.
const PATTERNS_MAX: usize = 100;

/// Bytes of one pattern, as it is written in the token.
const PATTERN_BYTES_MAX: usize = 256;

/// What `*` becomes in a pattern that was read. A pattern must not contain it.
const WILDCARD: char = '\0';

/// What the holder of a token may do in a room, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoomAccess {
    /// See who is present, and be present.
    Presence,
    /// Receive, and see who is present.
    Read,
    /// Receive, send, and be present.
    Write,
}

/// The claim `permissions`. A list that it does not have restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions {
    rooms: Option<Grants>,
    documents: Option<Grants>,
}

/// One list of `permissions`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grants(Box<[(Glob, RoomAccess)]>);

/// A pattern in which `*` stands for any characters, none and `/` included.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob(Box<str>);

/// Why the claim is not accepted, as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PermissionsError {
    /// It is something else.
    #[error("is not an object")]
    NotAnObject,
    /// One of its lists is something else.
    #[error("has `{0}` that is not a list")]
    NotAList(&'static str),
    /// An entry of a list is something else.
    #[error("has an entry of `{0}` that is neither a string nor an object with a string `pattern`")]
    NotAPattern(&'static str),
    /// The access of an entry is something else.
    #[error("has an entry of `{0}` whose `access` is not \"read\", \"write\" or \"presence\"")]
    UnknownAccess(&'static str),
    /// A list is too long.
    #[error("has more than {PATTERNS_MAX} entries in `{0}`")]
    TooManyPatterns(&'static str),
    /// A pattern is too long.
    #[error("has a pattern in `{0}` that is longer than {PATTERN_BYTES_MAX} bytes")]
    PatternTooLong(&'static str),
    /// A pattern has a character that no name has.
    #[error("has a pattern in `{0}` that contains U+0000")]
    InvalidPattern(&'static str),
}

impl Permissions {
    /// Reads the claim. Members that are not known are ignored.
    ///
    /// # Errors
    /// If it has another form, or is larger than permitted.
    pub(super) fn read(claim: &Value) -> Result<Self, PermissionsError> {
        let claim = claim.as_object().ok_or(PermissionsError::NotAnObject)?;
        let list = |name| claim.get(name).map(|list| Grants::read(name, list)).transpose();
        Ok(Self { rooms: list("rooms")?, documents: list("documents")? })
    }

    /// Whether it restricts rooms.
    pub fn restricts_rooms(&self) -> bool {
        self.rooms.is_some()
    }

    /// What its holder may do in `room`; `None` for nothing.
    pub fn in_room(&self, room: &str) -> Option<RoomAccess> {
        Grants::access(self.rooms.as_ref(), room)
    }

    /// What its holder may do with the document `doc`, apart from what it may do in the room.
    pub(super) fn with_document(&self, room: &str, doc: &str) -> Option<RoomAccess> {
        Grants::access(self.documents.as_ref(), &format!("{room}/{doc}"))
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        let lists = [&self.rooms, &self.documents].into_iter().flatten();
        let entries = lists.flat_map(|grants| &grants.0);
        size_of::<Self>() + entries.map(|entry| size_of_val(entry) + entry.0.0.len()).sum::<usize>()
    }
}

impl Grants {
    fn read(list: &'static str, claim: &Value) -> Result<Self, PermissionsError> {
        let entries = claim.as_array().ok_or(PermissionsError::NotAList(list))?;
        if entries.len() > PATTERNS_MAX {
            return Err(PermissionsError::TooManyPatterns(list));
        }
        entries.iter().map(|entry| entry_of(list, entry)).collect::<Result<_, _>>().map(Self)
    }

    /// The greatest access that a pattern gives to `name`.
    fn access(grants: Option<&Self>, name: &str) -> Option<RoomAccess> {
        let Some(Self(entries)) = grants else { return Some(RoomAccess::Write) };
        entries.iter().filter(|(pattern, _)| pattern.matches(name)).map(|(_, access)| *access).max()
    }
}

fn entry_of(list: &'static str, entry: &Value) -> Result<(Glob, RoomAccess), PermissionsError> {
    let pattern = entry.as_str().or_else(|| entry.get("pattern")?.as_str());
    let access = match entry.get("access") {
        None => RoomAccess::Write,
        Some(access) => match access.as_str() {
            Some("presence") => RoomAccess::Presence,
            Some("read") => RoomAccess::Read,
            Some("write") => RoomAccess::Write,
            _ => return Err(PermissionsError::UnknownAccess(list)),
        },
    };
    Ok((Glob::read(list, pattern.ok_or(PermissionsError::NotAPattern(list))?)?, access))
}

impl Glob {
    fn read(list: &'static str, pattern: &str) -> Result<Self, PermissionsError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(PermissionsError::PatternTooLong(list));
        }
        if pattern.contains(WILDCARD) {
            return Err(PermissionsError::InvalidPattern(list));
        }
        let literals = pattern.split("\\*").map(|text| text.replace('*', WILDCARD.encode_utf8(&mut [0; 4])));
        Ok(Self(literals.collect::<Vec<_>>().join("*").into()))
    }

    /// Whether the whole `name` matches. Takes time linear in both lengths: each literal is searched behind the one before
    /// it, and the first place is as good as any other.
    fn matches(&self, name: &str) -> bool {
        let mut literals = self.0.split(WILDCARD);
        let first = literals.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = literals.next_back() else { return rest.is_empty() };
        for literal in literals {
            let Some((_, behind)) = rest.split_once(literal) else { return false };
            rest = behind;
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests;
