//! Sets one value in a YAML text and leaves everything else as it is: other keys, their order, comments and blanks.

use townlet_town::config::{Node, Place, Value, parse_yaml};

/// The text with the value of a key set, where `path` are the names of the maps around it and its own. A key that is missing
/// is added at the end of the text or at the start of its map. The error says what cannot be edited.
pub(super) fn set(text: &str, path: &[&str], value: &str) -> Result<String, String> {
    let root = parse(text)?;
    let edited = match find(&root, path) {
        (node, []) => replaced(text, node, value)?,
        (node, missing) => inserted(text, node, path.len() > missing.len(), &line(missing, value))?,
    };
    let after = parse(&edited)?;
    let unchanged = root.entries().unwrap_or_default().iter().filter(|entry| entry.name != path[0]);
    let kept = unchanged.into_iter().all(|entry| after.get(&entry.name).value == entry.node.value);
    let (found, missing) = find(&after, path);
    if kept && missing.is_empty() && found.value == parse(value)?.value { Ok(edited) } else { Err(cannot()) }
}

fn cannot() -> String {
    "its place in the file cannot be edited; edit the file by hand.".to_owned()
}

fn parse(text: &str) -> Result<Node, String> {
    parse_yaml("config.yaml", text).map_err(|error| error.to_string())
}

/// The value of as many names of a path as there are, and the names that are missing.
fn find<'a, 'b>(root: &'a Node, path: &'b [&'b str]) -> (&'a Node, &'b [&'b str]) {
    let (mut node, mut rest) = (root, path);
    while let [name, others @ ..] = rest
        && let Some(entry) = node.entries().and_then(|entries| entries.iter().find(|entry| entry.name == *name))
    {
        (node, rest) = (&entry.node, others);
    }
    (node, rest)
}

/// `console: { reason: ask }`.
fn line(names: &[&str], value: &str) -> String {
    match names {
        [name, rest @ ..] if !rest.is_empty() => format!("{name}: {{ {} }}", line(rest, value)),
        [name, ..] => format!("{name}: {value}"),
        [] => value.to_owned(),
    }
}

/// The byte at which a place begins, and the bytes before it in its line.
fn start(text: &str, place: &Place) -> Option<(usize, usize)> {
    let line: usize = text.split_inclusive('\n').take(place.line.checked_sub(1)?).map(str::len).sum();
    let inside = text.get(line..)?.chars().take(place.column.checked_sub(1)?).map(char::len_utf8).sum::<usize>();
    Some((line + inside, inside))
}

fn replaced(text: &str, node: &Node, value: &str) -> Result<String, String> {
    if matches!(node.value, Value::Map(_) | Value::List(_) | Value::Null) {
        return Err(cannot());
    }
    let place = node.place.as_ref().ok_or_else(cannot)?;
    let (at, _) = start(text, place).ok_or_else(cannot)?;
    let end = at + text[at..].chars().take(place.length).map(char::len_utf8).sum::<usize>();
    Ok(format!("{}{value}{}", &text[..at], &text[end..]))
}

/// `inner`: whether the map is the value of a key, so that the end of the text is not its end.
fn inserted(text: &str, map: &Node, inner: bool, entry: &str) -> Result<String, String> {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    match (&map.value, &map.place) {
        (Value::Null, _) if !inner => Ok(format!("{text}{end}{entry}\n")),
        (Value::Map(entries), Some(place)) => {
            let (at, _) = start(text, place).ok_or_else(cannot)?;
            if text[at..].starts_with('{') {
                let comma = if entries.is_empty() { " " } else { "," };
                return Ok(format!("{} {entry}{comma}{}", &text[..=at], &text[at + 1..]));
            }
            if !inner {
                return Ok(format!("{text}{end}{entry}\n"));
            }
            let first = entries.first().and_then(|entry| entry.place.as_ref()).ok_or_else(cannot)?;
            let (at, inside) = start(text, first).ok_or_else(cannot)?;
            let indent = &text[at - inside..at];
            Ok(format!("{}{entry}\n{indent}{}", &text[..at], &text[at..]))
        }
        _ => Err(cannot()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_replaced_where_it_stands() {
        for (before, after) in [
            ("theme: dark\n", "theme: light\n"),
            ("theme:   \"dark\"   # night\nmouse: on", "theme:   light   # night\nmouse: on"),
            ("{ theme: dark, mouse: on }\n", "{ theme: light, mouse: on }\n"),
            ("# Zoë\ntheme: 'dark'\n", "# Zoë\ntheme: light\n"),
        ] {
            assert_eq!(set(before, &["theme"], "light").as_deref(), Ok(after));
        }
        assert_eq!(
            set("notify: { from: warning, bell: on } # x\n", &["notify", "from"], "off").as_deref(),
            Ok("notify: { from: off, bell: on } # x\n")
        );
    }

    #[test]
    fn a_missing_key_is_added_to_its_map() {
        for (before, after) in [
            ("", "console: { reason: ask }\n"),
            ("# only a comment", "# only a comment\nconsole: { reason: ask }\n"),
            ("theme: dark", "theme: dark\nconsole: { reason: ask }\n"),
            ("{ theme: dark }\n", "{ console: { reason: ask }, theme: dark }\n"),
            ("{}\n", "{ console: { reason: ask } }\n"),
            ("console: {}\n", "console: { reason: ask }\n"),
            ("console:\n  # note\n  other: 1\nx: 2\n", "console:\n  # note\n  reason: ask\n  other: 1\nx: 2\n"),
            ("console: { other: 1 }\n", "console: { reason: ask, other: 1 }\n"),
        ] {
            assert_eq!(set(before, &["console", "reason"], "ask").as_deref(), Ok(after));
        }
    }

    #[test]
    fn what_cannot_be_edited_is_refused() {
        for text in
            ["console: 3\n", "console:\n", "- a\n", "console: { reason: [1] }\n", "a: &b { reason: x }\nconsole: *b\n"]
        {
            let edited = set(text, &["console", "reason"], "ask");
            assert!(edited.is_err(), "{text}: {edited:?}");
        }
    }
}
