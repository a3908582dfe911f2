//! Random commands of every kind, valid and invalid. A new command does not compile here until it has a row.

use townlet_town::affordances::ITEMS;
use townlet_town::economy::MAX_MONEY;
use townlet_town::ids::{PlaceId, Tile};
use townlet_town::needs::NEED_COUNT;
use townlet_town::options::OPTIONS;
use townlet_town::perturbations::PERTURBATIONS;
use townlet_town::state::ASPECTS;
use townlet_town::state::Activity;
use townlet_town::{AgentId, Command, Micro, ResidentId, Town};

use super::prng::Prng;

/// A kind of command.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    draw: fn(&mut Prng, &Town) -> Command,
}

macro_rules! kinds {
    ($($name:ident: $draw:expr,)+) => {
        /// The table of kinds, one per variant of [`Command`].
        pub(crate) static KINDS: &[Kind] = &[$(Kind { name: stringify!($name), draw: $draw }),+];

        /// The index of a command's kind.
        pub(crate) fn kind(command: &Command) -> usize {
            let name = match command { $(Command::$name { .. } => stringify!($name)),+ };
            KINDS.iter().position(|kind| kind.name == name).expect("every variant has a row")
        }
    };
}

kinds! {
    ExitRequest: |prng, town| Command::ExitRequest { who: who(prng, town) },
    ExitApprove: |prng, town| Command::ExitApprove { who: waits_to_leave(prng, town) },
    ExitDefer: |prng, town| Command::ExitDefer { who: waits_to_leave(prng, town) },
    Spawn: |_, _| Command::Spawn,
    Teleport: |prng, town| Command::Teleport { who: busy(prng, town), tile: tile(prng, town) },
    SetNeed: |prng, town| Command::SetNeed {
        who: who(prng, town),
        need: prng.below(NEED_COUNT as u32 + 1) as u8,
        value: Micro(i64::from(prng.below(1_200_000)) - 100_000),
    },
    SetMoney: |prng, town| Command::SetMoney { who: who(prng, town), value: money(prng) },
    SetPrice: |prng, _| Command::SetPrice { item: prng.below(ITEMS.len() as u32 + 1) as u8, value: money(prng) },
    Possess: |prng, town| Command::Possess { who: who(prng, town), option: prng.pick(&OPTIONS).0 },
    Release: |prng, town| Command::Release { who: possessed(prng, town) },
    Kill: |prng, town| Command::Kill { who: busy(prng, town) },
    Mortality: |prng, _| Command::Mortality(prng.once_in(2)),
    ExitCap: |prng, _| Command::ExitCap(prng.below(6)),
    SpawnDelay: |prng, _| Command::SpawnDelay(prng.below(40), prng.below(60)),
    Perturb: |prng, _| Command::Perturb { kind: prng.below(PERTURBATIONS.len() as u32 + 1) as u8, on: prng.once_in(2) },
    QueueFairness: |prng, _| Command::QueueFairness(prng.once_in(2)),
    Trigger: |prng, town| Command::Trigger {
        event: event(prng, town),
        duration: prng.once_in(2).then(|| prng.below(160)),
        magnitude: prng.once_in(3).then(|| Micro(i64::from(prng.below(10_500_000)))),
    },
    Cancel: |prng, town| Command::Cancel { event: event(prng, town) },
    Perturbations: |prng, _| Command::Perturbations(prng.once_in(2)),
    ArrangeMeet: |prng, town| Command::ArrangeMeet {
        who: who(prng, town),
        other: who(prng, town),
        place: PlaceId(prng.below(town.rules().plan.places.len() as u32 + 1) as u16),
    },
    SetRel: |prng, town| Command::SetRel {
        who: who(prng, town),
        other: who(prng, town),
        aspect: prng.below(ASPECTS.len() as u32 + 1) as u8,
        value: Micro(i64::from(prng.below(2_100_000)) - 1_050_000),
    },
    ForceChat: |prng, town| Command::ForceChat { who: who(prng, town), other: who(prng, town) },
}

/// Draws the commands before a tick: usually none, sometimes several, rarely many newcomers.
pub(crate) fn before_tick(prng: &mut Prng, town: &Town, commands: &mut Vec<Command>) {
    commands.clear();
    if prng.once_in(250) {
        commands.extend((0..prng.within(3, 12)).map(|_| Command::Spawn));
    }
    if prng.once_in(12) {
        commands.extend((0..prng.within(1, 4)).map(|_| {
            let kind = prng.pick(KINDS);
            (kind.draw)(prng, town)
        }));
    }
    // Outages are most likely to break something while a resident uses the utility.
    if prng.once_in(60)
        && let Some(kind) = in_the_middle(town)
    {
        commands.push(Command::Perturb { kind, on: true });
    }
    if prng.once_in(50) {
        commands.push(Command::Perturb { kind: prng.below(2) as u8, on: false });
    }
}

/// The outage that would interrupt a resident's use: power or water.
fn in_the_middle(town: &Town) -> Option<u8> {
    let agents = &town.state().agents;
    agents.present.iter().find_map(|agent| match agents.activity[*agent] {
        Activity::Using(_, affordance, _) => {
            let what = &town.rules().affordances[affordance];
            what.power.then_some(0).or(what.water.then_some(1))
        }
        _ => None,
    })
}

/// Usually a present resident, sometimes a past, future or unknown one.
fn who(prng: &mut Prng, town: &Town) -> ResidentId {
    match prng.below(12) {
        0 => ResidentId(prng.below(town.state().lifecycle.next_resident + 2)),
        1 => ResidentId(u32::MAX),
        _ => of(prng, town, |_| true),
    }
}

/// A present resident who satisfies `wanted`, or any when there is none.
fn of(prng: &mut Prng, town: &Town, wanted: impl Fn(AgentId) -> bool) -> ResidentId {
    let agents = &town.state().agents;
    let picked: Vec<AgentId> = agents.present.iter().copied().filter(|agent| wanted(*agent)).collect();
    let from = if picked.is_empty() { &agents.present } else { &picked };
    if from.is_empty() { ResidentId(0) } else { agents.resident[*prng.pick(from)] }
}

/// Preferably a resident who reserves, uses or waits for something.
fn busy(prng: &mut Prng, town: &Town) -> ResidentId {
    let busy = |agent: AgentId| !matches!(town.state().agents.activity[agent], Activity::Idle | Activity::Walking(..));
    if prng.once_in(3) { who(prng, town) } else { of(prng, town, busy) }
}

fn possessed(prng: &mut Prng, town: &Town) -> ResidentId {
    of(prng, town, |agent| town.state().agents.possessed[agent])
}

fn waits_to_leave(prng: &mut Prng, town: &Town) -> ResidentId {
    of(prng, town, |agent| town.state().employment.entry(agent).is_some())
}

fn tile(prng: &mut Prng, town: &Town) -> Tile {
    let plan = &town.rules().plan;
    // Most conflicts happen at objects.
    if prng.once_in(2) {
        let objects: Vec<Tile> = plan.objects().map(|(_, object)| object.tile).collect();
        return *prng.pick(&objects);
    }
    Tile(prng.below(plan.width * plan.height + 3))
}

fn money(prng: &mut Prng) -> Micro {
    match prng.below(20) {
        0 => Micro(-1),
        1 => MAX_MONEY,
        2 => Micro(MAX_MONEY.0 + 1),
        3 => Micro::ZERO,
        _ => Micro(i64::from(prng.below(6_000_000))),
    }
}

fn event(prng: &mut Prng, town: &Town) -> String {
    let events = &town.rules().perturbation_events;
    let row = prng.below(events.len() as u32 + 1) as usize;
    events.get(row).map_or_else(|| "nothing".into(), |event| event.name.clone())
}
