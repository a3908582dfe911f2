//! Which letter stands for which resident on the map.
//!
//! The first letter of the name where it is free, another letter of the name where it is not. A letter stays with its
//! resident until they leave: whoever comes later gives way, so that a map one has learnt to read stays readable.

use std::collections::{BTreeMap, BTreeSet};

use unicode_width::UnicodeWidthChar;

use townlet_wire::telemetry::Agent;

/// Shown for a name without any letter.
const NO_LETTER: char = '@';

/// ResidentLetters by agent id.
#[derive(Debug, Default)]
pub(super) struct ResidentLetters {
    by_id: BTreeMap<String, char>,
}

impl ResidentLetters {
    /// Gives newcomers a letter and takes back those of the departed.
    pub(super) fn update(&mut self, agents: &[Agent]) {
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

    /// The letter of a resident.
    pub(super) fn of(&self, id: &str) -> char {
        self.by_id.get(id).copied().unwrap_or(NO_LETTER)
    }
}

/// Capitals of the name in order, then its small letters; when all are taken, the first again (colour and the list
/// beside the map tell the two apart).
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
        letters.update(&town(&["Ada", "Anna", "Adan", "Ad", "山", "7"]));
        let seen: String = ["ada", "anna", "adan", "ad", "山", "7"].map(|id| letters.of(id)).iter().collect();
        assert_eq!(seen, "ANDa@@");
    }

    #[test]
    fn a_letter_stays_when_others_come_and_go() {
        let mut letters = ResidentLetters::default();
        letters.update(&town(&["Ada", "Anna"]));
        letters.update(&town(&["Anna"]));
        assert_eq!(letters.of("anna"), 'N');
        letters.update(&town(&["Axel", "Anna"]));
        assert_eq!((letters.of("axel"), letters.of("anna")), ('A', 'N'));
    }
}
