//! What residents are called: a fixed list, used round and round with a number behind from the second round on.

use crate::ids::Resident;

const NAMES: [&str; 96] = [
    "Ada", "Ben", "Cleo", "Dov", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jon", "Kaya", "Leo", "Mina", "Nils", "Oona",
    "Paul", "Quin", "Rosa", "Sami", "Tess", "Udo", "Vera", "Wim", "Xena", "Yara", "Zeno", "Alma", "Bram", "Cora",
    "Dina", "Emil", "Faye", "Gus", "Hana", "Ivo", "Jade", "Kurt", "Lina", "Milo", "Nora", "Otto", "Pia", "Rafe",
    "Sana", "Theo", "Uma", "Vito", "Wren", "Yves", "Zora", "Arlo", "Bea", "Carl", "Dora", "Enzo", "Flora", "Gil",
    "Hedy", "Igor", "Juno", "Kim", "Lars", "Maud", "Nico", "Olga", "Piet", "Ruth", "Sven", "Tara", "Ugo", "Viola",
    "Walt", "Yusuf", "Zita", "Abel", "Britt", "Ciro", "Demi", "Esra", "Falk", "Greta", "Hal", "Ilse", "Jens", "Kira",
    "Lotte", "Marek", "Neva", "Olaf", "Petra", "Rune", "Selma", "Tilo", "Ulla", "Vaclav", "Wanda",
];

/// As shown: `Ada`, in the second round `Ada-2`.
pub fn name(resident: Resident) -> String {
    let (round, index) = (resident.0 as usize / NAMES.len(), resident.0 as usize % NAMES.len());
    if round == 0 { NAMES[index].to_owned() } else { format!("{}-{}", NAMES[index], round + 1) }
}

/// As typed and written to logs: `ada`, `ada-2`.
pub fn id(resident: Resident) -> String {
    name(resident).to_lowercase()
}

/// Whether somebody could ever be called so: a name of the list, from the second round on with its number.
pub fn is_possible(id: &str) -> bool {
    let (name, round) = id.split_once('-').map_or((id, None), |(name, round)| (name, Some(round)));
    let round =
        round.is_none_or(|round| round.parse::<u32>().is_ok_and(|number| number >= 2 && !round.starts_with('+')));
    round && NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Every name of the list, as typed, for the nearest one to a misspelt name.
pub fn ids() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_shares_an_id() {
        let ids: std::collections::BTreeSet<String> = (0..1_000).map(|n| id(Resident(n))).collect();
        assert_eq!(ids.len(), 1_000);
        assert_eq!(id(Resident(96)), "ada-2");
        assert!((0..1_000).all(|n| is_possible(&id(Resident(n)))));
        assert!(["nobody", "ada-1", "ada-x", "", "ada-2-2"].iter().all(|id| !is_possible(id)));
    }
}
