//! A text as tokens. A name with its prefix and key is one token, so that no blank can hide within it
//! and a key such as `5` or `from` is not mistaken for a number or a keyword.

use winnow::combinator::{alt, delimited, not, opt, preceded, terminated};
use winnow::error::EmptyError;
use winnow::prelude::*;
use winnow::token::{one_of, take_while};

use super::error::{Fault, shown};

/// A piece of a filter or an order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    /// A bare word: an attribute or a keyword.
    Word(&'a str),
    /// In backticks: an attribute.
    Backticked(&'a str),
    /// In double quotes: a text, or an attribute.
    DoubleQuoted(&'a str),
    /// In single quotes: a text.
    SingleQuoted(&'a str),
    /// `prefix.key`; the key without its quotes.
    Path { prefix: &'a str, key: &'a str },
    /// A decimal number.
    Number(&'a str),
    /// Characters of `<>=~!`, whether or not they mean anything.
    Comparator(&'a str),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
}

impl Token<'_> {
    /// Whether this is the keyword, in any letter case.
    pub fn is_keyword(self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// A token and where it stands in the text, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexeme<'a> {
    pub token: Token<'a>,
    pub start: usize,
    pub end: usize,
}

type Lexed<T> = Result<T, EmptyError>;

/// The tokens of a text, blanks between them dropped.
pub(super) fn lex(text: &str) -> Result<Vec<Lexeme<'_>>, Fault> {
    let mut lexemes = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let start = text.len() - rest.len();
        let token = token.parse_next(&mut rest).map_err(|_| diagnose(&text[start..], lexemes.last(), start))?;
        lexemes.push(Lexeme { token, start, end: text.len() - rest.len() });
        rest = rest.trim_start();
    }
    Ok(lexemes)
}

fn token<'a>(input: &mut &'a str) -> Lexed<Token<'a>> {
    alt((
        path,
        number.map(Token::Number),
        word.map(Token::Word),
        quoted('`').map(Token::Backticked),
        quoted('"').map(Token::DoubleQuoted),
        quoted('\'').map(Token::SingleQuoted),
        take_while(1.., ['<', '>', '=', '~', '!']).map(Token::Comparator),
        one_of(['(', ')', ',']).map(|c| match c {
            '(' => Token::Open,
            ')' => Token::Close,
            _ => Token::Comma,
        }),
    ))
    .parse_next(input)
}

fn path<'a>(input: &mut &'a str) -> Lexed<Token<'a>> {
    let bare = (one_of(is_word), take_while(0.., |c| is_word(c) || c == '.')).take();
    let key = alt((bare, quoted('`'), quoted('"'), quoted('\''))).verify(|key: &str| !key.is_empty());
    let end = not(one_of(|c| is_word(c) || matches!(c, '.' | '`' | '"' | '\'')));
    (alt((bare_word, quoted('`'))), preceded('.', terminated(key, end))).map(|(prefix, key)| Token::Path { prefix, key }).parse_next(input)
}

fn word<'a>(input: &mut &'a str) -> Lexed<&'a str> {
    terminated(bare_word, not('.')).parse_next(input)
}

fn bare_word<'a>(input: &mut &'a str) -> Lexed<&'a str> {
    preceded(not(one_of('0'..='9')), take_while(1.., is_word)).parse_next(input)
}

fn number<'a>(input: &mut &'a str) -> Lexed<&'a str> {
    let fraction = ('.', take_while(0.., '0'..='9')).void();
    let digits = (take_while(1.., '0'..='9'), opt(fraction)).void();
    let bare_fraction = ('.', take_while(1.., '0'..='9')).void();
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), take_while(1.., '0'..='9'));
    terminated((opt('-'), alt((digits, bare_fraction)), opt(exponent)).take(), not(one_of(is_word))).parse_next(input)
}

/// What stands between two quotes of a kind. A quote that directly follows the closing one was meant as
/// an escape, which there is not.
fn quoted<'a>(quote: char) -> impl Parser<&'a str, &'a str, EmptyError> {
    terminated(delimited(quote, take_while(0.., move |c| c != quote), quote), not(quote))
}

/// What Python's `\w` matches, more or less: it also takes marks that letters combine with.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Why no token starts here; `rest` is not empty and starts at byte `offset`.
fn diagnose(rest: &str, previous: Option<&Lexeme<'_>>, offset: usize) -> Fault {
    let piece = shown(rest.split(char::is_whitespace).next().unwrap_or(rest));
    let message = match rest.chars().next() {
        Some(quote @ ('\'' | '"' | '`')) if rest[1..].contains(quote) => {
            format!("a quote cannot be escaped, as in {piece}; put a text with one kind of quote in the other kind")
        }
        Some('\'' | '"' | '`') => {
            format!("the quote at {piece} is not closed; quotes cannot be escaped")
        }
        Some(';') => "found \";\"; a filter is one list of comparisons joined by AND".to_owned(),
        Some(c) if is_word(c) || c == '.' || c == '-' && rest[1..].starts_with(is_word) => {
            format!("found {piece}, which is neither a name nor a number; names look like metrics.rmse or tags.`a key`")
        }
        _ => match previous {
            Some(Lexeme { token: Token::Path { .. }, end, .. }) if *end == offset => format!(
                "found {piece} in a key; a key with other characters than letters, digits, `_` and `.` is quoted, \
                 as in tags.`a-key`"
            ),
            _ => format!("found {piece}, which belongs to no comparison"),
        },
    };
    Fault::new(message).at(offset)
}
