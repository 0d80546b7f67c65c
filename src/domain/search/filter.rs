//! Tokens as a filter.

use super::cursor::{Cursor, Operator};
use super::error::{Fault, check_text, shown};
use super::lexer::{Lexeme, Token, lex};
use super::names::{Domain, Use, domain, key};
use super::{
    Comparison, Entity, Filter, Key, MAX_CLAUSES, MAX_FILTER_BYTES, MAX_LISTED_VALUES, MAX_PATTERN_CHARACTERS, MAX_PATTERN_WILDCARDS,
    Number, NumberOp, SearchError, Test, TextOp,
};

/// Parses a filter as MLflow does; see the module for the grammar. A blank text has no comparisons.
///
/// Takes time linear in the length of the text. Errors name the field `filter`, what was found, where,
/// and what would be right; also when a limit is exceeded: `MAX_FILTER_BYTES`, `MAX_CLAUSES`,
/// `MAX_LIST_VALUES`, `MAX_LISTED_VALUES`, `MAX_PATTERN_CHARACTERS`, `MAX_PATTERN_WILDCARDS`.
pub fn parse_filter(entity: Entity, text: &str) -> Result<Filter, SearchError> {
    parse(entity, text).map_err(|fault| fault.within("filter", text))
}

fn parse(entity: Entity, text: &str) -> Result<Filter, Fault> {
    check_text(text, MAX_FILTER_BYTES)?;
    let lexemes = lex(text)?;
    let mut cursor = Cursor::new(text, &lexemes);
    let mut clauses = Vec::new();
    // MLflow passes over any number of ANDs; where two of them end the filter, its last comparison got lost.
    if let [.., one, last] = lexemes.as_slice()
        && one.token.is_keyword("AND")
        && last.token.is_keyword("AND")
    {
        return Err(Fault::new("ends with a second AND in a row, where a comparison was expected").at(last.start));
    }
    let mut listed = 0;
    while let Some(first) = cursor.next() {
        if first.token.is_keyword("AND") {
            continue;
        }
        if clauses.len() == MAX_CLAUSES {
            return Err(Fault::new(format!("has more than {MAX_CLAUSES} comparisons")).at(first.start));
        }
        refuse_as_start(first, &cursor)?;
        let key = key(entity, Use::Filter, first.token).map_err(|fault| fault.at(first.start))?;
        let test = test(entity, &key, &mut cursor)?;
        listed += match &test {
            Test::In { values, .. } => values.len(),
            Test::NumberIn { values, .. } => values.len(),
            _ => 0,
        };
        if listed > MAX_LISTED_VALUES {
            return Err(Fault::new(format!("has lists with more than {MAX_LISTED_VALUES} values together")).at(first.start));
        }
        clauses.push(Comparison { key, test });
    }
    Ok(Filter { clauses })
}

/// Says why what MLflow does not know cannot start a comparison.
fn refuse_as_start<'a>(first: Lexeme<'a>, cursor: &Cursor<'a, '_>) -> Result<(), Fault> {
    let why = match first.token {
        Token::Open | Token::Close => "parentheses only enclose the list of IN, and comparisons are joined by AND",
        Token::SingleQuoted(_) | Token::Number(_) => "a comparison has its name on the left and its value on the right",
        token if token.is_keyword("OR") || token.is_keyword("NOT") => "comparisons are only joined by AND; OR and NOT are not supported",
        Token::Comparator(_) | Token::Comma => "a comparison starts with a name",
        _ => return Ok(()),
    };
    Err(Fault::new(format!("found {}; {why}", cursor.shown(first))).at(first.start))
}

/// Reads the operator and the value that follow a name.
fn test<'a>(entity: Entity, key: &Key, cursor: &mut Cursor<'a, '_>) -> Result<Test, Fault> {
    let domain = domain(entity, key);
    let (operator, place) = cursor.operator()?;
    Ok(match (domain, operator) {
        (Domain::Double | Domain::Time | Domain::Integer | Domain::LooseInteger, Operator::Compare(op)) => {
            Test::Number { op, value: number(domain, cursor)? }
        }
        (Domain::QuotedId, Operator::Compare(op @ (NumberOp::Eq | NumberOp::Ne))) => {
            let (digits, lexeme) = cursor.text()?;
            Test::Number { op, value: Number::Int(integer(digits, lexeme)?) }
        }
        (Domain::QuotedId, Operator::In { negated }) => {
            let values = cursor.list()?.into_iter().map(|(digits, lexeme)| integer(digits, lexeme));
            Test::NumberIn { negated, values: values.collect::<Result<_, _>>()? }
        }
        (Domain::Text { .. }, Operator::Compare(NumberOp::Eq)) => text(TextOp::Eq, cursor)?,
        (Domain::Text { .. }, Operator::Compare(NumberOp::Ne)) => text(TextOp::Ne, cursor)?,
        (Domain::Text { .. }, Operator::Like(op)) => pattern(op, cursor)?,
        (Domain::Text { list: true, .. }, Operator::In { negated }) => {
            let values = cursor.list()?.into_iter().map(|(value, _)| value.to_owned());
            Test::In { negated, values: values.collect() }
        }
        (Domain::Text { null: true, .. }, Operator::Null { negated }) => Test::Null { negated },
        _ => {
            let message = format!("found {}; the operators of this name are {}", cursor.shown(place), operators(domain));
            return Err(Fault::new(message).at(place.start));
        }
    })
}

fn text(op: TextOp, cursor: &mut Cursor<'_, '_>) -> Result<Test, Fault> {
    Ok(Test::Text { op, value: cursor.text()?.0.to_owned() })
}

/// A pattern's cost is its length times that of each text it is tried on, so its length and wildcards are bounded.
fn pattern(op: TextOp, cursor: &mut Cursor<'_, '_>) -> Result<Test, Fault> {
    let (pattern, lexeme) = cursor.text()?;
    let (characters, wildcards) = (pattern.chars().count(), pattern.matches('%').count());
    if characters > MAX_PATTERN_CHARACTERS {
        let message = format!("the pattern has {characters} characters; at most {MAX_PATTERN_CHARACTERS} are allowed");
        return Err(Fault::new(message).at(lexeme.start));
    }
    if wildcards > MAX_PATTERN_WILDCARDS {
        let message = format!("the pattern has {wildcards} wildcards `%`; at most {MAX_PATTERN_WILDCARDS} are allowed");
        return Err(Fault::new(message).at(lexeme.start));
    }
    Ok(Test::Text { op, value: pattern.to_owned() })
}

fn number(domain: Domain, cursor: &mut Cursor<'_, '_>) -> Result<Number, Fault> {
    const WANTED: &str = "a number without quotes";
    let lexeme = cursor.expect(WANTED)?;
    match (domain, lexeme.token) {
        (Domain::Double, Token::Number(digits)) => float(digits, lexeme),
        (Domain::Time, Token::Number(digits)) if digits.contains(['.', 'e', 'E']) => float(digits, lexeme),
        (_, Token::Number(digits)) | (Domain::LooseInteger, Token::SingleQuoted(digits) | Token::DoubleQuoted(digits)) => {
            integer(digits, lexeme).map(Number::Int)
        }
        _ => Err(cursor.unexpected(WANTED, lexeme)),
    }
}

fn float(digits: &str, lexeme: Lexeme<'_>) -> Result<Number, Fault> {
    // The lexer's numbers are all ones that Rust reads; beyond its range it answers with an infinity.
    digits.parse().map(Number::Float).map_err(|_| Fault::new("not a number").at(lexeme.start))
}

fn integer(digits: &str, lexeme: Lexeme<'_>) -> Result<i64, Fault> {
    digits.trim().parse().map_err(|_| {
        let found = shown(digits);
        let message = format!("expected an integer between {} and {}, found {found}", i64::MIN, i64::MAX);
        Fault::new(message).at(lexeme.start)
    })
}

fn operators(domain: Domain) -> &'static str {
    match domain {
        Domain::Double | Domain::Time | Domain::Integer | Domain::LooseInteger => "=, !=, <, <=, > and >=",
        Domain::QuotedId => "=, !=, IN and NOT IN",
        Domain::Text { list: false, null: false } => "=, !=, LIKE and ILIKE",
        Domain::Text { list: true, .. } => "=, !=, LIKE, ILIKE, IN and NOT IN",
        Domain::Text { list: false, null: true } => "=, !=, LIKE, ILIKE, IS NULL and IS NOT NULL",
    }
}
