//! The id of a document of y-sweet: letters, digits, `-` and `_`.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;

use super::backend::DescribeForm;
use super::refusal::YSweetRefusal;

/// Bytes of an id. The longest pattern that a token may have is 256 bytes, `<id>/default`.
pub(super) const ID_BYTES_MAX: usize = 248;

/// Random bytes in an id that is chosen here: as many as a UUID has.
const RANDOM_BYTES: usize = 16;

/// The id of a document, which is the name of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DocumentId(Box<str>);

impl DocumentId {
    pub(super) fn parse(id: &str) -> Result<Self, YSweetRefusal> {
        let is_in_set = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_in_set) {
            return Ok(Self(id.into()));
        }
        let text = "the id of a document is 1 to 248 letters, digits, `-` and `_`";
        Err(YSweetRefusal::new(StatusCode::BAD_REQUEST, text))
    }

    /// An id that no other document has.
    fn random() -> Self {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).expect("the system provides random numbers");
        Self(BASE64_URL_SAFE_NO_PAD.encode(random).into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The body of a request for a new document.
#[derive(Debug, Deserialize)]
pub(super) struct NewDocument {
    #[serde(rename = "docId")]
    doc_id: Option<String>,
}

impl DescribeForm for NewDocument {
    const FORM: &'static str = "`docId` is a string, or missing";
}

impl NewDocument {
    /// The id that it asks for, or another one if it asks for none.
    pub(super) fn id(self) -> Result<DocumentId, YSweetRefusal> {
        self.doc_id.map_or_else(|| Ok(DocumentId::random()), |id| DocumentId::parse(&id))
    }
}
