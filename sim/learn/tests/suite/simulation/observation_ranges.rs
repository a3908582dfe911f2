//! Observations lie within their rows' ranges in every variant, and the variants agree.

use townlet_town::Town;
use townlet_town::observations::{FEATURES, Layout, VARIANTS, layout};

use super::{CheckResult, ensure};

/// The latest observations, one block per variant.
#[derive(Default)]
pub(crate) struct ObservationCheck {
    seen: [Vec<f32>; VARIANTS.len()],
}

impl ObservationCheck {
    /// Observes every resident in every variant.
    pub(crate) fn check(&mut self, town: &Town) -> CheckResult {
        let people = town.state().agents.present.len();
        for (row, seen) in VARIANTS.iter().zip(&mut self.seen) {
            let layout = layout(row.0);
            seen.clear();
            seen.resize((people + 1) * layout.width, f32::NAN);
            ensure!(layout.observe_all(town, seen) == people, "observations: residents are missing");
            within(layout, seen, people)?;
            let rest = &seen[people * layout.width..];
            ensure!(rest.iter().all(|value| *value == 0.0), "observations: the rest of the buffer is not cleared");
        }
        self.alike(people)
    }

    /// Rows that two variants share are equal bit by bit.
    fn alike(&self, people: usize) -> CheckResult {
        let all = || VARIANTS.iter().map(|row| layout(row.0)).zip(&self.seen);
        for row in &FEATURES {
            let mut shown = all().filter_map(|(layout, seen)| Some((layout, seen, layout.feature(row.name)?.offset)));
            let Some((first, reported, from)) = shown.next() else { continue };
            for (other, seen, at) in shown {
                for person in 0..people {
                    let one = &reported[person * first.width + from..][..row.length];
                    let two = &seen[person * other.width + at..][..row.length];
                    let same = one.iter().zip(two).all(|(one, two)| one.to_bits() == two.to_bits());
                    ensure!(same, "observations: {} is {one:?} in {}, {two:?} in {}", row.name, first.name, other.name);
                }
            }
        }
        Ok(())
    }
}

fn within(layout: &Layout, seen: &[f32], people: usize) -> CheckResult {
    for placed in &layout.features {
        let [least, most] = placed.feature.range;
        for person in 0..people {
            let values = &seen[person * layout.width + placed.offset..][..placed.feature.length];
            // NaN is in no range.
            let fits = values.iter().all(|value| (least..=most).contains(value));
            ensure!(fits, "observations: {} of {} is {values:?}", placed.feature.name, layout.name);
        }
    }
    Ok(())
}
