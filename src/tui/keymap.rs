//! Which key does what: one table of actions, their names in the config file, their keys and their help.
//!
//! Footer, help screen and palette are made from it, so no text can disagree with the keyboard. Knows keys and actions,
//! not what an action does. Rule: "Header and footer" and "Operator actions".

use std::collections::BTreeMap;
use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::pane::PANES;
use townlet_wire::command_line::nearest;

/// Everything a key can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Leaves the screen.
    Quit,
    /// Shows every key.
    Help,
    /// Finds a command, screen or pane by a few letters.
    Palette,
    /// Opens the console line.
    Console,
    /// Narrows the focused pane.
    Filter,
    /// Closes, clears or steps back.
    Back,
    /// The focused pane alone, and back.
    Zoom,
    /// Focuses the next pane.
    NextPane,
    /// Focuses the pane before.
    PreviousPane,
    /// Back to the fleet of shards.
    Fleet,
    /// The screen of that name.
    Operations,
    /// The screen of that name.
    Town,
    /// The screen of that name.
    Agents,
    /// The screen of that name.
    Learning,
    /// The screen of that name.
    Metrics,
    /// The screen of that name.
    Audit,
    /// The screen of that name.
    Economy,
    /// Pauses the town, or lets it go on.
    Pause,
    /// One tick.
    Step,
    /// The next faster speed.
    Faster,
    /// The next slower speed.
    Slower,
    /// Copies what is selected.
    Copy,
    /// Saves the screen to files.
    Save,
    /// Moves up.
    Up,
    /// Moves down.
    Down,
    /// Moves left.
    Left,
    /// Moves right.
    Right,
    /// Moves up a page.
    PageUp,
    /// Moves down a page.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
    /// Opens what is selected.
    Open,
    /// Marks what is selected.
    Mark,
    /// Approves an exit.
    Approve,
    /// Defers an exit.
    Defer,
    /// Sorts by the next column.
    Sort,
    /// Turns the order around.
    Reverse,
    /// Follows a resident.
    Follow,
    /// Shows or hides a layer of the map.
    Overlay,
    /// Pauses the training, or lets it go on.
    Train,
    /// Makes the candidate the release.
    Promote,
    /// Brings back the release before.
    Rollback,
    /// Begins what is selected.
    Trigger,
    /// Ends what is selected.
    Cancel,
    /// Switches what is selected on or off.
    Switch,
}

/// Where the help screen lists an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Works on every screen.
    Everywhere,
    /// The pace of the town.
    Pace,
    /// Moves within a pane.
    Moving,
    /// Means something in some panes.
    Panes,
}

impl Group {
    /// In the order of the help screen.
    pub const ALL: [Self; 4] = [Self::Everywhere, Self::Pace, Self::Moving, Self::Panes];

    /// As a heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Everywhere => "Everywhere",
            Self::Pace => "Pace",
            Self::Moving => "Moving in a pane",
            Self::Panes => "In some panes",
        }
    }
}

/// A row of the action table.
pub struct ActionRow {
    /// What the key means.
    pub action: Action,
    /// Its name in the config file.
    pub name: &'static str,
    /// Its keys unless the config file says otherwise, blank-separated. The first is shown.
    keys: &'static str,
    /// One line for the help screen.
    pub help: &'static str,
    /// Where the help screen lists it.
    pub group: Group,
}

const fn row(action: Action, name: &'static str, keys: &'static str, group: Group, help: &'static str) -> ActionRow {
    ActionRow { action, name, keys, help, group }
}

/// The action table.
pub static ACTIONS: &[ActionRow] = &[
    row(Action::Help, "help", "?", Group::Everywhere, "every key, versions and paths; type to search"),
    row(
        Action::Console,
        "console",
        ":",
        Group::Everywhere,
        "the console line: any command, with completion and preview",
    ),
    row(Action::Palette, "palette", "ctrl-p", Group::Everywhere, "find a command, screen or pane by a few letters"),
    row(Action::Filter, "filter", "/", Group::Everywhere, "narrow the focused pane to what contains a text"),
    row(Action::Zoom, "zoom", "z", Group::Everywhere, "the focused pane alone on the screen, and back"),
    row(Action::NextPane, "next_pane", "tab", Group::Everywhere, "focus the next pane"),
    row(Action::PreviousPane, "previous_pane", "shift-tab", Group::Everywhere, "focus the pane before"),
    row(Action::Fleet, "fleet", "0 backspace", Group::Everywhere, "Fleet: every shard that is watched, a row each"),
    row(
        Action::Operations,
        "operations",
        "1",
        Group::Everywhere,
        "Operations: employment, queues, stability, alerts, console",
    ),
    row(Action::Town, "town", "2", Group::Everywhere, "Town: the map and who is where"),
    row(Action::Agents, "agents", "3", Group::Everywhere, "Agents: every resident, and one in detail"),
    row(
        Action::Learning,
        "learning",
        "4",
        Group::Everywhere,
        "Learning: the training beside the town, and the candidate it hands over",
    ),
    row(Action::Metrics, "metrics", "5", Group::Everywhere, "Metrics: every figure over time, with its target"),
    row(Action::Audit, "audit", "6", Group::Everywhere, "Audit: who did what, and whether the log is whole"),
    row(Action::Economy, "economy", "7", Group::Everywhere, "Economy: shocks, prices, stock, power and water"),
    row(Action::Copy, "copy", "y", Group::Everywhere, "copy what is selected to the clipboard"),
    row(
        Action::Save,
        "save",
        "S",
        Group::Everywhere,
        "save the screen as text and SVG, in the town's folder of screens if it has one",
    ),
    row(Action::Back, "back", "esc", Group::Everywhere, "close, clear the filter, leave the zoom"),
    row(
        Action::Quit,
        "quit",
        "q ctrl-c",
        Group::Everywhere,
        "leave; a local town is saved first, a remote one goes on",
    ),
    row(Action::Pause, "pause", "p", Group::Pace, "pause the town, or let it go on"),
    row(Action::Step, "step", ".", Group::Pace, "one tick, then pause"),
    row(Action::Faster, "faster", "+ =", Group::Pace, "the next faster of 1×, 10×, 100×, max"),
    row(Action::Slower, "slower", "-", Group::Pace, "the next slower of 1×, 10×, 100×, max"),
    row(Action::Up, "up", "up k", Group::Moving, "one up"),
    row(Action::Down, "down", "down j", Group::Moving, "one down"),
    row(Action::Left, "left", "left h", Group::Moving, "one to the left"),
    row(Action::Right, "right", "right l", Group::Moving, "one to the right"),
    row(Action::PageUp, "page_up", "pageup ctrl-u", Group::Moving, "a page up"),
    row(Action::PageDown, "page_down", "pagedown ctrl-d", Group::Moving, "a page down"),
    row(Action::First, "first", "home g", Group::Moving, "the first"),
    row(Action::Last, "last", "end G", Group::Moving, "the last"),
    row(Action::Open, "open", "enter", Group::Panes, "open what is selected"),
    row(Action::Mark, "mark", "space", Group::Panes, "mark what is selected, to act on several at once"),
    row(Action::Approve, "approve", "a", Group::Panes, "exit queue: the resident leaves on the next tick (asks first)"),
    row(Action::Defer, "defer", "d", Group::Panes, "exit queue: clear the entry and forgive the absences"),
    row(Action::Sort, "sort", "s", Group::Panes, "sort by the next column"),
    row(Action::Reverse, "reverse", "r", Group::Panes, "turn the order around"),
    row(Action::Follow, "follow", "f", Group::Panes, "follow the selected resident"),
    row(Action::Overlay, "overlay", "o", Group::Panes, "show or hide the ties between residents"),
    row(Action::Train, "train", "t", Group::Panes, "pause the training, or let it go on"),
    row(Action::Promote, "promote", "m", Group::Panes, "the candidate becomes the release (asks first)"),
    row(Action::Rollback, "rollback", "b", Group::Panes, "back to the release before this one (asks first)"),
    row(Action::Trigger, "trigger", "n", Group::Panes, "the selected shock begins now (asks first)"),
    row(Action::Cancel, "cancel", "x", Group::Panes, "the selected shock ends, or does not come today"),
    row(
        Action::Switch,
        "switch",
        "w",
        Group::Panes,
        "shocks, power, water: on or off (asks before power or water goes)",
    ),
];

/// A key with its modifiers, as the config file and the screen write it: `ctrl-p`, `shift-tab`, `space`, `G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

const NAMED: [(&str, KeyCode); 15] = [
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
];

impl Key {
    /// The key of a terminal's event, in the one form comparisons use.
    pub fn of(event: KeyEvent) -> Self {
        let mut modifiers = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match event.code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            // A capital already says that shift was held.
            KeyCode::Char(character) => {
                modifiers -= KeyModifiers::SHIFT;
                KeyCode::Char(character)
            }
            other => other,
        };
        Self { code, modifiers }
    }

    /// The event a terminal would send for it.
    #[cfg(test)]
    pub(crate) const fn event(self) -> KeyEvent {
        KeyEvent::new(self.code, self.modifiers)
    }

    /// Reads `ctrl-p`, `alt-enter`, `f5`, `G`.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text;
        let prefixes = [("ctrl-", KeyModifiers::CONTROL), ("alt-", KeyModifiers::ALT), ("shift-", KeyModifiers::SHIFT)];
        while let Some((prefix, modifier)) =
            prefixes.iter().find(|(prefix, _)| rest.len() > prefix.len() && rest.starts_with(prefix))
        {
            modifiers |= *modifier;
            rest = &rest[prefix.len()..];
        }
        let mut characters = rest.chars();
        let code = match (characters.next(), characters.next()) {
            (Some(character), None) => KeyCode::Char(character),
            _ => named(rest).ok_or_else(|| format!("`{text}` is not a key; write one like ctrl-p, f5, space or G"))?,
        };
        if matches!(code, KeyCode::Char(_)) && modifiers.contains(KeyModifiers::SHIFT) {
            return Err(format!("`{text}`: write the capital letter instead of shift"));
        }
        Ok(Self { code, modifiers })
    }
}

fn named(text: &str) -> Option<KeyCode> {
    if let Some(number) = text.strip_prefix('f').and_then(|number| number.parse::<u8>().ok()) {
        return (1..=12).contains(&number).then_some(KeyCode::F(number));
    }
    NAMED.iter().find(|(name, _)| *name == text).map(|(_, code)| *code)
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, prefix) in
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")]
        {
            if self.modifiers.contains(modifier) {
                out.write_str(prefix)?;
            }
        }
        match self.code {
            KeyCode::F(number) => write!(out, "f{number}"),
            code => match (NAMED.iter().find(|(_, named)| *named == code), code) {
                (Some((name, _)), _) => out.write_str(name),
                (None, KeyCode::Char(character)) => write!(out, "{character}"),
                (None, other) => write!(out, "{other}"),
            },
        }
    }
}

/// The keys in force.
#[derive(Clone, Debug)]
pub struct Keymap {
    bound: Vec<(Key, Action)>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self::remapped(&BTreeMap::new()).expect("a test holds the table free of duplicates")
    }
}

impl Keymap {
    /// The table with some actions' keys replaced: action name → keys, blank-separated (`approve: "f2 alt-a"`).
    ///
    /// # Errors
    /// One sentence for every unknown action, unreadable key and key that would mean two things.
    pub fn remapped(changes: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        for name in changes.keys() {
            if !ACTIONS.iter().any(|row| row.name == name) {
                let near = nearest(name, ACTIONS.iter().map(|row| row.name));
                let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                wrong.push(format!("`{name}` is not an action{hint}"));
            }
        }
        let mut bound: Vec<(Key, Action)> = Vec::new();
        for row in ACTIONS {
            let keys = changes.get(row.name).map_or(row.keys, String::as_str);
            if keys.split_whitespace().next().is_none() {
                wrong.push(format!("`{}` needs at least one key", row.name));
            }
            for text in keys.split_whitespace() {
                match Key::parse(text) {
                    Err(why) => wrong.push(format!("`{}`: {why}", row.name)),
                    Ok(key) => match bound.iter().find(|(taken, _)| *taken == key) {
                        Some((_, other)) => {
                            wrong.push(format!("`{key}` is bound to `{}` and to `{}`", name(*other), row.name));
                        }
                        None => bound.push((key, row.action)),
                    },
                }
            }
        }
        for pane in PANES {
            let jump = Key { code: KeyCode::Char(pane.key), modifiers: KeyModifiers::NONE };
            if let Some((_, other)) = bound.iter().find(|(taken, _)| *taken == jump) {
                wrong.push(format!("`{jump}` is bound to `{}` and goes to the pane {}", name(*other), pane.title));
            }
        }
        if wrong.is_empty() { Ok(Self { bound }) } else { Err(wrong) }
    }

    /// What a key means.
    pub fn action(&self, key: Key) -> Option<Action> {
        self.bound.iter().find(|(bound, _)| *bound == key).map(|(_, action)| *action)
    }

    /// The key to show for an action, with arrows as arrows.
    pub fn label(&self, action: Action) -> String {
        let key = self.bound.iter().find(|(_, bound)| *bound == action).map(|(key, _)| *key);
        match key {
            Some(Key { code: KeyCode::Up, modifiers: KeyModifiers::NONE }) => "↑".into(),
            Some(Key { code: KeyCode::Down, modifiers: KeyModifiers::NONE }) => "↓".into(),
            Some(Key { code: KeyCode::Left, modifiers: KeyModifiers::NONE }) => "←".into(),
            Some(Key { code: KeyCode::Right, modifiers: KeyModifiers::NONE }) => "→".into(),
            Some(key) => key.to_string(),
            None => String::new(),
        }
    }

    /// Every key of an action, for the help screen.
    pub fn labels(&self, action: Action) -> String {
        let keys = self.bound.iter().filter(|(_, bound)| *bound == action);
        keys.map(|(key, _)| key.to_string()).collect::<Vec<_>>().join("  ")
    }
}

fn name(action: Action) -> &'static str {
    ACTIONS.iter().find(|row| row.action == action).map_or("?", |row| row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remap(changes: &[(&str, &str)]) -> Result<Keymap, Vec<String>> {
        Keymap::remapped(&changes.iter().map(|(name, keys)| ((*name).to_owned(), (*keys).to_owned())).collect())
    }

    #[test]
    fn the_table_has_no_duplicates_and_reads_back() {
        let keymap = Keymap::default();
        for (key, action) in &keymap.bound {
            assert_eq!(Key::parse(&key.to_string()), Ok(*key));
            assert_eq!(keymap.action(*key), Some(*action));
        }
        for row in ACTIONS {
            assert!(!keymap.label(row.action).is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn keys_are_remapped_and_duplicates_refused_by_name() {
        let keymap = remap(&[("approve", "f2 alt-a")]).unwrap();
        assert_eq!(keymap.label(Action::Approve), "f2");
        assert_eq!(keymap.action(Key::parse("a").unwrap()), None);
        assert_eq!(remap(&[("approve", "d")]).unwrap_err(), ["`d` is bound to `approve` and to `defer`"]);
        assert_eq!(remap(&[("aprove", "x")]).unwrap_err(), ["`aprove` is not an action; did you mean `approve`?"]);
        assert_eq!(
            remap(&[("approve", "E")]).unwrap_err(),
            ["`E` is bound to `approve` and goes to the pane Employment"]
        );
        assert!(remap(&[("approve", "shift-a")]).unwrap_err()[0].contains("capital letter"));
        assert!(remap(&[("approve", "")]).unwrap_err()[0].contains("at least one key"));
        assert!(remap(&[("approve", "hyper-x")]).unwrap_err()[0].contains("not a key"));
    }

    #[test]
    fn events_have_one_form() {
        let event = |code, modifiers| Key::of(KeyEvent::new(code, modifiers)).to_string();
        assert_eq!(event(KeyCode::Char('G'), KeyModifiers::SHIFT), "G");
        assert_eq!(event(KeyCode::BackTab, KeyModifiers::NONE), "shift-tab");
        assert_eq!(event(KeyCode::Char(' '), KeyModifiers::NONE), "space");
        assert_eq!(event(KeyCode::Char('p'), KeyModifiers::CONTROL), "ctrl-p");
    }
}
