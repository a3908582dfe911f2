//! Validation of a tree against a shape: unknown, duplicate and missing keys, types and ranges. It collects all errors, so that
//! a file can be corrected in one pass. Combinations of settings are checked in `cross_checks`.

use townlet_text::nearest;

use super::error::ConfigError;
use super::reference::rows_of;
use super::schema::{Constraint, Field, Shape, TextFormat, ValueKind, ValueRange, free};
use super::yaml_tree::{Entry, Node, Place, Value};

/// A running validation.
struct Check<'a> {
    /// The whole shape, for suggesting a setting of another section.
    root: &'a Shape,
    /// Whether every setting is required; false for an overlay.
    complete: bool,
    /// The errors so far.
    errors: Vec<ConfigError>,
}

/// All errors of a tree.
pub(crate) fn validate(node: &Node, shape: &Shape, complete: bool) -> Vec<ConfigError> {
    let mut check = Check { root: shape, complete, errors: Vec::new() };
    check.node(node, shape, free(), "", None);
    check.errors
}

/// The constraint of a field in a section: its own, or that of the section when it has none.
pub(crate) fn inner(field: &Field, outer: Constraint) -> Constraint {
    let mut constraint = if field.constraint.limit == ValueRange::Free { outer } else { field.constraint };
    constraint.hot |= field.constraint.hot || outer.hot;
    constraint.term = field.constraint.term;
    constraint
}

/// `path.name`, or `name` at the top.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Check<'_> {
    fn node(&mut self, node: &Node, shape: &Shape, constraint: Constraint, path: &str, key: Option<&Place>) {
        match (shape, &node.value) {
            (Shape::Leaf(kind), _) => self.leaf(node, kind, constraint, path, key),
            (Shape::Section(fields), Value::Map(entries)) => self.section(entries, fields, constraint, path, key),
            (Shape::Map(item), Value::Map(entries)) => self.map(entries, item, constraint, path),
            (Shape::List(item), Value::List(items)) => {
                for (index, node) in items.iter().enumerate() {
                    self.node(node, item, constraint, &join(path, &index.to_string()), node.place.as_ref());
                }
            }
            (Shape::Optional(_), Value::Null) => {}
            (Shape::Optional(inner), _) => self.node(node, inner, constraint, path, key),
            (_, found) => {
                let what = if path.is_empty() { "the file" } else { path };
                let expected = if matches!(shape, Shape::List(_)) { "a list" } else { "a section of settings" };
                let problem = format!("{what} must be {expected}, found {}", found_words(found));
                let help = ["give settings under it, or leave it out".to_owned()];
                self.refuse(node.place.as_ref().or(key), path, problem, &help);
            }
        }
    }

    fn refuse(&mut self, place: Option<&Place>, key: &str, problem: String, help: &[String]) {
        let Some(place) = place else { return };
        let error = ConfigError::at(place, key, problem);
        self.errors.push(help.iter().fold(error, ConfigError::help));
    }

    fn section(
        &mut self,
        entries: &[Entry],
        fields: &[Field],
        constraint: Constraint,
        path: &str,
        key: Option<&Place>,
    ) {
        for (index, entry) in entries.iter().enumerate() {
            let full = join(path, &entry.name);
            if self.duplicate(&entries[..index], entry, &full) {
                continue;
            }
            match fields.iter().find(|field| field.name == entry.name) {
                Some(field) => {
                    self.node(&entry.node, &field.shape, inner(field, constraint), &full, entry.place.as_ref());
                }
                None => self.unknown(entry, fields, path),
            }
        }
        let expected = if self.complete { fields } else { &[] };
        for field in expected {
            if !field.shape.is_optional() && !entries.iter().any(|entry| entry.name == field.name) {
                let help = allowed_of(&field.shape, inner(field, constraint));
                let problem = format!("{} is missing", join(path, field.name));
                self.refuse(key.or(entries.first().and_then(|entry| entry.place.as_ref())), path, problem, &help);
            }
        }
    }

    fn map(&mut self, entries: &[Entry], item: &Shape, constraint: Constraint, path: &str) {
        for (index, entry) in entries.iter().enumerate() {
            let full = join(path, &entry.name);
            if self.duplicate(&entries[..index], entry, &full) {
                continue;
            }
            if letters_fit(&entry.name, TextFormat::Name) {
                self.node(&entry.node, item, constraint, &full, entry.place.as_ref());
            } else {
                let help = [format!("allowed: {}", letters_words(TextFormat::Name))];
                self.refuse(entry.place.as_ref(), &full, format!("{full} is not a name"), &help);
            }
        }
    }

    fn duplicate(&mut self, before: &[Entry], entry: &Entry, full: &str) -> bool {
        let Some(first) = before.iter().find(|earlier| earlier.name == entry.name) else { return false };
        let help: Vec<String> = first.place.iter().map(|place| format!("first given on line {}", place.line)).collect();
        self.refuse(entry.place.as_ref(), full, format!("{full} is given twice"), &help);
        true
    }

    fn unknown(&mut self, entry: &Entry, fields: &[Field], path: &str) {
        let full = join(path, &entry.name);
        let mut help = Vec::new();
        if let Some((_, now)) = REMOVED_SETTINGS.iter().find(|(key, _)| *key == full) {
            help.push((*now).to_owned());
        } else if let Some(name) = nearest(&entry.name, fields.iter().map(|field| field.name)) {
            help.push(format!("did you mean `{name}`?"));
            if let Some(field) = fields.iter().find(|field| field.name == name) {
                help.extend(allowed_of(&field.shape, field.constraint));
            }
        } else if let Some(elsewhere) = rows_of(self.root).iter().find(|row| row.last() == entry.name) {
            help.push(format!("did you mean `{}`?", elsewhere.key));
        } else {
            let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
            help.push(format!("settings here: {}", names.join(", ")));
        }
        self.refuse(entry.place.as_ref(), &full, format!("{full} is not a setting"), &help);
    }

    fn leaf(&mut self, node: &Node, kind: &ValueKind, constraint: Constraint, path: &str, key: Option<&Place>) {
        let Err(problem) = fits(&node.value, kind, constraint) else { return };
        let mut help = Vec::new();
        if let (ValueKind::Choice(words), Some(word)) = (kind, node.value.word())
            && let Some(near) = nearest(word, words.iter().copied())
        {
            help.push(format!("did you mean `{near}`?"));
        }
        help.push(format!("allowed: {}", allowed(kind, constraint)));
        self.refuse(node.place.as_ref().or(key), path, format!("{path} {problem}"), &help);
    }
}

/// Sections and settings of earlier versions, with what to do about them. `config check` says it instead of guessing a name.
const REMOVED_SETTINGS: &[(&str, &str)] =
    &[("features.training", "`features.training.curiosity` was removed, because it had no effect; delete the section")];

/// Checks a value. The error continues a sentence that begins with the key.
fn fits(value: &Value, kind: &ValueKind, constraint: Constraint) -> Result<(), String> {
    let wrong = || Err(format!("must be {}, found {}", kind_words(kind), found_words(value)));
    match (kind, value) {
        (ValueKind::Optional(_), Value::Null) | (ValueKind::Switch, Value::Bool(_)) => Ok(()),
        (ValueKind::Optional(inner), value) => fits(value, inner, constraint),
        (ValueKind::Switch, Value::Text(word))
            if word.eq_ignore_ascii_case("on") || word.eq_ignore_ascii_case("off") =>
        {
            Ok(())
        }
        (ValueKind::Whole, Value::Whole(number)) => match constraint.limit {
            ValueRange::Whole(low, high) if !(i128::from(low)..=i128::from(high)).contains(number) => {
                Err(format!("is {number}, out of range"))
            }
            _ => Ok(()),
        },
        (ValueKind::Decimal, Value::Whole(_) | Value::Decimal(_)) => {
            let number = value.decimal();
            match constraint.limit {
                _ if number.is_some() && value.too_fine() => Err("has more than six decimal places".to_owned()),
                _ if number.is_none() => Err(format!("is {value}, out of range")),
                ValueRange::Decimal(low, high) if number.is_some_and(|number| number < low || number > high) => {
                    Err(format!("is {value}, out of range"))
                }
                _ => Ok(()),
            }
        }
        (ValueKind::Text, Value::Text(_) | Value::Whole(_)) => {
            let text = if let Value::Text(text) = value { text.clone() } else { value.to_string() };
            match constraint.limit {
                ValueRange::Text(letters) if !letters_fit(&text, letters) => {
                    Err(format!("is {value}, which is not allowed"))
                }
                _ => Ok(()),
            }
        }
        (ValueKind::Choice(words), value) => match value.word() {
            Some(word) if words.iter().any(|allowed| allowed.eq_ignore_ascii_case(word)) => Ok(()),
            Some(word) => Err(format!("is {}, which is none of its words", Value::Text(word.to_owned()))),
            None => wrong(),
        },
        (ValueKind::Pair(inner), Value::List(items)) if items.len() == 2 => {
            items.iter().try_for_each(|item| fits(&item.value, inner, constraint))?;
            let (low, high) = (items[0].value.decimal(), items[1].value.decimal());
            if constraint.ordered && low > high {
                Err(format!("is {value}: the lower end comes first"))
            } else {
                Ok(())
            }
        }
        (ValueKind::List(inner), Value::List(items)) => {
            items.iter().try_for_each(|item| fits(&item.value, inner, constraint))
        }
        _ => wrong(),
    }
}

fn letters_fit(text: &str, letters: TextFormat) -> bool {
    let length = text.chars().count();
    let printable = |character: char| !character.is_control() && character != '\u{feff}';
    match letters {
        TextFormat::Name => {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            (1..=40).contains(&length) && text.chars().all(plain)
        }
        TextFormat::Label => (1..=40).contains(&length) && text.chars().all(printable) && !text.trim().is_empty(),
        TextFormat::Path => (1..=200).contains(&length) && text.chars().all(printable) && !text.trim().is_empty(),
    }
}

fn letters_words(letters: TextFormat) -> &'static str {
    match letters {
        TextFormat::Name => "1 to 40 of a-z, 0-9, _ and -",
        TextFormat::Label => "1 to 40 printable characters",
        TextFormat::Path => "a path of 1 to 200 printable characters",
    }
}

fn kind_words(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Switch => "on or off".to_owned(),
        ValueKind::Whole => "a whole number".to_owned(),
        ValueKind::Decimal => "a number".to_owned(),
        ValueKind::Text => "text".to_owned(),
        ValueKind::Choice(words) => format!("one of {}", words.join(", ")),
        ValueKind::Pair(inner) => format!("a pair [a, b], each {}", kind_words(inner)),
        ValueKind::List(inner) => format!("a list, each {}", kind_words(inner)),
        ValueKind::Optional(inner) => format!("{} or null", kind_words(inner)),
    }
}

fn found_words(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Whole(_) | Value::Decimal(_) => value.to_string(),
        Value::Text(text) if text.chars().count() <= 40 => format!("the text {value}"),
        Value::Text(_) => "a long text".to_owned(),
        Value::List(items) => format!("a list of {}", items.len()),
        Value::Map(_) => "a section".to_owned(),
    }
}

/// The allowed values in words, such as `a whole number from 0 to 1000 ticks`.
pub(crate) fn allowed(kind: &ValueKind, constraint: Constraint) -> String {
    if let ValueKind::Optional(inner) = kind {
        return format!("{} or null", allowed(inner, constraint));
    }
    let range = |low: String, high: String| format!("{} from {low} to {high}", kind_words(kind));
    let words = match constraint.limit {
        ValueRange::Free => kind_words(kind),
        ValueRange::Whole(low, high) => range(low.to_string(), high.to_string()),
        ValueRange::Decimal(low, high) => range(low.to_string(), high.to_string()),
        ValueRange::Text(letters) if *kind == ValueKind::Text => letters_words(letters).to_owned(),
        ValueRange::Text(letters) => format!("{} of {}", kind_words(kind), letters_words(letters)),
    };
    if constraint.unit.is_empty() { words } else { format!("{words} {}", constraint.unit) }
}

fn allowed_of(shape: &Shape, constraint: Constraint) -> Vec<String> {
    match shape {
        Shape::Leaf(kind) => vec![format!("allowed: {}", allowed(kind, constraint))],
        _ => Vec::new(),
    }
}
