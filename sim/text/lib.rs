//! Suggestions for misspelt names: the one rule by which commands, settings, residents and files are guessed.

/// The name with the smallest edit distance to `typed`, whatever the case, when at most a third of it is wrong.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let letters = typed.chars().count();
    let near = (letters / 3).max(1);
    names
        .map(|name| (name.to_lowercase(), name))
        // A difference in length is a distance, so that text of any length costs no more than a name.
        .filter(|(lower, _)| lower.chars().count().abs_diff(letters) <= near)
        .map(|(lower, name)| (strsim::damerau_levenshtein(&typed, &lower), name))
        .min()
        .filter(|(distance, _)| *distance <= near)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_letters_may_be_wrong() {
        let names = || ["employment", "economy", "seed"].into_iter();
        for (typed, expected) in [
            ("Employmnet", Some("employment")),
            ("empoy_ment", Some("employment")),
            ("eco", None),
            ("sed", Some("seed")),
            ("saed", Some("seed")),
            ("sade", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names()), expected, "{typed}");
        }
    }
}
