//! Patterns of names: `*` stands for any characters, everything else for itself. Names are the same when
//! their NFKC forms are, so these are what is matched: a full-width twin slips past no rule.

use std::borrow::Cow;

use super::text::canonical_name;

/// Whether the whole of `name` matches. Takes time in proportion to the product of both lengths.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (compared(pattern), compared(name));
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// Whether a name could match both patterns. What stands between two stars can always follow one another,
/// so only the fixed ends can be at odds.
pub fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (compared(one), compared(other));
    let (Some((start, _)), Some((other_start, _))) = (one.split_once('*'), other.split_once('*')) else {
        return matches(&one, &other) || matches(&other, &one);
    };
    let end = one.rsplit('*').next().unwrap_or_default();
    let other_end = other.rsplit('*').next().unwrap_or_default();
    (start.starts_with(other_start) || other_start.starts_with(start)) && (end.ends_with(other_end) || other_end.ends_with(end))
}

/// The pattern in the language of SQL's LIKE with `\` as escape, to be compared with names in NFKC form.
pub fn to_like(pattern: &str) -> String {
    let mut like = String::with_capacity(pattern.len() + 8);
    for c in compared(pattern).chars() {
        match c {
            '*' => like.push('%'),
            '%' | '_' | '\\' => {
                like.push('\\');
                like.push(c);
            }
            _ => like.push(c),
        }
    }
    like
}

/// The checks of access run through here, nearly always on ASCII.
fn compared(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(canonical_name(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, as slow as it is plain.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|skip| by_definition(rest, &name[skip..])),
            Some((c, rest)) => name.first() == Some(c) && by_definition(rest, &name[1..]),
        }
    }

    #[test]
    fn twins_under_nfkc_match_alike() {
        assert!(matches("fraud-*", "ｆｒａｕｄ-eu") && matches("ｆraud-*", "fraud-eu"));
        assert!(matches("mod\u{e8}le*", "mode\u{300}le-1"));
        assert!(!matches("fraud-*", "Fraud-eu"));
    }

    #[test]
    fn sql_sees_nothing_but_stars_as_wildcards() {
        assert_eq!(to_like("a_b%c\\d*"), "a\\_b\\%c\\\\d%");
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&format!("{}c", "a*".repeat(127)), &format!("{}b", "a".repeat(100_000))));
    }

    #[test]
    fn patterns_overlap_when_their_ends_agree() {
        assert!(overlap("fraud-*", "*-eu") && overlap("a*b*c", "ab*dc") && overlap("fraud-1", "fraud-*") && overlap("*", "x"));
        assert!(!overlap("fraud-*", "churn-*") && !overlap("*-eu", "*-us") && !overlap("a", "b"));
    }

    proptest! {
        #[test]
        fn overlapping_patterns_include_every_common_name(one in "[ab*]{0,6}", other in "[ab*]{0,6}", name in "[ab]{0,8}") {
            prop_assert!(!(matches(&one, &name) && matches(&other, &name)) || overlap(&one, &other));
        }

        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,7}", name in "[ab]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &name), by_definition(&chars(&pattern), &chars(&name)));
        }
    }
}
