//! Letters of the residents on the map: the first free letter of the name. A resident keeps the letter until leaving.

use std::collections::{BTreeMap, BTreeSet};

use unicode_width::UnicodeWidthChar;

use townlet_wire::telemetry::Agent;

/// Residents up to whom each has a letter of their own as far as the letters go. In a larger town everybody has the first one of the
/// name: there are not enough others.
const MANY: usize = 256;

/// Shown for names without letters.
pub(super) const NO_LETTER: char = '@';

/// Letters by agent id.
#[derive(Debug, Default)]
pub(super) struct ResidentLetters {
    by_id: BTreeMap<String, char>,
}

impl ResidentLetters {
    /// Assigns letters to new residents and frees those of residents who left.
    pub(super) fn update(&mut self, agents: &[Agent]) {
        if agents.len() > MANY {
            return self.by_id.clear();
        }
        if self.by_id.len() == agents.len() && agents.iter().all(|agent| self.by_id.contains_key(&agent.id)) {
            return;
        }
        let mut kept = BTreeMap::new();
        for agent in agents {
            if let Some(letter) = self.by_id.get(&agent.id) {
                kept.insert(agent.id.clone(), *letter);
            }
        }
        let mut taken: BTreeSet<char> = kept.values().copied().collect();
        for agent in agents {
            if !kept.contains_key(&agent.id) {
                let letter = choose(&agent.name, &taken);
                taken.insert(letter);
                kept.insert(agent.id.clone(), letter);
            }
        }
        self.by_id = kept;
    }

    pub(super) fn of(&self, agent: &Agent) -> char {
        self.by_id.get(&agent.id).copied().unwrap_or_else(|| choose(&agent.name, &BTreeSet::new()))
    }
}

/// The first free upper-case letter of the name, then lower-case; if all are taken, the first letter again.
fn choose(name: &str, taken: &BTreeSet<char>) -> char {
    let one_cell = |letter: &char| letter.is_alphabetic() && letter.width() == Some(1);
    let capitals = name.chars().flat_map(char::to_uppercase).filter(one_cell);
    let small = name.chars().flat_map(char::to_lowercase).filter(one_cell);
    let mut letters = capitals.chain(small).peekable();
    let first = letters.peek().copied().unwrap_or(NO_LETTER);
    letters.find(|letter| !taken.contains(letter)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn town(names: &[&str]) -> Vec<Agent> {
        names.iter().map(|name| Agent { id: name.to_lowercase(), name: (*name).into(), ..Agent::default() }).collect()
    }

    #[test]
    fn the_first_letter_or_the_next_free_one_of_the_name() {
        let mut letters = ResidentLetters::default();
        let agents = town(&["Ada", "Anna", "Adan", "Ad", "山", "7"]);
        letters.update(&agents);
        let seen: String = agents.iter().map(|agent| letters.of(agent)).collect();
        assert_eq!(seen, "ANDa@@");
    }

    #[test]
    fn letters_are_kept_when_residents_come_and_go() {
        let mut letters = ResidentLetters::default();
        letters.update(&town(&["Ada", "Anna"]));
        letters.update(&town(&["Anna"]));
        let agents = town(&["Axel", "Anna"]);
        assert_eq!(letters.of(&agents[1]), 'N');
        letters.update(&agents);
        assert_eq!((letters.of(&agents[0]), letters.of(&agents[1])), ('A', 'N'));
    }

    #[test]
    fn in_a_large_town_everybody_has_the_first_letter_of_the_name() {
        let mut letters = ResidentLetters::default();
        let mut agents = town(&["Ada", "Anna"]);
        letters.update(&agents);
        assert_eq!(letters.of(&agents[1]), 'N');
        agents.extend(town(&vec!["Ben"; MANY]));
        letters.update(&agents);
        assert_eq!((letters.of(&agents[1]), letters.of(&agents[2])), ('A', 'B'));
    }
}
