//! Towns of a thousand residents who decide by observations that one, two and three threads write: the digest of every tick is the
//! same, over commands of each kind, exits and arrivals, and over snapshots.

use townlet_learn::update_observations;
use townlet_town::config::Observations;
use townlet_town::observations::{ObservationBuffer, layout};
use townlet_town::options::OPTIONS;
use townlet_town::{Command, Decider, EventKind, OptionKind, Policy, Town, snapshot};

use crate::golden_digests::{STRESS, town};
use crate::golden_observations::{CHECKSUM_START, add};
use crate::is_soak;
use crate::simulation::prng::Prng;
use crate::simulation::random_commands;

/// Ticks, and those of a soak.
const TICKS: [u64; 2] = [60, 3_000];
/// Ticks between two snapshots of the town that is saved and loaded on the way.
const SNAPSHOT_TICKS: u64 = 20;

/// Draws an option of the mask from the values of the resident's row, so that another value leads to another town.
struct DecideByRow {
    threads: usize,
    rows: ObservationBuffer,
    /// Checksum of all rows so far.
    seen: u64,
}

impl DecideByRow {
    fn new(threads: usize) -> Self {
        Self { threads, rows: ObservationBuffer::new(layout(Observations::Full)), seen: CHECKSUM_START }
    }
}

impl Policy for DecideByRow {
    fn decide(&mut self, town: &Town, deciders: &[Decider], choices: &mut Vec<OptionKind>) {
        let (present, width) = (&town.state().agents.present, self.rows.layout().width);
        let rows = update_observations(&mut self.rows, town, crate::threads(self.threads));
        add(&mut self.seen, rows);
        for decider in deciders {
            let row = present.binary_search(&decider.agent).expect("deciders are present");
            let mut sum = CHECKSUM_START;
            add(&mut sum, &rows[row * width..(row + 1) * width]);
            let allowed = || OPTIONS.iter().map(|row| row.0).filter(|option| decider.mask.allows(*option));
            choices.push(allowed().nth((sum % allowed().count() as u64) as usize).expect("waiting is allowed"));
        }
    }
}

#[test]
fn thousand_residents_have_the_same_digests_on_one_two_and_three_threads() {
    // The last one is saved and loaded on the way.
    let mut towns = [1, 2, 3, 2].map(|threads| (town(STRESS), DecideByRow::new(threads)));
    let (mut prng, mut commands) = (Prng::new(11), Vec::new());
    let (mut accepted, mut left, mut came) = (0, 0, 0);
    while towns[0].0.tick() < TICKS[usize::from(is_soak())] {
        random_commands::before_tick(&mut prng, &towns[0].0, &mut commands);
        if prng.once_in(5) {
            let agents = &towns[0].0.state().agents;
            commands.push(Command::Kill { who: agents.resident[*prng.pick(&agents.present)] });
            commands.push(Command::Spawn);
        }
        for (town, policy) in &mut towns {
            town.clear_events();
            accepted += commands.iter().filter(|command| town.apply(command).is_ok()).count();
            town.step(policy);
        }
        for event in towns[0].0.events() {
            left += u32::from(matches!(event.kind, EventKind::ResidentLeft { .. }));
            came += u32::from(matches!(event.kind, EventKind::ResidentArrived { .. }));
        }
        let [(town, policy), others @ ..] = &towns;
        for (other, with) in others {
            let what = format!("tick {}, {} threads", town.tick(), with.threads);
            assert_eq!((other.digest(), with.seen), (town.digest(), policy.seen), "{what}");
        }
        let (saved, _) = &mut towns[3];
        if saved.tick().is_multiple_of(SNAPSHOT_TICKS) {
            *saved = snapshot::load(&snapshot::save(saved)).expect("it was just saved");
        }
    }
    assert!(accepted > 0 && left > 0 && came > 0, "{accepted} commands, {left} exits, {came} arrivals");
}
