//! Options of `townlet console` that follow the command, as in `console review --json`.

use std::ffi::OsString;

/// The arguments of the program with the options of `console` before its command, where clap expects them. What follows `--`,
/// and the value of an option of the command itself, is not touched.
pub(in crate::cli) fn options_first(arguments: Vec<OsString>, console: &clap::Command) -> Vec<OsString> {
    if arguments.get(1).is_none_or(|subcommand| subcommand != console.get_name()) {
        return arguments;
    }
    let mut rest = arguments.into_iter();
    let mut ordered: Vec<OsString> = rest.by_ref().take(2).collect();
    let mut command = Vec::new();
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy();
        let Some(option) = text.strip_prefix("--") else {
            command.push(word);
            continue;
        };
        let (name, has_value) = option.split_once('=').map_or((option, false), |(name, _)| (name, true));
        let own = console.get_arguments().find(|argument| argument.get_long() == Some(name));
        let takes_value = own.map_or(name != "help", |own| own.get_action().takes_values()) && !has_value;
        let into = if own.is_some() || name == "help" { &mut ordered } else { &mut command };
        let end = name.is_empty();
        into.push(word);
        if end {
            into.extend(rest.by_ref());
        } else if takes_value {
            into.extend(rest.next());
        }
    }
    ordered.append(&mut command);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> String {
        let definition = crate::cli::command();
        let console = definition.find_subcommand("console").expect("a subcommand");
        let words = options_first(line.split(' ').map(OsString::from).collect(), console);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_may_follow_the_command() {
        for (given, expected) in [
            ("townlet console review --json", "townlet console --json review"),
            ("townlet console --connect u kpi --dry-run", "townlet console --connect u --dry-run kpi"),
            ("townlet console kpi --connect u --cmd-id=7 x", "townlet console --connect u --cmd-id=7 kpi x"),
            ("townlet console kpi --help", "townlet console --help kpi"),
            ("townlet console exit approve ada --reason --json", "townlet console exit approve ada --reason --json"),
            ("townlet console exit --reason late --json", "townlet console --json exit --reason late"),
            ("townlet console --json -- kpi --json", "townlet console --json -- kpi --json"),
            ("townlet console setmoney ada -5", "townlet console setmoney ada -5"),
            ("townlet console kpi --cmd-id", "townlet console --cmd-id kpi"),
            ("townlet train --json console", "townlet train --json console"),
            ("townlet", "townlet"),
        ] {
            assert_eq!(ordered(given), expected, "{given}");
        }
    }

    #[test]
    fn no_command_has_an_option_of_the_console() {
        let definition = crate::cli::command();
        let console = definition.find_subcommand("console").expect("a subcommand");
        for spec in townlet_shard::specs() {
            for argument in spec.args.iter().filter(|argument| argument.flag) {
                let own = console.get_arguments().any(|own| own.get_long() == Some(&argument.name));
                assert!(!own && argument.name != "help", "{} --{}", spec.name, argument.name);
            }
        }
    }
}
