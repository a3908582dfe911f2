//! The command line's grammar: words, quotes, `--name value`, and typed arguments against a command's row.
//!
//! One parser for the console line, scripts, REST and completion. Knows rows, not what they do.

use std::borrow::Cow;

use serde_json::Value;
pub use townlet_text::nearest;

use super::command::{ArgKind, ArgSpec, CommandSpec, ErrorBody};

/// Longest line accepted, in bytes.
pub const MAX_LINE: usize = 1_024;
/// Longest free text accepted, in characters.
pub const MAX_TEXT: usize = 200;

/// A value of an argument, read by the argument's kind.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgValue {
    /// A whole number in its range.
    Integer(i64),
    /// A decimal in its range.
    Decimal(f64),
    /// A word of the choices, and its place among them.
    Choice(usize, String),
    /// A name or free text.
    Text(String),
}

impl std::fmt::Display for ArgValue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(out),
            Self::Decimal(number) => number.fmt(out),
            Self::Choice(_, text) | Self::Text(text) => out.write_str(text),
        }
    }
}

/// A line that fits a row of the command table.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<'a> {
    /// The row it fits.
    pub spec: &'a CommandSpec,
    /// A value for each argument of the row, in the row's order; `None` when it was left out.
    pub values: Vec<Option<ArgValue>>,
}

impl<'a> Parsed<'a> {
    /// Reads arguments by name, as the audit log keeps them.
    /// Fails with `E_INVALID_ARG` when they do not fit the row.
    pub fn from_args(spec: &'a CommandSpec, args: &Value) -> Result<Self, ErrorBody> {
        let read = |arg: &ArgSpec| args[&arg.name].as_str().map(|text| read_value(spec, arg, text)).transpose();
        Self { spec, values: spec.args.iter().map(read).collect::<Result<_, _>>()? }.complete()
    }

    fn complete(self) -> Result<Self, ErrorBody> {
        if let Some((missing, _)) = self.given().find(|(arg, value)| arg.required && value.is_none()) {
            return Err(wrong(self.spec, format!("<{}> is missing.", missing.name)));
        }
        Ok(self)
    }

    /// Every argument of the row with its value.
    pub fn given(&self) -> impl Iterator<Item = (&'a ArgSpec, Option<&ArgValue>)> {
        self.spec.args.iter().zip(self.values.iter().map(Option::as_ref))
    }

    /// The arguments that were given, by name, as the audit log keeps them.
    pub fn args(&self) -> Value {
        let given = self.given().filter_map(|(arg, value)| Some((arg.name.clone(), value?.to_string().into())));
        Value::Object(given.collect())
    }

    /// The line again in its one normal form, by which retries are recognised as equal.
    pub fn normalised(&self) -> String {
        let mut line = self.spec.name.clone();
        for (arg, value) in self.given() {
            let Some(value) = value.map(ToString::to_string) else { continue };
            if arg.flag {
                line.push_str(" --");
                line.push_str(&arg.name);
            }
            line.push(' ');
            line.push_str(&normal_word(&value));
        }
        line
    }
}

/// A word as [`words`] reads it: in quotes if it is empty or has blanks or quotes.
pub fn normal_word(word: &str) -> String {
    let splits = |character: char| character.is_whitespace() || character == '"';
    if word.is_empty() || word.contains(splits) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word.to_owned()
    }
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
        return Err(ErrorBody::new("E_INVALID_ARG", "a quote is not closed.", "End the text with \"."));
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

/// Reads a line against the table.
/// Fails with `E_TOO_LARGE`, `E_UNKNOWN_COMMAND` or `E_INVALID_ARG` and a hint.
pub fn parse<'a>(specs: &'a [CommandSpec], line: &str) -> Result<Parsed<'a>, ErrorBody> {
    check_length("the command has", line)?;
    let words = words(line)?;
    let Some((spec, taken)) = find(specs, &words) else {
        return Err(unknown(specs, &words));
    };
    let mut values = vec![None; spec.args.len()];
    let mut places = (0..spec.args.len()).filter(|at| !spec.args[*at].flag);
    // Further words continue a command line.
    let last = (0..spec.args.len()).rfind(|at| !spec.args[*at].flag);
    let open_end = last.filter(|at| spec.args[*at].kind == ArgKind::Command && spec.args[*at].required);
    let mut rest = words[taken..].iter();
    while let Some(word) = rest.next() {
        let (at, text) = match word.strip_prefix("--") {
            Some(name) => {
                let at = spec.args.iter().position(|arg| arg.flag && arg.name == name);
                (at, Cow::from(rest.next().map_or("", String::as_str)))
            }
            None => match (places.next(), open_end) {
                (None, Some(at)) => {
                    let before = values[at].as_ref().map(ToString::to_string).unwrap_or_default();
                    (Some(at), Cow::from(format!("{before} {word}")))
                }
                (at, _) => (at, Cow::from(word)),
            },
        };
        let at = at.ok_or_else(|| wrong(spec, format!("`{word}` is not an argument of `{}`.", spec.name)))?;
        values[at] = Some(read_value(spec, &spec.args[at], &text)?);
    }
    let parsed = Parsed { spec, values }.complete()?;
    // A backslash outside quotes is two in the normal form, which is a line, too.
    check_length(
        "written in quotes, with a backslash before each quote and backslash, the command has",
        &parsed.normalised(),
    )?;
    Ok(parsed)
}

fn check_length(subject: &str, line: &str) -> Result<(), ErrorBody> {
    if line.len() <= MAX_LINE {
        return Ok(());
    }
    let message = format!("{subject} {} bytes; at most {MAX_LINE} are read.", line.len());
    Err(ErrorBody::new("E_TOO_LARGE", message, "Shorten the reason."))
}

fn wrong(spec: &CommandSpec, message: String) -> ErrorBody {
    ErrorBody::new("E_INVALID_ARG", message, format!("Usage: {}", spec.usage()))
}

fn unknown(specs: &[CommandSpec], words: &[String]) -> ErrorBody {
    let Some(first) = words.first() else {
        return ErrorBody::new("E_UNKNOWN_COMMAND", "the command is empty.", "`help` lists them.");
    };
    let family: Vec<&str> = specs
        .iter()
        .filter_map(|spec| spec.name.split_once(' ').filter(|(head, _)| head == first).map(|(_, tail)| tail))
        .collect();
    if !family.is_empty() {
        let message = format!("`{first}` needs one of: {}.", family.join(", "));
        return ErrorBody::new("E_INVALID_ARG", message, format!("For example: `{first} {}`.", family[0]));
    }
    let typed = words.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
    let near = nearest(&typed, specs.iter().map(|spec| spec.name.as_str()))
        .or_else(|| nearest(first, specs.iter().map(|spec| spec.name.split(' ').next().unwrap_or_default())));
    let hint = near.map_or_else(|| "`help` lists them.".into(), |near| format!("Did you mean `{near}`?"));
    ErrorBody::new("E_UNKNOWN_COMMAND", format!("there is no command `{first}`."), hint)
}

fn read_value(spec: &CommandSpec, arg: &ArgSpec, text: &str) -> Result<ArgValue, ErrorBody> {
    let read = match &arg.kind {
        ArgKind::Choice(choices) => {
            let lower = text.to_lowercase();
            choices.iter().position(|choice| *choice == lower).map(|at| ArgValue::Choice(at, lower.clone())).ok_or_else(
                || {
                    let near = nearest(&lower, choices.iter().map(String::as_str));
                    let near = near.map_or_else(String::new, |near| format!(". Did you mean `{near}`?"));
                    format!("is `{text}`, not one of {}{near}", choices.join(", "))
                },
            )
        }
        ArgKind::Integer { min, max } => {
            let number = text.parse().ok().filter(|number| (min..=max).contains(&number));
            number.map(ArgValue::Integer).ok_or_else(|| format!("is `{text}`, not a whole number from {min} to {max}"))
        }
        ArgKind::Decimal { min, max } => {
            let number = text.parse().ok().filter(|number| (min..=max).contains(&number));
            number.map(ArgValue::Decimal).ok_or_else(|| format!("is `{text}`, not a number from {min} to {max}"))
        }
        _ if text.is_empty() => Err("is empty".into()),
        ArgKind::Agent | ArgKind::Object | ArgKind::Place => Ok(ArgValue::Text(text.to_lowercase())),
        _ if text.chars().count() > MAX_TEXT => Err(format!("has more than {MAX_TEXT} characters")),
        _ => Ok(ArgValue::Text(text.to_owned())),
    };
    read.map_err(|why| wrong(spec, format!("<{}> {why}{}", arg.name, if why.ends_with('?') { "" } else { "." })))
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
            row(
                "whatif",
                vec![
                    arg("alternatives", ArgKind::Command, true, false),
                    arg("days", ArgKind::Integer { min: 1, max: 100 }, false, true),
                ],
            ),
        ]
    }

    #[test]
    fn reads_and_writes_the_normal_form() {
        let table = table();
        let parsed = parse(&table, "employment_exit   approve ADA --reason \"she said \\\"bye\\\"\"").unwrap();
        assert_eq!(parsed.args(), serde_json::json!({ "agent": "ada", "reason": "she said \"bye\"" }));
        assert_eq!(Parsed::from_args(parsed.spec, &parsed.args()).as_ref(), Ok(&parsed));
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
    fn further_words_continue_a_command_line_in_the_last_place() {
        let table = table();
        let line = "whatif approve finn | defer  finn --days 2 ; pause";
        let parsed = parse(&table, line).unwrap();
        assert_eq!(
            parsed.args(),
            serde_json::json!({ "alternatives": "approve finn | defer finn ; pause", "days": "2" })
        );
        let again = parsed.normalised();
        assert_eq!(again, "whatif \"approve finn | defer finn ; pause\" --days 2");
        assert_eq!(parse(&table, &again).unwrap(), parsed);
        assert_eq!(parse(&table, &format!("whatif {}", "ab ".repeat(70))).unwrap_err().code, "E_INVALID_ARG");
        assert_eq!(parse(&table, "employment_exit approve ada bea").unwrap_err().code, "E_INVALID_ARG");
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

    #[test]
    fn a_line_whose_normal_form_cannot_be_read_is_refused() {
        let table = table();
        let line = |backslashes: usize| format!("employment_exit approve {}\" \"", "\\".repeat(backslashes));
        let parsed = parse(&table, &line(400)).expect("it is read");
        assert_eq!(parse(&table, &parsed.normalised()), Ok(parsed));
        assert!(line(600).len() < MAX_LINE);
        assert_eq!(parse(&table, &line(600)).unwrap_err().code, "E_TOO_LARGE");
    }
}
