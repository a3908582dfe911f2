//! The command line's grammar: words, quotes, `--name value`, and typed arguments against a command's row.
//!
//! One parser for the console line, scripts, REST and completion. Knows rows, not what they do.

use std::collections::BTreeMap;

use super::command::{ArgKind, ArgSpec, CommandSpec, ErrorBody};

/// Longest line accepted, in bytes.
pub const MAX_LINE: usize = 1_024;
/// Longest free text accepted, in characters.
pub const MAX_TEXT: usize = 200;

/// A line that fits a row: arguments by name, normalised, defaults left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<'a> {
    /// The row it fits.
    pub spec: &'a CommandSpec,
    /// Argument name → normalised text.
    pub args: BTreeMap<String, String>,
}

impl Parsed<'_> {
    /// The line again in its one normal form, by which retries are recognised as equal.
    pub fn normalised(&self) -> String {
        let mut line = self.spec.name.clone();
        for arg in &self.spec.args {
            if let Some(value) = self.args.get(&arg.name) {
                let parts = |character: char| character.is_whitespace() || character == '"';
                let quoted = if value.is_empty() || value.contains(parts) {
                    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
                } else {
                    value.clone()
                };
                let word = if arg.flag { format!(" --{} {quoted}", arg.name) } else { format!(" {quoted}") };
                line.push_str(&word);
            }
        }
        line
    }
}

fn refuse(code: &str, message: String, hint: String) -> ErrorBody {
    ErrorBody { code: code.to_owned(), message, hint }
}

/// Splits at blanks; double quotes keep blanks, a backslash inside them keeps the next character.
pub fn words(line: &str) -> Result<Vec<String>, ErrorBody> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(characters.next()),
            blank if blank.is_whitespace() && !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if quoted {
        return Err(refuse("E_INVALID_ARG", "a quote is not closed.".into(), "End the text with \".".into()));
    }
    words.extend(word);
    Ok(words)
}

/// The row whose name starts the words, and how many words the name takes. Longer names win.
pub fn find<'a>(specs: &'a [CommandSpec], words: &[String]) -> Option<(&'a CommandSpec, usize)> {
    specs
        .iter()
        .filter_map(|spec| {
            let name: Vec<&str> = spec.name.split(' ').collect();
            let fits = words.len() >= name.len() && name.iter().zip(words).all(|(a, b)| *a == b);
            fits.then_some((spec, name.len()))
        })
        .max_by_key(|(_, length)| *length)
}

/// The nearest of `names` to what was typed, when it is near enough to be meant: a third of it may be wrong, whatever the
/// case. The same rule as for settings, whose room this one does not know.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let near = (typed.chars().count() / 3).max(1);
    names
        .map(|name| (strsim::damerau_levenshtein(&typed, &name.to_lowercase()), name))
        .min()
        .filter(|(distance, _)| *distance <= near)
        .map(|(_, name)| name)
}

/// Reads a line against the table.
///
/// # Errors
/// `E_TOO_LARGE`, `E_UNKNOWN_COMMAND` or `E_INVALID_ARG`, each with what would be right.
pub fn parse<'a>(specs: &'a [CommandSpec], line: &str) -> Result<Parsed<'a>, ErrorBody> {
    if line.len() > MAX_LINE {
        let message = format!("the command has {} bytes; at most {MAX_LINE} are read.", line.len());
        return Err(refuse("E_TOO_LARGE", message, "Shorten the reason.".into()));
    }
    let words = words(line)?;
    let Some((spec, taken)) = find(specs, &words) else {
        return Err(unknown(specs, &words));
    };
    let mut args = BTreeMap::new();
    let mut places = spec.args.iter().filter(|arg| !arg.flag);
    let mut rest = words[taken..].iter();
    while let Some(word) = rest.next() {
        let (arg, value) = if let Some(name) = word.strip_prefix("--") {
            let arg = spec.args.iter().find(|arg| arg.flag && arg.name == name);
            (arg, rest.next().cloned().unwrap_or_default())
        } else {
            (places.next(), word.clone())
        };
        let Some(arg) = arg else {
            let message = format!("`{word}` is not an argument of `{}`.", spec.name);
            return Err(refuse("E_INVALID_ARG", message, format!("Usage: {}", spec.usage())));
        };
        let value = normalise(arg, &value).map_err(|why| {
            refuse("E_INVALID_ARG", format!("<{}> {why}.", arg.name), format!("Usage: {}", spec.usage()))
        })?;
        args.insert(arg.name.clone(), value);
    }
    if let Some(missing) = spec.args.iter().find(|arg| arg.required && !args.contains_key(&arg.name)) {
        let message = format!("<{}> is missing.", missing.name);
        return Err(refuse("E_INVALID_ARG", message, format!("Usage: {}", spec.usage())));
    }
    Ok(Parsed { spec, args })
}

fn unknown(specs: &[CommandSpec], words: &[String]) -> ErrorBody {
    let Some(first) = words.first() else {
        return refuse("E_UNKNOWN_COMMAND", "the command is empty.".into(), "`help` lists them.".into());
    };
    let family: Vec<&str> = specs
        .iter()
        .filter_map(|spec| spec.name.split_once(' ').filter(|(head, _)| head == first).map(|(_, tail)| tail))
        .collect();
    if !family.is_empty() {
        let message = format!("`{first}` needs one of: {}.", family.join(", "));
        return refuse("E_INVALID_ARG", message, format!("Such as `{first} {}`.", family[0]));
    }
    let typed = words.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
    let near = nearest(&typed, specs.iter().map(|spec| spec.name.as_str()))
        .or_else(|| nearest(first, specs.iter().map(|spec| spec.name.split(' ').next().unwrap_or_default())));
    let hint = near.map_or_else(|| "`help` lists them.".into(), |near| format!("Did you mean `{near}`?"));
    refuse("E_UNKNOWN_COMMAND", format!("there is no command `{first}`."), hint)
}

fn normalise(arg: &ArgSpec, value: &str) -> Result<String, String> {
    match &arg.kind {
        ArgKind::Choice(choices) => {
            let lower = value.to_lowercase();
            if choices.contains(&lower) {
                return Ok(lower);
            }
            let near = nearest(&lower, choices.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`"));
            Err(format!("is `{value}`, not one of {}{near}", choices.join(", ")))
        }
        ArgKind::Integer { min, max } => match value.parse::<i64>() {
            Ok(number) if (*min..=*max).contains(&number) => Ok(number.to_string()),
            _ => Err(format!("is `{value}`, not a whole number from {min} to {max}")),
        },
        ArgKind::Decimal { min, max } => match value.parse::<f64>() {
            Ok(number) if (*min..=*max).contains(&number) => Ok(format!("{number}")),
            _ => Err(format!("is `{value}`, not a number from {min} to {max}")),
        },
        ArgKind::Agent | ArgKind::Object | ArgKind::Place => {
            if value.is_empty() {
                Err("is empty".into())
            } else {
                Ok(value.to_lowercase())
            }
        }
        ArgKind::Text | ArgKind::Command | ArgKind::Snapshot | ArgKind::Policy | ArgKind::Release => {
            if value.is_empty() {
                Err("is empty".into())
            } else if value.chars().count() > MAX_TEXT {
                Err(format!("has more than {MAX_TEXT} characters"))
            } else {
                Ok(value.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effect, Role};

    fn table() -> Vec<CommandSpec> {
        let row = |name: &str, args: Vec<ArgSpec>| CommandSpec {
            name: name.into(),
            args,
            role: Role::Admin,
            effect: Effect::Town,
            mutating: true,
            destructive: false,
            help: String::new(),
        };
        let arg = |name: &str, kind, required, flag| ArgSpec { name: name.into(), kind, required, flag };
        vec![
            row(
                "employment_exit approve",
                vec![arg("agent", ArgKind::Agent, true, false), arg("reason", ArgKind::Text, false, true)],
            ),
            row("blackout", vec![arg("switch", ArgKind::Choice(vec!["on".into(), "off".into()]), true, false)]),
            row("step", vec![arg("ticks", ArgKind::Integer { min: 1, max: 1000 }, false, false)]),
        ]
    }

    #[test]
    fn reads_and_writes_the_normal_form() {
        let table = table();
        let parsed = parse(&table, "employment_exit   approve ADA --reason \"she said \\\"bye\\\"\"").unwrap();
        assert_eq!(parsed.args["agent"], "ada");
        assert_eq!(parsed.args["reason"], "she said \"bye\"");
        let again = parsed.normalised();
        assert_eq!(parse(&table, &again).unwrap(), parsed);
        // Every kind of blank parts words, not only the common one.
        for blank in ["\t", "\n", "\u{a0}", "\u{2003}"] {
            let parsed =
                parse(&table, &format!("employment_exit approve \"a{blank}b\" --reason \"c{blank}d\"")).unwrap();
            assert_eq!(parse(&table, &parsed.normalised()).as_ref(), Ok(&parsed), "{blank:?}");
        }
    }

    #[test]
    fn every_refusal_says_what_would_be_right() {
        let table = table();
        let cases = [
            ("", "E_UNKNOWN_COMMAND", "help"),
            ("blackuot on", "E_UNKNOWN_COMMAND", "`blackout`"),
            ("employment_exit", "E_INVALID_ARG", "approve"),
            ("employment_exit approve", "E_INVALID_ARG", "Usage: employment_exit approve <agent>"),
            ("blackout maybe", "E_INVALID_ARG", "Usage: blackout on|off"),
            ("step 0", "E_INVALID_ARG", "Usage"),
            ("step 1 2", "E_INVALID_ARG", "Usage"),
            ("step \"1", "E_INVALID_ARG", "End the text"),
        ];
        for (line, code, hint) in cases {
            let error = parse(&table, line).unwrap_err();
            assert_eq!(error.code, code, "{line}");
            assert!(error.hint.contains(hint), "{line}: {}", error.hint);
        }
        assert_eq!(parse(&table, &"x".repeat(2000)).unwrap_err().code, "E_TOO_LARGE");
    }
}
