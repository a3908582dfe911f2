//! Personality traits. They follow from the resident's identity alone, so the state does not hold them, and they are spread
//! evenly over all residents. Rule: "Residents and ties".

use crate::fixed_point::Micro;
use crate::ids::ResidentId;

/// Traits, each in [−1, 1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Personality {
    /// Raises the chance of a good chat.
    pub extroversion: Micro,
    /// Reduces rivalry.
    pub forgiveness: Micro,
    /// Attitude to work.
    pub ambition: Micro,
}

/// Names of the traits, in the order of [`Personality::all`].
pub const TRAITS: [&str; 3] = ["extroversion", "forgiveness", "ambition"];

/// Steps of the additive recurrence as fractions of 2³²: powers of 1/g, where g⁴ = g + 1. It fills the three-dimensional cube
/// more evenly than any other known choice, whatever the number of residents.
const STEPS: [u32; 3] = [3_518_319_155, 2_882_110_345, 2_360_945_575];

/// The personality of a resident.
pub fn personality(who: ResidentId) -> Personality {
    let [extroversion, forgiveness, ambition] = STEPS.map(|step| {
        let fraction = step.wrapping_mul(who.0.wrapping_add(1)).wrapping_add(1 << 31);
        Micro(((i64::from(fraction) * 2_000_001) >> 32) - 1_000_000)
    });
    Personality { extroversion, forgiveness, ambition }
}

impl Personality {
    /// The traits in the order of [`TRAITS`].
    pub const fn all(self) -> [Micro; 3] {
        [self.extroversion, self.forgiveness, self.ambition]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traits_stay_in_range_and_differ() {
        let all: Vec<[Micro; 3]> = (0..1_000).map(|who| personality(ResidentId(who)).all()).collect();
        assert!(all.iter().flatten().all(|value| (-Micro::ONE..=Micro::ONE).contains(value)));
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(personality(ResidentId(u32::MAX)).all().iter().all(|value| value.0.abs() <= 1_000_000));
    }

    /// Every octant has its share for few residents and for many.
    #[test]
    fn residents_are_spread_evenly() {
        for (count, least) in [(16, 1), (64, 4), (800, 90)] {
            let mut octants = [0; 8];
            for who in 0..count {
                let sides = personality(ResidentId(who)).all().map(|value| usize::from(value > Micro::ZERO));
                octants[sides[0] + 2 * sides[1] + 4 * sides[2]] += 1;
            }
            assert!(octants.iter().all(|people| *people >= least), "{count} residents: {octants:?}");
        }
    }
}
