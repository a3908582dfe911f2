//! Rules of text: how misspelt names are guessed (commands, settings, residents, files), how numbers of things are written, and
//! bytes as text.

mod hex;

pub use hex::hex;

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

/// `4,310`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 resident`, `3 residents`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_things_have_commas_and_plurals() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([count(1, "town"), count(0, "town"), count(2_000, "day")], ["1 town", "0 towns", "2,000 days"]);
    }

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
