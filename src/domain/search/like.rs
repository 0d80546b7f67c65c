//! What LIKE and ILIKE mean: `%` stands for any characters, `_` for exactly one (a Unicode scalar
//! value), all else for itself, the backslash included; nothing escapes. ILIKE disregards case by Unicode's simple folding,
//! on both databases and in every locale, because each letter of the pattern is spelled out as the set of its cases.
//!
//! The databases do the matching; this is what they are tested against.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use crate::domain::text::canonical_name;

/// A pattern of LIKE or ILIKE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LikePattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Exactly(char),
}

impl LikePattern {
    /// Every text is a pattern.
    pub fn new(pattern: &str) -> Self {
        let part = |c| match c {
            '%' => Part::Any,
            '_' => Part::One,
            c => Part::Exactly(c),
        };
        Self { parts: pattern.chars().map(part).collect() }
    }

    /// Whether the whole text matches, in time of at most the product of both lengths.
    pub fn matches(&self, text: &str, case_insensitive: bool) -> bool {
        let fits = |part: Part, c: char| match part {
            Part::Any => false,
            Part::One => true,
            Part::Exactly(own) => own == c || case_insensitive && cases(own).contains(&c),
        };
        let mut next = 0;
        let mut rest = text.chars();
        // The last `%`, and the text behind what it stands for so far. Earlier ones never need to stand
        // for more: what follows them has matched as early as it could.
        let mut retry = None;
        loop {
            let mut ahead = rest.clone();
            match (self.parts.get(next), ahead.next()) {
                (Some(Part::Any), _) => {
                    next += 1;
                    retry = Some((next, rest.clone()));
                }
                (Some(&part), Some(c)) if fits(part, c) => {
                    next += 1;
                    rest = ahead;
                }
                (None, None) => return true,
                _ => {
                    let Some((part, from)) = &mut retry else {
                        return false;
                    };
                    if from.next().is_none() {
                        return false;
                    }
                    next = *part;
                    rest = from.clone();
                }
            }
        }
    }
}

/// The pattern for SQL `LIKE ? ESCAPE '\'`, where it means the same on SQLite and PostgreSQL.
pub fn escape_for_sql(pattern: &str) -> String {
    pattern.replace('\\', r"\\")
}

/// The pattern of ILIKE for SQLite's `GLOB`, which minds case and knows sets of characters.
pub fn as_glob(pattern: &str) -> String {
    spelled(pattern, "*", "?", |c, glob| {
        if matches!(c, '*' | '?' | '[') {
            glob.extend(['[', c, ']']);
        } else {
            glob.push(c);
        }
    })
}

/// The pattern of ILIKE for PostgreSQL's `~`, with which it minds case, and in which a dot is a line break, too.
pub fn as_regex(pattern: &str) -> String {
    let regex = spelled(pattern, ".*", ".", |c, regex| {
        if c.is_ascii_punctuation() {
            regex.push('\\');
        }
        regex.push(c);
    });
    format!("^{regex}$")
}

fn spelled(pattern: &str, any: &str, one: &str, exactly: impl Fn(char, &mut String)) -> String {
    let mut text = String::with_capacity(pattern.len() * 4);
    for c in pattern.chars() {
        match (c, cases(c).as_slice()) {
            ('%', _) => text.push_str(any),
            ('_', _) => text.push_str(one),
            (_, [] | [_]) => exactly(c, &mut text),
            // Only letters have several cases, and none of them is a sign of sets.
            (_, several) => {
                text.push('[');
                text.extend(several);
                text.push(']');
            }
        }
    }
    text
}

/// A character in each of its cases, itself included.
fn cases(c: char) -> Vec<char> {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    // It errors without the tables, which are compiled in; then a character is itself alone.
    let _ = class.try_case_fold_simple();
    class.iter().flat_map(|range| range.start()..=range.end()).collect()
}

/// A pattern for names in the form in which they are compared: what stands between its wildcards in that form. A percent
/// sign that only comes out of it (of a wide one) stands for one character, so that nobody gets more wildcards than allowed.
pub fn canonical(pattern: &str) -> String {
    let wildcard = |c: char| matches!(c, '%' | '_');
    let part = |part: &str| {
        let end = part.trim_end_matches(wildcard).len();
        canonical_name(&part[..end]).replace('%', "_") + &part[end..]
    };
    pattern.split_inclusive(wildcard).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn like(text: &str, pattern: &str) -> bool {
        LikePattern::new(pattern).matches(text, false)
    }

    /// The definition, in exponential time; `\` escapes when SQL says so.
    fn naive(pattern: &[char], text: &[char], escapes: bool) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['%', rest @ ..], _) => (0..=text.len()).any(|skipped| naive(rest, &text[skipped..], escapes)),
            (['_', rest @ ..], [_, ahead @ ..]) => naive(rest, ahead, escapes),
            (['\\', own, rest @ ..], [c, ahead @ ..]) if escapes => own == c && naive(rest, ahead, escapes),
            ([own, rest @ ..], [c, ahead @ ..]) => own == c && naive(rest, ahead, escapes),
            _ => false,
        }
    }

    #[test]
    fn wildcards_stand_for_characters_and_backslashes_for_themselves() {
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "a_c"),
            ("é", "_"),
            ("a\nb", "a%b"),
            (r"50\%", r"50\_"),
            (r"C:\x", r"C:\x"),
            ("mississippi", "%iss%ppi"),
            ("abab", "%ab"),
        ] {
            assert!(like(text, pattern), "{text:?} LIKE {pattern:?}");
        }
        for (text, pattern) in [("", "_"), ("abc", "ab"), ("abc", "bc"), ("abc", "A%"), ("50%", r"50\%"), ("ab", "%ab_")] {
            assert!(!like(text, pattern), "{text:?} NOT LIKE {pattern:?}");
        }
    }

    #[test]
    fn case_counts_unless_told() {
        let pattern = LikePattern::new("Ab%É");
        assert!(pattern.matches("aBcÉ", true) && !pattern.matches("aBcÉ", false) && pattern.matches("abcé", true));
        for (one, other) in [("straße", "STRAẞE"), ("ΣΑΣ", "σας"), ("МОДЕЛЬ", "модель"), ("ＡＢ", "ａｂ"), ("\u{212A}", "k"), ("ǅ", "ǆ")]
        {
            assert!(LikePattern::new(one).matches(other, true) && LikePattern::new(other).matches(one, true), "{one} {other}");
        }
        // Simple folding keeps the number of letters, and knows no language.
        assert!(!LikePattern::new("strasse").matches("straße", true) && !LikePattern::new("ı").matches("I", true));
    }

    #[test]
    fn a_pattern_is_spelled_out_for_each_database() {
        assert_eq!(as_glob("a_É%*[?1"), "[Aa]?[Éé]*[*][[][?]1");
        assert_eq!(as_regex("a_É%.$\\"), "^[Aa].[Éé].*\\.\\$\\\\$");
    }

    #[test]
    fn names_are_compared_in_one_form_between_wildcards() {
        assert_eq!(canonical("e\u{301}%n\u{303}_ﬁ"), "é%ñ_fi");
        assert_eq!(canonical("100％"), "100_");
    }

    #[test]
    fn many_wildcards_take_no_exponential_time() {
        let pattern = LikePattern::new(&format!("{}b", "%a".repeat(1_000)));
        assert!(!pattern.matches(&"a".repeat(4_000), false));
        let pattern = LikePattern::new(&format!("%{}b", "a".repeat(500)));
        assert!(!pattern.matches(&"a".repeat(4_000), true));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in r"[aA%_\\é]{0,8}", text in r"[aA%_\\é]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&chars(&pattern), &chars(&text), false);
            prop_assert_eq!(like(&text, &pattern), expected);
            prop_assert_eq!(naive(&chars(&escape_for_sql(&pattern)), &chars(&text), true), expected);
            let lower = naive(&chars(&pattern.to_lowercase()), &chars(&text.to_lowercase()), false);
            prop_assert_eq!(LikePattern::new(&pattern).matches(&text, true), lower);
        }
    }
}
