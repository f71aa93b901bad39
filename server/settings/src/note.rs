//! What is accepted and probably not what was meant: a variable without effect, a file that is not read, a secret
//! that should be longer.

/// One such sentence, to be logged once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether an operator may rely on what has no effect, or should change something.
    pub warning: bool,
    /// The sentence.
    pub text: String,
}

impl Note {
    pub(crate) fn warning(text: impl Into<String>) -> Self {
        Self { warning: true, text: text.into() }
    }

    pub(crate) fn info(text: impl Into<String>) -> Self {
        Self { warning: false, text: text.into() }
    }
}
