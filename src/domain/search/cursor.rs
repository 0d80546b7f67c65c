//! Reads the tokens of a filter one after the other.

use super::error::{Fault, shown};
use super::lexer::{Lexeme, Token};
use super::{MAX_LIST_VALUES, NumberOp, TextOp};

/// An operator, whether or not it suits the name before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Compare(NumberOp),
    Like(TextOp),
    In { negated: bool },
    Null { negated: bool },
    Unknown,
}

/// The tokens that are not read yet.
pub(super) struct Cursor<'a, 't> {
    lexemes: &'t [Lexeme<'a>],
    text: &'a str,
}

impl<'a, 't> Cursor<'a, 't> {
    pub fn new(text: &'a str, lexemes: &'t [Lexeme<'a>]) -> Self {
        Self { lexemes, text }
    }

    pub fn next(&mut self) -> Option<Lexeme<'a>> {
        let (first, rest) = self.lexemes.split_first()?;
        self.lexemes = rest;
        Some(*first)
    }

    /// The next token, where the filter cannot end.
    pub fn expect(&mut self, wanted: &str) -> Result<Lexeme<'a>, Fault> {
        let end = || Fault::new(format!("ends where {wanted} was expected")).at(self.text.len());
        let first = self.lexemes.first().ok_or_else(end)?;
        self.lexemes = &self.lexemes[1..];
        Ok(*first)
    }

    /// Reads the operator behind a name; also answers with where it stands.
    pub fn operator(&mut self) -> Result<(Operator, Lexeme<'a>), Fault> {
        let mut place = self.expect("an operator such as =")?;
        let operator = match place.token {
            Token::Comparator(symbol) => comparison(symbol).map_or(Operator::Unknown, Operator::Compare),
            token if token.is_keyword("LIKE") => Operator::Like(TextOp::Like),
            token if token.is_keyword("ILIKE") => Operator::Like(TextOp::Ilike),
            token if token.is_keyword("IN") => Operator::In { negated: false },
            token if token.is_keyword("NOT") => {
                if self.skip("IN", &mut place) {
                    Operator::In { negated: true }
                } else {
                    // So that the refusal shows all of it.
                    let _ = self.skip("LIKE", &mut place) || self.skip("ILIKE", &mut place);
                    Operator::Unknown
                }
            }
            token if token.is_keyword("IS") => {
                let negated = self.skip("NOT", &mut place);
                if self.skip("NULL", &mut place) { Operator::Null { negated } } else { Operator::Unknown }
            }
            _ => Operator::Unknown,
        };
        Ok((operator, place))
    }

    /// Reads a text.
    pub fn text(&mut self) -> Result<(&'a str, Lexeme<'a>), Fault> {
        const WANTED: &str = "a value in single or double quotes";
        let lexeme = self.expect(WANTED)?;
        match lexeme.token {
            Token::SingleQuoted(value) | Token::DoubleQuoted(value) => Ok((value, lexeme)),
            _ => Err(self.unexpected(WANTED, lexeme)),
        }
    }

    /// Reads the list behind IN: at least one text, and perhaps a comma behind the last.
    pub fn list(&mut self) -> Result<Vec<(&'a str, Lexeme<'a>)>, Fault> {
        const OPEN: &str = "a list such as ('a', 'b')";
        const NEXT: &str = "`,` or `)` in the list of IN";
        let open = self.expect(OPEN)?;
        if open.token != Token::Open {
            return Err(self.unexpected(OPEN, open));
        }
        let mut values = vec![self.text()?];
        loop {
            let lexeme = self.expect(NEXT)?;
            match lexeme.token {
                Token::Comma if self.lexemes.first().is_some_and(|next| next.token == Token::Close) => {}
                Token::Comma if values.len() == MAX_LIST_VALUES => {
                    let message = format!("the list of IN has more than {MAX_LIST_VALUES} values");
                    return Err(Fault::new(message).at(lexeme.end));
                }
                Token::Comma => values.push(self.text()?),
                Token::Close => return Ok(values),
                _ => return Err(self.unexpected(NEXT, lexeme)),
            }
        }
    }

    /// The error of a token in the place of something else.
    pub fn unexpected(&self, wanted: &str, found: Lexeme<'a>) -> Fault {
        Fault::new(format!("expected {wanted}, found {}", self.shown(found))).at(found.start)
    }

    /// A token as it was written, for a message.
    pub fn shown(&self, lexeme: Lexeme<'a>) -> String {
        shown(self.text.get(lexeme.start..lexeme.end).unwrap_or_default())
    }

    /// Reads a keyword if it is next, and extends the place to its end.
    fn skip(&mut self, keyword: &str, place: &mut Lexeme<'a>) -> bool {
        let Some(first) = self.lexemes.first().filter(|first| first.token.is_keyword(keyword)) else {
            return false;
        };
        place.end = first.end;
        self.lexemes = &self.lexemes[1..];
        true
    }
}

fn comparison(symbol: &str) -> Option<NumberOp> {
    Some(match symbol {
        ">" => NumberOp::Gt,
        ">=" => NumberOp::Ge,
        "=" => NumberOp::Eq,
        "!=" => NumberOp::Ne,
        "<" => NumberOp::Lt,
        "<=" => NumberOp::Le,
        _ => return None,
    })
}
