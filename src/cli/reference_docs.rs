//! Generates `docs/COMMANDS.md` from the command table and `docs/KEYS.md` from the table of actions.
//!
//! `tests/suite/generated_docs.rs` checks that both files are up to date.

use std::fmt::Write as _;

use townlet_tui::keymap::{ACTIONS, GROUPS, Keymap};
use townlet_wire::{CommandSpec, Effect};

const COMMANDS: &str = "# Console commands

Generated from the command table by `UPDATE_DOCS=1 cargo test --test suite`. A test checks that the page is up to date.

Commands are available on the console line, in the palette, in `townlet console`, over HTTP and, except pace commands, in
scripts. A session starts as a viewer; `escalate` gives it the admin role. A mutating command is logged before and after it
runs and has a `cmd_id`, with which it can be retried safely. Every command has a dry run: the same checks without effect.
Screens ask for confirmation before a **destructive** command.
";

const EFFECTS: [(Effect, &str, &str); 4] = [
    (Effect::Read, "Read-only", "Answers from the current state."),
    (
        Effect::Town,
        "Town",
        "Commands that change the town. They are applied between two ticks and recorded in the journal, so a replay repeats them.",
    ),
    (Effect::Shard, "Shard", "Commands that act on the shard. They are not part of the town's digest."),
    (Effect::Pace, "Pace", "Available to the owner of a local town in any role."),
];

/// `docs/COMMANDS.md`.
pub fn commands(specs: &[CommandSpec]) -> String {
    let mut page = COMMANDS.to_owned();
    for (effect, title, meaning) in EFFECTS {
        let _ = write!(page, "\n## {title}\n\n{meaning}\n\n| command | role | | description |\n|---|---|---|---|\n");
        for spec in specs.iter().filter(|spec| spec.effect == effect) {
            let destructive = if spec.destructive { "destructive" } else { "" };
            let usage = spec.usage().replace('|', "\\|");
            let _ = writeln!(page, "| `{usage}` | {} | {destructive} | {} |", spec.role.word(), cell(&spec.help));
        }
    }
    page
}

const KEYS: &str = "# Keys

Generated from the table of actions by `UPDATE_DOCS=1 cargo test --test suite`. A test checks that the page is up to date.
The names identify actions in the `keys` section of the user configuration.
";

/// `docs/KEYS.md`.
pub fn keys() -> String {
    let keymap = Keymap::default();
    let mut page = KEYS.to_owned();
    for (group, title) in GROUPS {
        let _ = write!(page, "\n## {title}\n\n| key | name | description |\n|---|---|---|\n");
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
