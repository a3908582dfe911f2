//! Key bindings: the table of actions with their names in the config file, keys and help texts.
//!
//! Footer, help screen and palette are generated from it. Rule: "Header and footer" and "Operator actions".

use std::collections::BTreeMap;
use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::pane::PANES;
use townlet_wire::command_line::nearest;

/// Section of the help screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Works on every screen.
    Everywhere,
    /// Controls the speed of the town.
    Pace,
    /// Moves in time.
    Time,
    /// Moves within a pane.
    Moving,
    /// Works in some panes.
    Panes,
}

/// The sections with their headings, in the order of the help screen.
pub const GROUPS: [(Group, &str); 5] = [
    (Group::Everywhere, "Everywhere"),
    (Group::Pace, "Speed"),
    (Group::Time, "Time"),
    (Group::Moving, "Navigation in a pane"),
    (Group::Panes, "Pane actions"),
];

/// A row of the action table.
pub struct ActionRow {
    /// The action.
    pub action: Action,
    /// Name in the config file.
    pub name: &'static str,
    /// Default keys, separated by spaces. The first is shown.
    keys: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Section of the help screen.
    pub group: Group,
}

/// Defines the actions and their table: group, then action, name, default keys and help text.
macro_rules! actions {
    ($($group:ident { $($action:ident $name:literal $keys:literal $help:literal)* })*) => {
        /// An action a key can be bound to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[doc = $help] $action,)*)*
        }

        /// The action table.
        pub static ACTIONS: &[ActionRow] = &[$($(ActionRow {
            action: Action::$action,
            name: $name,
            keys: $keys,
            help: $help,
            group: Group::$group,
        },)*)*];
    };
}

actions! {
    Everywhere {
        Help "help" "?" "list all keys, versions and paths; type to search"
        Console "console" ":" "open the console line: any command, with completion and preview"
        Palette "palette" "ctrl-p" "find a command, screen or pane by name"
        Search "search" "ctrl-f"
            "search residents, objects, places, metrics, alerts, the audit log, commands and screens, and open what is found"
        Filter "filter" "/" "filter the focused pane"
        Zoom "zoom" "z" "maximize the focused pane, or restore it"
        NextPane "next_pane" "tab" "focus the next pane"
        PreviousPane "previous_pane" "shift-tab" "focus the previous pane"
        Wider "wider" "ctrl-right" "make the focused pane wider; the only pane of a screen: its list"
        Narrower "narrower" "ctrl-left" "make the focused pane narrower"
        Taller "taller" "ctrl-down" "make the focused pane taller"
        Shorter "shorter" "ctrl-up" "make the focused pane shorter"
        ResetSizes "reset_sizes" "Z" "give all panes their default sizes"
        Columns "columns" "c" "choose the columns of the focused table and their order"
        Fleet "fleet" "0 backspace" "Fleet: list of all watched shards"
        Operations "operations" "1" "Operations: employment, queues, stability, alerts, console"
        Town "town" "2" "Town: the map and its residents"
        Agents "agents" "3" "Agents: all residents, and one in detail"
        Learning "learning" "4" "Learning: training progress and the release candidate"
        Metrics "metrics" "5" "Metrics: all metrics over time, with their targets"
        Audit "audit" "6" "Audit: log of all commands and its integrity"
        Economy "economy" "7" "Economy: perturbations, prices, stock, power and water"
        Unconfirmed "unconfirmed" "u" "list the commands that are not confirmed: send one again, or give it up"
        Copy "copy" "y" "copy the selected item to the clipboard"
        Export "export" "e"
            "export the pane's table as CSV (its chosen columns in their order, else all fields), and its chart as CSV and SVG"
        ExportAll "export_all" "ctrl-e" "the same with all fields of the table, whatever columns are chosen"
        Settings "settings" "," "theme, mouse, reasons, notifications and clock, with a preview; kept in your configuration"
        Save "save" "S" "save the screen as text and SVG: in ops/screens of a local town, else in the current folder"
        Back "back" "esc" "close, clear the filter, or restore a maximized pane"
        Quit "quit" "q ctrl-c" "quit: saves a local town; a remote town keeps running"
    }
    Pace {
        Pause "pause" "p" "pause or resume the town"
        Step "step" "." "run one tick, then pause"
        Faster "faster" "+ =" "next faster speed: 1×, 10×, 100×, max; a paused town runs at 1×"
        Slower "slower" "-" "next slower speed: 1×, 10×, 100×, max"
    }
    Time {
        PreviousTick "previous_tick" "[" "one tick back: the screen shows the past, the town goes on"
        NextTick "next_tick" "]" "one tick forward"
        PreviousMark "previous_mark" "{" "back to the mark before: a command, exit, alert, window, perturbation, release, incident, reload or bookmark"
        NextMark "next_mark" "}" "forward to the next mark"
        HourBack "hour_back" "shift-left" "an hour of the town back"
        HourForward "hour_forward" "shift-right" "an hour of the town forward"
        DayBack "day_back" "< alt-left" "a day of the town back"
        DayForward "day_forward" "> alt-right" "a day of the town forward"
        Goto "goto" "@" "go to a moment: a tick, `day 3 09:17`, `-1d`"
        Beginning "beginning" "ctrl-home ^" "the first tick that can be shown"
        Live "live" "N ctrl-end" "back to the present; of a recording, its end"
        Timeline "timeline" "_" "show or hide the timeline"
        Bookmark "bookmark" "\"" "bookmark the moment on screen, with a note"
        Marks "marks" "'" "list marks and bookmarks, and go to one"
    }
    Moving {
        Up "up" "up k" "up"
        Down "down" "down j" "down"
        Left "left" "left h" "left"
        Right "right" "right l" "right"
        PageUp "page_up" "pageup ctrl-u" "page up"
        PageDown "page_down" "pagedown ctrl-d" "page down"
        First "first" "home g" "first item"
        Last "last" "end G" "last item"
    }
    Panes {
        Open "open" "enter" "open the selected item"
        Mark "mark" "space" "mark the selected item, to act on several at once"
        Approve "approve" "a"
            "exit queue: approve the exit; the resident leaves on the next tick (asks for confirmation)"
        Defer "defer" "d" "exit queue: remove the entry and forgive the absences"
        Acknowledge "acknowledge" "v" "alert: mark it as seen by you, which quiets its banner"
        Sort "sort" "s" "sort by the next column"
        Reverse "reverse" "r" "reverse the sort order"
        Follow "follow" "f" "follow the selected resident"
        Overlay "overlay" "o" "show or hide the ties between residents"
        Overview "overview" "V" "map: show all of it with where residents are, or the part around the cursor"
        Train "train" "t" "pause or resume training"
        Promote "promote" "m" "promote the candidate to release (asks for confirmation)"
        Rollback "rollback" "b" "roll back to the previous release (asks for confirmation)"
        Trigger "trigger" "n" "start the selected perturbation now (asks for confirmation)"
        Cancel "cancel" "x" "end the selected perturbation, or cancel it for today"
        Switch "switch" "w" "switch perturbations, power or water on or off (asks before switching power or water off)"
    }
}

/// A key with its modifiers, written as in the config file: `ctrl-p`, `shift-tab`, `space`, `G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

const MODIFIERS: [(&str, KeyModifiers); 3] =
    [("ctrl-", KeyModifiers::CONTROL), ("alt-", KeyModifiers::ALT), ("shift-", KeyModifiers::SHIFT)];

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
    /// Converts a terminal event to the normalized form that is compared.
    pub fn of(event: KeyEvent) -> Self {
        let mut modifiers = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match event.code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            // An upper-case letter implies shift.
            KeyCode::Char(character) => {
                modifiers -= KeyModifiers::SHIFT;
                KeyCode::Char(character)
            }
            other => other,
        };
        Self { code, modifiers }
    }

    /// The terminal event of this key.
    #[cfg(test)]
    pub(crate) const fn event(self) -> KeyEvent {
        KeyEvent::new(self.code, self.modifiers)
    }

    /// Parses `ctrl-p`, `alt-enter`, `f5` or `G`.
    ///
    /// # Errors
    /// The reason, as one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text;
        while let Some((prefix, modifier)) =
            MODIFIERS.iter().find(|(prefix, _)| rest.len() > prefix.len() && rest.starts_with(prefix))
        {
            modifiers |= *modifier;
            rest = &rest[prefix.len()..];
        }
        let mut characters = rest.chars();
        let code = match (characters.next(), characters.next()) {
            (Some(character), None) => KeyCode::Char(character),
            _ => named(rest).ok_or_else(|| format!("`{text}` is not a key; examples: ctrl-p, f5, space, G"))?,
        };
        if matches!(code, KeyCode::Char(_)) && modifiers.contains(KeyModifiers::SHIFT) {
            return Err(format!("`{text}`: use the upper-case letter instead of shift"));
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
        for (prefix, modifier) in MODIFIERS {
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

/// The bindings in effect.
#[derive(Clone, Debug)]
pub struct Keymap {
    bound: Vec<(Key, Action)>,
}

impl Default for Keymap {
    fn default() -> Self {
        Self::remapped(&BTreeMap::new()).expect("a test checks that the table has no duplicates")
    }
}

impl Keymap {
    /// The table with the keys of some actions replaced: action name → keys, separated by spaces (`approve: "f2 alt-a"`).
    ///
    /// # Errors
    /// One sentence for every unknown action, invalid key and key bound twice.
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
                            wrong.push(format!("`{key}` is bound to `{}` and to `{}`", other.row().name, row.name));
                        }
                        None => bound.push((key, row.action)),
                    },
                }
            }
        }
        for pane in PANES {
            let jump = Key { code: KeyCode::Char(pane.key), modifiers: KeyModifiers::NONE };
            if let Some((_, other)) = bound.iter().find(|(taken, _)| *taken == jump) {
                wrong.push(format!("`{jump}` is bound to `{}` and to the pane {}", other.row().name, pane.title));
            }
        }
        if wrong.is_empty() { Ok(Self { bound }) } else { Err(wrong) }
    }

    /// The action bound to a key.
    pub fn action(&self, key: Key) -> Option<Action> {
        self.bound.iter().find(|(bound, _)| *bound == key).map(|(_, action)| *action)
    }

    /// The key to show for an action; arrow keys as arrows.
    pub fn label(&self, action: Action) -> String {
        let key =
            self.bound.iter().find(|(_, bound)| *bound == action).map_or_else(String::new, |(key, _)| key.to_string());
        match key.as_str() {
            "up" => "↑".into(),
            "down" => "↓".into(),
            "left" => "←".into(),
            "right" => "→".into(),
            _ => key,
        }
    }

    /// All keys of an action, for the help screen.
    pub fn labels(&self, action: Action) -> String {
        let keys = self.bound.iter().filter(|(_, bound)| *bound == action);
        keys.map(|(key, _)| key.to_string()).collect::<Vec<_>>().join("  ")
    }
}

impl Action {
    /// Its row in the table.
    pub fn row(self) -> &'static ActionRow {
        &ACTIONS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remap(changes: &[(&str, &str)]) -> Result<Keymap, Vec<String>> {
        Keymap::remapped(&changes.iter().map(|(name, keys)| ((*name).to_owned(), (*keys).to_owned())).collect())
    }

    #[test]
    fn the_table_has_no_duplicates_and_keys_round_trip() {
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
    fn keys_are_remapped_and_duplicates_are_refused() {
        let keymap = remap(&[("approve", "f2 alt-a")]).unwrap();
        assert_eq!(keymap.label(Action::Approve), "f2");
        assert_eq!(keymap.action(Key::parse("a").unwrap()), None);
        assert_eq!(remap(&[("approve", "d")]).unwrap_err(), ["`d` is bound to `approve` and to `defer`"]);
        assert_eq!(remap(&[("aprove", "x")]).unwrap_err(), ["`aprove` is not an action; did you mean `approve`?"]);
        assert_eq!(remap(&[("approve", "E")]).unwrap_err(), ["`E` is bound to `approve` and to the pane Employment"]);
        assert!(remap(&[("approve", "shift-a")]).unwrap_err()[0].contains("upper-case letter"));
        assert!(remap(&[("approve", "")]).unwrap_err()[0].contains("at least one key"));
        assert!(remap(&[("approve", "hyper-x")]).unwrap_err()[0].contains("not a key"));
    }

    #[test]
    fn events_are_normalized() {
        let event = |code, modifiers| Key::of(KeyEvent::new(code, modifiers)).to_string();
        assert_eq!(event(KeyCode::Char('G'), KeyModifiers::SHIFT), "G");
        assert_eq!(event(KeyCode::BackTab, KeyModifiers::NONE), "shift-tab");
        assert_eq!(event(KeyCode::Char(' '), KeyModifiers::NONE), "space");
        assert_eq!(event(KeyCode::Char('p'), KeyModifiers::CONTROL), "ctrl-p");
    }
}
