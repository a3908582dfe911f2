//! Reference pages made from the program's own tables: the console's commands and the keys of the interface.
//!
//! `tests/suite/generated_docs.rs` holds the files in `docs/` to what is made here. Nothing is listed here that a table knows.

use std::fmt::Write as _;

use townlet_tui::keymap::{ACTIONS, Group, Keymap};
use townlet_wire::{CommandSpec, Effect};

const COMMANDS: &str = "# Console commands

Made from the command table by `UPDATE_DOCS=1 cargo test --test suite`; a test holds it to the table.

Every command is reached from the console line, the palette, `townlet console`, HTTP and scripts, which refuse those of pace. A session starts as a viewer; `escalate` makes it an
admin. A command that changes anything is logged before and after, and carries a `cmd_id`, under which a retry is safe. Every command can
be asked as a dry run: same checks, no effect. Marked **takes away**: screens ask first.
";

const EFFECTS: [(Effect, &str, &str); 4] = [
    (Effect::Read, "Looking", "Answers from what is; changes nothing."),
    (Effect::Town, "The town", "Applied between two ticks, journalled and replayed."),
    (Effect::Shard, "The shard", "Acts on the shard around the town; not part of the town's digest."),
    (Effect::Pace, "Pace", "The owner of a local town may do this whatever the role."),
];

/// `docs/COMMANDS.md`.
pub fn commands(specs: &[CommandSpec]) -> String {
    let mut page = COMMANDS.to_owned();
    for (effect, title, meaning) in EFFECTS {
        let _ = write!(page, "\n## {title}\n\n{meaning}\n\n| command | role | | what it does |\n|---|---|---|---|\n");
        for spec in specs.iter().filter(|spec| spec.effect == effect) {
            let takes = if spec.destructive { "takes away" } else { "" };
            let usage = spec.usage().replace('|', "\\|");
            let _ = writeln!(page, "| `{usage}` | {} | {takes} | {} |", spec.role.word(), cell(&spec.help));
        }
    }
    page
}

const KEYS: &str = "# Keys

Made from the table of actions by `UPDATE_DOCS=1 cargo test --test suite`; a test holds it to the table. The names are those by
which keys are given to other actions.
";

/// `docs/KEYS.md`.
pub fn keys() -> String {
    let keymap = Keymap::default();
    let mut page = KEYS.to_owned();
    for group in Group::ALL {
        let _ = write!(page, "\n## {}\n\n| key | name | what it does |\n|---|---|---|\n", group.title());
        for row in ACTIONS.iter().filter(|row| row.group == group) {
            let keys = keymap.labels(row.action);
            let keys: Vec<String> = keys.split("  ").map(|key| format!("`{}`", cell(key))).collect();
            let _ = writeln!(page, "| {} | `{}` | {} |", keys.join(" "), row.name, cell(row.help));
        }
    }
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
