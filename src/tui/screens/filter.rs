//! Filter syntax of the lists: words that must all match, each in any field or, as `field:word`, in one field.

/// What the message about a filter without a match adds: that a word names a field which does not exist, or `advice`.
pub(super) fn advice(typed: &str, fields: &[&str], advice: &str) -> String {
    let named = typed.split_whitespace().filter_map(|word| Some(word.split_once(':')?.0));
    let is_word = |field: &str| !field.is_empty() && field.chars().all(char::is_alphabetic);
    match named.filter(|field| is_word(field)).find(|field| !fields.contains(field)) {
        Some(field) => format!("`{field}` is not a field. Fields: {}.", fields.join(", ")),
        None => advice.to_owned(),
    }
}

/// Whether every word of `typed` occurs in a field. A word with a colon is an ordinary word unless the part before it is the
/// name of a field, so that `12:30` can be searched for.
pub(super) fn passes(typed: &str, fields: &[(&str, &str)]) -> bool {
    typed.to_lowercase().split_whitespace().all(|word| {
        let named = word.split_once(':').filter(|(field, _)| fields.iter().any(|(name, _)| name == field));
        let (field, word) = named.map_or((None, word), |(field, word)| (Some(field), word));
        fields.iter().any(|(name, text)| field.is_none_or(|field| field == *name) && text.to_lowercase().contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_named_with_the_known_ones() {
        let advice = |typed: &str| advice(typed, &["name", "job"], "Press esc.");
        assert_eq!(advice("ada foo:clerk"), "`foo` is not a field. Fields: name, job.");
        for typed in ["ada", "job:clerk", "12:30", ":x"] {
            assert_eq!(advice(typed), "Press esc.", "{typed}");
        }
    }

    #[test]
    fn every_word_must_occur_and_a_field_narrows_it() {
        let fields = [("issuer", "tui:Mara"), ("status", "rejected")];
        let passes = |typed: &str| passes(typed, &fields);
        assert!(passes("") && passes("mara") && passes("MARA reject") && passes("status:rejected issuer:tui"));
        assert!(!passes("status:mara") && !passes("mara ok"));
        assert!(passes("tui:mara"), "a colon without a field's name is an ordinary character");
    }
}
