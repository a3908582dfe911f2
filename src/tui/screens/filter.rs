//! Filter syntax of the lists: words that must all match, each in any field or, as `field:word`, in one field.

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
    fn every_word_must_occur_and_a_field_narrows_it() {
        let fields = [("issuer", "tui:Mara"), ("status", "rejected")];
        let passes = |typed: &str| passes(typed, &fields);
        assert!(passes("") && passes("mara") && passes("MARA reject") && passes("status:rejected issuer:tui"));
        assert!(!passes("status:mara") && !passes("mara ok"));
        assert!(passes("tui:mara"), "a colon without a field's name is an ordinary character");
    }
}
