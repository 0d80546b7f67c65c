//! MLflow's search language: a filter and an order as typed trees. The store compiles a tree to SQL with
//! bound values; no text of a caller ever becomes SQL. Nothing here knows tables, pages or defaults.
//!
//! ```text
//! filter     = { "AND" | comparison }          AND only separates: one may be missing, or be too many
//! comparison = name ( op value | [NOT] IN list | IS [NOT] NULL )
//! op         = "=" | "!=" | "<" | "<=" | ">" | ">=" | LIKE | ILIKE
//! name       = word | quoted | prefix "." ( key | quoted )
//! list       = "(" text { "," text } [ "," ] ")"
//! order_by   = name [ ASC | DESC ]
//! ```
//!
//! Keywords take any letter case, names do not. A bare key holds letters, digits, `_` and `.`; any other
//! key is quoted as a whole, in backticks, double or single quotes. A value in single or double quotes is
//! a text without escapes: it ends at its quote. A name without a prefix is an attribute.
//!
//! The order of logged models comes as fields; only its names are read here.
//!
//! Compared with MLflow 3.17's own parsers on 65,000 generated filters and orders: what both accept, both
//! read alike. MLflow stands on a general SQL lexer; where its accidents would help nobody, we differ.
//! - A doubled or a backslashed quote is refused, with the advice to use the other kind; MLflow keeps both
//!   characters as part of the value. Backslashes in IN lists stand for themselves; there MLflow applies
//!   the escapes of Python, and joins texts without a comma between them.
//! - Accepted here alone: bare keys that are SQL keywords or start with a digit (`metrics.from`); numbers
//!   like `1e+5` and `.5e3`; quoted attribute names and prefixes for every entity; keywords in lower case
//!   for experiments, too; further blanks in IS NOT NULL; a missing AND before IN and IS; a text that ends
//!   in a backslash before another one; a blank filter; blanks round an item of order_by; `attribute.` in
//!   the orders of registered models.
//! - Refused here alone: a blank beside the dot of a name; keys that are empty, start with a dot or have
//!   several quoted parts; keys and numbers of other characters that a SQL lexer lets pass (`[a]`, `@a`);
//!   an order_by item with its prefix in the quotes; `=` with a list, and a list in a list; integers with
//!   `_` or digits outside ASCII, or beyond 64 bits; tags as an order of model versions.

mod cursor;
mod display;
mod error;
mod filter;
mod lexer;
pub mod like;
mod names;
mod order_by;
mod prompt;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod tree;

pub use error::SearchError;
pub use filter::parse_filter;
pub use order_by::{parse_logged_model_key, parse_order_by};
pub use prompt::{PROMPT_TAG, PromptScope, prompt_rule};
pub use tree::{Attribute, Comparison, DatasetField, Entity, Filter, Key, Number, NumberOp, OrderBy, Test, TextOp};

/// The longest filter, in bytes: a list of as many ids as `mlflow` sends, or a comparison with the longest value.
pub const MAX_FILTER_BYTES: usize = 128 * 1024;
/// Characters of one pattern of LIKE or ILIKE: its cost is its length times that of each text it is tried on.
pub const MAX_PATTERN_CHARACTERS: usize = 1_000;
/// Wildcards `%` in one pattern.
pub const MAX_PATTERN_WILDCARDS: usize = 16;
/// The most comparisons in a filter.
pub const MAX_CLAUSES: usize = 64;
/// The most values in one IN list.
pub const MAX_LIST_VALUES: usize = 1_000;
/// The most values in all IN lists of a filter.
pub const MAX_LISTED_VALUES: usize = 5_000;
/// The most items in an order.
pub const MAX_ORDER_BY_ITEMS: usize = 16;
/// The longest item of an order, in bytes: the longest key in four-byte characters, and room around it.
pub const MAX_ORDER_BY_BYTES: usize = 2 * 1024;
