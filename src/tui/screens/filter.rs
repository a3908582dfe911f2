//! Filter syntax of the lists: words that must all match, each in any field or, as `field:word`, in one field.

/// The words of a filter, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    terms: Vec<(Option<String>, String)>,
}

impl Filter {
    /// Parses a filter. A word with a colon is an ordinary word unless the part before it is one of `fields`, so that
    /// `12:30` can be searched for.
    pub(super) fn new(typed: &str, fields: &[&str]) -> Self {
        let lower = typed.to_lowercase();
        let term = |word: &str| match word.split_once(':') {
            Some((field, value)) if fields.contains(&field) => (Some(field.to_owned()), value.to_owned()),
            _ => (None, word.to_owned()),
        };
        Self { terms: lower.split_whitespace().map(term).collect() }
    }

    /// Whether every word matches.
    pub(super) fn passes(&self, fields: &[(&str, &str)]) -> bool {
        self.terms.iter().all(|(field, word)| {
            fields.iter().any(|(name, text)| {
                field.as_ref().is_none_or(|field| field == name) && text.to_lowercase().contains(word)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_occur_and_a_field_narrows_it() {
        let fields = [("issuer", "tui:Mara"), ("status", "rejected")];
        let passes = |typed: &str| Filter::new(typed, &["issuer", "status"]).passes(&fields);
        assert!(passes("") && passes("mara") && passes("MARA reject") && passes("status:rejected issuer:tui"));
        assert!(!passes("status:mara") && !passes("mara ok"));
        assert!(passes("tui:mara"), "a colon without a field's name is an ordinary character");
    }
}
