//! Why a filter or an order was refused.

use crate::domain::field::FieldError;

/// The most characters of a caller's text that an error repeats.
const SHOWN_CHARACTERS: usize = 60;

/// A filter or an order that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .position.map_or_else(String::new, |at| format!(" (at character {at})")))]
pub struct SearchError {
    /// The field: `filter`, or `order_by[2]`.
    pub field: String,
    /// What was found, and what would be right. Quotes at most a short piece of the text.
    pub message: String,
    /// Where: how many characters stand before.
    pub position: Option<usize>,
}

impl From<SearchError> for FieldError {
    fn from(error: SearchError) -> Self {
        let message = error.to_string();
        Self::new(error.field, message)
    }
}

/// An error within a text whose field is not known yet.
#[derive(Debug)]
pub(super) struct Fault {
    /// What was found, and what would be right.
    pub message: String,
    /// The byte at which it was found.
    pub offset: Option<usize>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), offset: None }
    }

    /// At a byte of the text, unless a place is known already.
    pub fn at(mut self, offset: usize) -> Self {
        self.offset.get_or_insert(offset);
        self
    }

    /// As an error of `field`, whose value is `text`.
    pub fn within(self, field: impl Into<String>, text: &str) -> SearchError {
        let characters = |end: usize| text.char_indices().take_while(|(at, _)| *at < end).count();
        SearchError { field: field.into(), message: self.message, position: self.offset.map(characters) }
    }
}

/// A piece of a caller's text for a message: short, on one line, in quotes.
pub(super) fn shown(piece: &str) -> String {
    match piece.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{:?}…", &piece[..end]),
        None => format!("{piece:?}"),
    }
}

/// Refuses a text that is too long, or that PostgreSQL could not hold.
pub(super) fn check_text(text: &str, limit: usize) -> Result<(), Fault> {
    if text.len() > limit {
        return Err(Fault::new(format!("has {} bytes; at most {limit} are allowed", text.len())));
    }
    match text.find('\0') {
        Some(offset) => Err(Fault::new("contains a NUL character").at(offset)),
        None => Ok(()),
    }
}
