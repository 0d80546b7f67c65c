//! What LIKE and ILIKE mean: `%` stands for any characters, `_` for exactly one (a Unicode scalar
//! value), all else for itself, the backslash included; nothing escapes. ILIKE disregards the case of
//! ASCII letters alone: what both databases can be held to, whatever their locale.
//!
//! The databases do the matching; this is what they are tested against.

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
            Part::Exactly(own) => own == c || case_insensitive && own.eq_ignore_ascii_case(&c),
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
    fn case_counts_unless_told_and_only_of_ascii_letters() {
        let pattern = LikePattern::new("Ab%É");
        assert!(pattern.matches("aBcÉ", true) && !pattern.matches("aBcÉ", false) && !pattern.matches("abcé", true));
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
            let lower = naive(&chars(&pattern.to_ascii_lowercase()), &chars(&text.to_ascii_lowercase()), false);
            prop_assert_eq!(LikePattern::new(&pattern).matches(&text, true), lower);
        }
    }
}
