//! Completion of command names and arguments, from the command table and the snapshot.

use townlet_wire::command_line::find;
use townlet_wire::escape;
use townlet_wire::{ArgKind, ArgSpec, CommandSpec, Snapshot};

/// A completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Replacement of the word.
    pub text: String,
    /// Description.
    pub note: String,
}

/// Completions at the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Byte offset of the word to complete.
    pub start: usize,
    /// Completions, best first.
    pub items: Vec<Item>,
}

/// The command named by `before`, the line up to the cursor, if its name is complete.
pub fn row<'a>(specs: &'a [CommandSpec], before: &str) -> Option<&'a CommandSpec> {
    let words: Vec<String> = before.split_whitespace().map(str::to_owned).collect();
    find(specs, &words).map(|(spec, _)| spec)
}

/// Completions for `before`, the line up to the cursor.
pub fn complete(specs: &[CommandSpec], view: Option<&Snapshot>, before: &str) -> Completion {
    let start =
        before.rfind(char::is_whitespace).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let partial = before[start..].to_lowercase();
    let head: Vec<String> = before[..start].split_whitespace().map(str::to_owned).collect();
    let Some((spec, taken)) = find(specs, &head) else {
        return names(specs, before);
    };
    let (mut place, mut flag, mut used) = (0, None, Vec::new());
    for word in &head[taken..] {
        match (flag.take(), word.strip_prefix("--")) {
            (None, Some(name)) => {
                flag = Some(name);
                used.push(name);
            }
            (None, None) => place += 1,
            (Some(_), _) => {}
        }
    }
    let arg = match flag {
        Some(name) => spec.args.iter().find(|arg| arg.flag && arg.name == name),
        None => spec.args.iter().filter(|arg| !arg.flag).nth(place),
    };
    let mut items = match arg {
        Some(arg) if !partial.starts_with("--") => values(arg, specs, view, &partial),
        _ => Vec::new(),
    };
    if flag.is_none() && arg.is_none_or(|arg| !arg.required) {
        let flags = spec.args.iter().filter(|arg| arg.flag && !used.contains(&arg.name.as_str()));
        let flags = flags.map(|arg| Item { text: format!("--{}", arg.name), note: String::new() });
        items.extend(flags.filter(|item| item.text.starts_with(&partial)));
    }
    Completion { start, items }
}

fn names(specs: &[CommandSpec], before: &str) -> Completion {
    let typed = before.split_whitespace().collect::<Vec<_>>().join(" ");
    let typed = if before.ends_with(' ') && !typed.is_empty() { format!("{typed} ") } else { typed };
    let fits = specs.iter().filter(|spec| spec.name.starts_with(&typed));
    let items = fits.map(|spec| Item { text: spec.name.clone(), note: spec.help.clone() }).collect();
    Completion { start: 0, items }
}

fn values(arg: &ArgSpec, specs: &[CommandSpec], view: Option<&Snapshot>, partial: &str) -> Vec<Item> {
    let item = |text: &str, note: String| Item { text: escape(text), note: escape(&note) };
    let all: Vec<Item> = match (&arg.kind, view) {
        (ArgKind::Choice(words), _) => words.iter().map(|word| item(word, String::new())).collect(),
        (ArgKind::Command, _) => specs.iter().map(|spec| item(&spec.name, spec.help.clone())).collect(),
        (ArgKind::Agent, Some(view)) => {
            let job = |id: &str| view.jobs.get(id).map_or("", |job| job.job_id.as_str());
            let agents = view.agents.iter();
            agents.map(|agent| item(&agent.id, format!("{} {}", agent.name, job(&agent.id)))).collect()
        }
        (ArgKind::Object, Some(view)) => {
            view.map.objects.iter().map(|object| item(&object.id, object.place.clone())).collect()
        }
        (ArgKind::Place, Some(view)) => {
            view.map.places.iter().map(|place| item(&place.name, place.kind.clone())).collect()
        }
        (ArgKind::Policy, Some(view)) => policies(view).map(|(id, note)| item(&id, note.into())).collect(),
        _ => Vec::new(),
    };
    let fits = |item: &Item| {
        item.text.to_lowercase().starts_with(partial)
            || (!partial.is_empty() && item.note.to_lowercase().starts_with(partial))
    };
    all.into_iter().filter(fits).collect()
}

/// Likely policies: the candidate, the newest checkpoint, the previous release and the built-in ones.
fn policies(view: &Snapshot) -> impl Iterator<Item = (String, &'static str)> {
    let promotion = &view.promotion;
    let named = [
        (promotion.candidate.clone(), "candidate"),
        (view.learning.checkpoint.clone(), "newest checkpoint"),
        (promotion.previous.clone(), "previous release"),
        (Some("shipped".into()), "built in"),
        (Some("scripted".into()), "rule-based, no network"),
    ];
    let mut seen = Vec::new();
    named.into_iter().filter_map(move |(id, note)| {
        let id = id.filter(|id| *id != view.promotion.release && !seen.contains(id))?;
        seen.push(id.clone());
        Some((id, note))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{commands, snapshot};

    fn texts(before: &str) -> Vec<String> {
        complete(&commands(), Some(&snapshot()), before).items.into_iter().map(|item| item.text).collect()
    }

    #[test]
    fn completes_names_values_and_flags() {
        assert_eq!(texts("employment_exit d"), ["employment_exit defer"]);
        assert_eq!(texts("employment_e").len(), 3);
        assert_eq!(texts("employment_exit approve a"), ["ada"]);
        assert_eq!(texts("blackout "), ["on", "off"]);
        assert_eq!(texts("queue_inspect sh"), ["shower_1"]);
        assert_eq!(texts("teleport ada c"), ["cafe"]);
        assert_eq!(texts("employment_exit approve ada "), ["--reason"]);
        assert_eq!(texts("employment_exit approve ada --reason x "), [""; 0]);
        assert_eq!(texts("help emp").len(), 4);
        assert_eq!(texts("nonsense "), [""; 0]);
    }

    #[test]
    fn knows_where_the_word_starts() {
        assert_eq!(complete(&commands(), None, "blackout o").start, 9);
        assert_eq!(complete(&commands(), None, "bla").start, 0);
    }
}
