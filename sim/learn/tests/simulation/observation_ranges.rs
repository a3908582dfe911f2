//! What everybody sees, in every variant and after every tick: numbers within their rows' ranges, and the variants at one.
//!
//! Goes by the table of rows alone; what a row means is not known here.

use townlet_town::Town;
use townlet_town::observations::{FEATURES, Layout, VARIANTS, layout};

use crate::{Held, hold};

/// What was seen last, one block a variant.
#[derive(Default)]
pub(crate) struct ObservationCheck {
    seen: [Vec<f32>; VARIANTS.len()],
}

impl ObservationCheck {
    /// Looks at the town through everybody's eyes.
    pub(crate) fn look(&mut self, town: &Town) -> Held {
        let people = town.state().agents.present.len();
        for (row, seen) in VARIANTS.iter().zip(&mut self.seen) {
            let layout = layout(row.0);
            seen.clear();
            seen.resize((people + 1) * layout.width, f32::NAN);
            hold!(layout.observe_all(town, seen) == people, "observations: not everybody was asked");
            within(layout, seen, people)?;
            let rest = &seen[people * layout.width..];
            hold!(rest.iter().all(|value| *value == 0.0), "observations: something of nobody is left");
        }
        self.alike(people)
    }

    /// What two variants both say they say alike, bit by bit.
    fn alike(&self, people: usize) -> Held {
        let all = || VARIANTS.iter().map(|row| layout(row.0)).zip(&self.seen);
        for row in &FEATURES {
            let mut shown = all().filter_map(|(layout, seen)| Some((layout, seen, layout.feature(row.name)?.offset)));
            let Some((first, told, from)) = shown.next() else { continue };
            for (other, seen, at) in shown {
                for person in 0..people {
                    let one = &told[person * first.width + from..][..row.length];
                    let two = &seen[person * other.width + at..][..row.length];
                    let same = one.iter().zip(two).all(|(one, two)| one.to_bits() == two.to_bits());
                    hold!(same, "observations: {} is {one:?} in {}, {two:?} in {}", row.name, first.name, other.name);
                }
            }
        }
        Ok(())
    }
}

fn within(layout: &Layout, seen: &[f32], people: usize) -> Held {
    for placed in &layout.features {
        let [least, most] = placed.feature.range;
        for person in 0..people {
            let values = &seen[person * layout.width + placed.offset..][..placed.feature.length];
            // What is no number is within no range.
            let fits = values.iter().all(|value| (least..=most).contains(value));
            hold!(fits, "observations: {} of {} is {values:?}", placed.feature.name, layout.name);
        }
    }
    Ok(())
}
