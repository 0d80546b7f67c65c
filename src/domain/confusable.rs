//! Names that look like one another: by the skeletons of UTS 39, in which letters of all scripts that are drawn alike are one
//! (crate `unicode-security`). Two names of ASCII letters alone are never taken for one another here: `modem` and `modern`
//! have one skeleton, and everybody who writes names in ASCII has such pairs.

use super::text::canonical_name;

/// What a name looks like. What is drawn as nothing does not count.
pub fn skeleton(name: &str) -> String {
    unicode_security::skeleton(&canonical_name(name)).collect()
}

/// Whether one name can be taken for another. The same name, in whatever form, is not another.
pub fn confusable(one: &str, other: &str) -> bool {
    let both_plain = one.is_ascii() && other.is_ascii();
    !both_plain && canonical_name(one) != canonical_name(other) && skeleton(one) == skeleton(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_known_and_plain_names_are_not_among_them() {
        for (one, other) in [
            ("fraud", "fr\u{430}ud"),
            ("champion", "сhampion"),
            ("cop", "сор"),
            ("paypal", "p\u{430}yp\u{430}l"),
            ("αlpha", "alpha"),
            ("fraud", "fraud\u{fe0f}"),
            ("⚙️ tuning", "⚙ tuning"),
            ("خانه\u{200c}ها", "خانهها"),
            ("model-l", "model-\u{4cf}"),
            ("ɑ", "a"),
        ] {
            assert!(confusable(one, other) && confusable(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("modem", "modern"),
            ("churn", "chum"),
            ("model-1", "model-l"),
            ("v0", "vO"),
            ("fraud", "fraud"),
            ("ﬁt", "fit"),
            ("é", "e\u{301}"),
            ("модель bert", "model bert"),
            ("模型-v2", "模型-v3"),
            ("β-VAE", "VAE"),
            ("größe", "grosse"),
        ] {
            assert!(!confusable(one, other) && !confusable(other, one), "{one} {other}");
        }
    }
}
