//! Names of residents: a fixed list, reused with a number from the second round on.

use crate::ids::ResidentId;

const NAMES: [&str; 96] = [
    "Ada", "Ben", "Cleo", "Dov", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jon", "Kaya", "Leo", "Mina", "Nils", "Oona",
    "Paul", "Quin", "Rosa", "Sami", "Tess", "Udo", "Vera", "Wim", "Xena", "Yara", "Zeno", "Alma", "Bram", "Cora",
    "Dina", "Emil", "Faye", "Gus", "Hana", "Ivo", "Jade", "Kurt", "Lina", "Milo", "Nora", "Otto", "Pia", "Rafe",
    "Sana", "Theo", "Uma", "Vito", "Wren", "Yves", "Zora", "Arlo", "Bea", "Carl", "Dora", "Enzo", "Flora", "Gil",
    "Hedy", "Igor", "Juno", "Kim", "Lars", "Maud", "Nico", "Olga", "Piet", "Ruth", "Sven", "Tara", "Ugo", "Viola",
    "Walt", "Yusuf", "Zita", "Abel", "Britt", "Ciro", "Demi", "Esra", "Falk", "Greta", "Hal", "Ilse", "Jens", "Kira",
    "Lotte", "Marek", "Neva", "Olaf", "Petra", "Rune", "Selma", "Tilo", "Ulla", "Vaclav", "Wanda",
];

/// The display name, such as `Ada`, or `Ada-2` in the second round.
pub fn name(resident: ResidentId) -> String {
    let (round, index) = (resident.0 as usize / NAMES.len(), resident.0 as usize % NAMES.len());
    if round == 0 { NAMES[index].to_owned() } else { format!("{}-{}", NAMES[index], round + 1) }
}

/// The id in commands and logs, such as `ada` or `ada-2`.
pub fn id(resident: ResidentId) -> String {
    name(resident).to_lowercase()
}

/// The resident of a name or id in any case, whether or not it ever arrived.
pub fn resident(text: &str) -> Option<ResidentId> {
    let (base, round) = match text.rsplit_once('-') {
        Some((base, round)) => {
            (base, round.parse::<u32>().ok().filter(|number| *number > 1 && !round.starts_with('+'))?)
        }
        None => (text, 1),
    };
    let index = NAMES.iter().position(|name| name.eq_ignore_ascii_case(base))? as u32;
    (round - 1).checked_mul(NAMES.len() as u32)?.checked_add(index).map(ResidentId)
}

/// The ids of the first round, for suggestions after a misspelt name.
pub fn ids() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_resolve_to_their_resident() {
        let ids: std::collections::BTreeSet<String> = (0..1_000).map(|n| id(ResidentId(n))).collect();
        assert_eq!(ids.len(), 1_000);
        assert_eq!(id(ResidentId(96)), "ada-2");
        assert!((0..1_000).all(|n| resident(&id(ResidentId(n))) == Some(ResidentId(n))));
        assert_eq!(resident("ADA-2"), Some(ResidentId(96)));
        assert_eq!(["nobody", "ada-1", "ada-x", "ada-", "ada-+2", "ada-2-2", ""].map(resident), [None; 7]);
    }
}
