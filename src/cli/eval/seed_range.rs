//! The seeds of an evaluation: `--seeds` as a number of towns, a range or the beginning of a set, and the set they belong to.
//!
//! Rule: "Seeds".

use anyhow::{Result, bail, ensure};
use townlet_learn::evaluate::Span;
use townlet_learn::seeds::SeedSet;

/// Limit on the days of all towns together, so that the records take a few hundred megabytes at most.
const MAX_TOWN_DAYS: u64 = 500_000;
/// Most towns of `--seeds`.
const MAX_TOWNS: u64 = 100_000;
/// Added to every report on selection seeds, because policies and their settings are chosen on them.
pub(super) const NO_CLAIM: &str = "selection seeds: not a claim";

/// The value of `--seeds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeedsArg {
    /// This many, from `--seed` on.
    Count(u64),
    /// From the first up to the second, without the second.
    Range(u64, u64),
    /// The first ones of a set.
    FirstOf(SeedSet, u64),
}

impl SeedsArg {
    /// Parses `20`, `5001..5021` or `selection:20`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no whole number; {FORMS}"));
        let arg = if let Some((first, end)) = text.split_once("..") {
            Self::Range(number(first)?, number(end)?)
        } else if let Some((set, count)) = text.split_once(':') {
            let set = SeedSet::ALL.into_iter().find(|known| known.name() == set);
            Self::FirstOf(set.ok_or(format!("the sets are test, selection and training; {FORMS}"))?, number(count)?)
        } else {
            Self::Count(number(text)?)
        };
        match arg.count() {
            0 => Err(format!("it holds no seed; {FORMS}")),
            1..=MAX_TOWNS => Ok(arg),
            more => Err(format!("it holds {more} seeds; at most {MAX_TOWNS}")),
        }
    }

    const fn count(self) -> u64 {
        match self {
            Self::Count(count) | Self::FirstOf(_, count) => count,
            Self::Range(first, end) => end.saturating_sub(first),
        }
    }
}

const FORMS: &str = "give a number such as 20, a range such as 5001..5021 (without its end), or selection:20";

/// Seeds of one set, for a number of days each.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeedRange {
    pub(super) span: Span,
    pub(super) set: SeedSet,
}

impl SeedRange {
    /// The seeds of `--seed` and `--seeds`, for `days` in each of `towns` towns.
    pub(super) fn new(seed: Option<u64>, seeds: SeedsArg, days: u64, towns: usize) -> Result<Self> {
        let count = seeds.count();
        let first = match seeds {
            SeedsArg::Count(_) => seed.unwrap_or(1),
            SeedsArg::Range(first, _) => first,
            SeedsArg::FirstOf(set, _) => set.range().start,
        };
        if let (Some(seed), SeedsArg::Range(..) | SeedsArg::FirstOf(..)) = (seed, seeds) {
            bail!("--seed {seed}: --seeds already says the first seed, {first}. Leave one of them out.");
        }
        let all = count * towns as u64 * days;
        ensure!(
            all <= MAX_TOWN_DAYS,
            "--seeds: {count} seeds of --days {days} in {towns} {} are {all} days; at most {MAX_TOWN_DAYS} fit in memory.",
            if towns == 1 { "town" } else { "towns" }
        );
        let set = one_set(first, first.saturating_add(count - 1))?;
        Ok(Self { span: Span { seed: first, seeds: count as usize, days: days as usize }, set })
    }

    /// The last seed.
    pub(super) const fn last(&self) -> u64 {
        self.span.seed + self.span.seeds as u64 - 1
    }

    /// What must be said beside every figure on these seeds.
    pub(super) fn note(&self) -> Option<&'static str> {
        (self.set == SeedSet::Selection).then_some(NO_CLAIM)
    }
}

/// The set that holds all seeds of a range.
fn one_set(first: u64, last: u64) -> Result<SeedSet> {
    let (test, selection) = (SeedSet::Test.range(), SeedSet::Selection.range());
    let sets = format!("Test seeds are below {}, selection seeds from there to {}.", test.end, selection.end - 1);
    match [first, last].map(SeedSet::of) {
        [Some(SeedSet::Training), _] | [_, Some(SeedSet::Training)] => {
            bail!("seeds {first} to {last}: policies are trained on seeds from {} on. {sets}", selection.end)
        }
        [Some(set), Some(other)] if set == other => Ok(set),
        [Some(_), Some(_)] => bail!("seeds {first} to {last} mix two sets, each of which serves one thing. {sets}"),
        _ => bail!("seeds {first} to {last}: the last seed is {}. {sets}", SeedSet::Training.range().end - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_a_range_or_the_first_of_a_set() {
        assert_eq!(SeedsArg::parse("20"), Ok(SeedsArg::Count(20)));
        assert_eq!(SeedsArg::parse("7..9"), Ok(SeedsArg::Range(7, 9)));
        assert_eq!(SeedsArg::parse("selection:3"), Ok(SeedsArg::FirstOf(SeedSet::Selection, 3)));
        for text in ["0", "9..9", "9..7", "100001", "0..100001", "many", "1..", "..2", "selecton:3", "test:", "-1"] {
            assert!(SeedsArg::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_lies_in_one_set_and_selection_seeds_are_no_claim() {
        let range = |text: &str| SeedRange::new(None, SeedsArg::parse(text).expect(text), 10, 1);
        let of = |text: &str| range(text).map(|it| (it.set, it.note(), it.last())).expect(text);
        assert_eq!(of("5001..5021"), (SeedSet::Test, None, 5020));
        assert_eq!(of("selection:5"), (SeedSet::Selection, Some(NO_CLAIM), (1 << 51) + 4));
        let why = |text: &str| range(text).expect_err(text).to_string();
        let (test, selection, training) = (1_u64 << 51, 1_u64 << 52, 1_u64 << 53);
        assert!(why(&format!("{}..{}", test - 1, test + 1)).contains("mix two sets"));
        assert!(why(&format!("{}..{}", selection - 1, selection + 1)).contains("trained"));
        assert!(why("training:2").contains("trained"));
        assert!(why(&format!("{training}..{}", training + 1)).contains("the last seed is"));
    }

    #[test]
    fn memory_is_bounded_over_all_towns() {
        let arg = SeedsArg::Count(1_000);
        assert!(SeedRange::new(None, arg, 10, 50).is_ok());
        let why = SeedRange::new(None, arg, 10, 51).expect_err("too many days").to_string();
        assert!(why.contains("510000 days"), "{why}");
    }
}
