//! The drawn orders: every command of the town's table of commands, in and out of season.
//!
//! A row a kind: a command the town learns does not compile here until it has one. What an order should do is not known
//! here.

use townlet_town::affordances::ITEMS;
use townlet_town::economy::MAX_MONEY;
use townlet_town::ids::{PlaceId, Tile};
use townlet_town::needs::NEED_COUNT;
use townlet_town::options::OPTIONS;
use townlet_town::perturbations::PERTURBATIONS;
use townlet_town::state::ASPECTS;
use townlet_town::state::Activity;
use townlet_town::{AgentId, Command, Micro, ResidentId, Town};

use crate::prng::Prng;

/// One kind of command.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    draw: fn(&mut Prng, &Town) -> Command,
}

macro_rules! kinds {
    ($($name:ident: $draw:expr,)+) => {
        /// THE table of kinds, one for each variant of [`Command`].
        pub(crate) static KINDS: &[Kind] = &[$(Kind { name: stringify!($name), draw: $draw }),+];

        /// The row of a command.
        pub(crate) fn kind(command: &Command) -> usize {
            let name = match command { $(Command::$name { .. } => stringify!($name)),+ };
            KINDS.iter().position(|kind| kind.name == name).expect("every arm is a row")
        }
    };
}

kinds! {
    ExitRequest: |luck, town| Command::ExitRequest { who: who(luck, town) },
    ExitApprove: |luck, town| Command::ExitApprove { who: waits_to_leave(luck, town) },
    ExitDefer: |luck, town| Command::ExitDefer { who: waits_to_leave(luck, town) },
    Spawn: |_, _| Command::Spawn,
    Teleport: |luck, town| Command::Teleport { who: busy(luck, town), tile: tile(luck, town) },
    SetNeed: |luck, town| Command::SetNeed {
        who: who(luck, town),
        need: luck.below(NEED_COUNT as u32 + 1) as u8,
        value: Micro(i64::from(luck.below(1_200_000)) - 100_000),
    },
    SetMoney: |luck, town| Command::SetMoney { who: who(luck, town), value: money(luck) },
    SetPrice: |luck, _| Command::SetPrice { item: luck.below(ITEMS.len() as u32 + 1) as u8, value: money(luck) },
    Possess: |luck, town| Command::Possess { who: who(luck, town), option: luck.pick(&OPTIONS).0 },
    Release: |luck, town| Command::Release { who: possessed(luck, town) },
    Kill: |luck, town| Command::Kill { who: busy(luck, town) },
    Mortality: |luck, _| Command::Mortality(luck.once_in(2)),
    ExitCap: |luck, _| Command::ExitCap(luck.below(6)),
    SpawnDelay: |luck, _| Command::SpawnDelay(luck.below(40), luck.below(60)),
    Perturb: |luck, _| Command::Perturb { kind: luck.below(PERTURBATIONS.len() as u32 + 1) as u8, on: luck.once_in(2) },
    QueueFairness: |luck, _| Command::QueueFairness(luck.once_in(2)),
    Trigger: |luck, town| Command::Trigger {
        event: event(luck, town),
        duration: luck.once_in(2).then(|| luck.below(160)),
        magnitude: luck.once_in(3).then(|| Micro(i64::from(luck.below(10_500_000)))),
    },
    Cancel: |luck, town| Command::Cancel { event: event(luck, town) },
    Perturbations: |luck, _| Command::Perturbations(luck.once_in(2)),
    ArrangeMeet: |luck, town| Command::ArrangeMeet {
        who: who(luck, town),
        other: who(luck, town),
        place: PlaceId(luck.below(town.rules().plan.places.len() as u32 + 1) as u16),
    },
    SetRel: |luck, town| Command::SetRel {
        who: who(luck, town),
        other: who(luck, town),
        aspect: luck.below(ASPECTS.len() as u32 + 1) as u8,
        value: Micro(i64::from(luck.below(2_100_000)) - 1_050_000),
    },
    ForceChat: |luck, town| Command::ForceChat { who: who(luck, town), other: who(luck, town) },
}

/// What is ordered before a tick: mostly nothing, now and then a few things at once, sometimes a crowd of newcomers.
pub(crate) fn before_tick(luck: &mut Prng, town: &Town, orders: &mut Vec<Command>) {
    orders.clear();
    if luck.once_in(250) {
        orders.extend((0..luck.within(3, 12)).map(|_| Command::Spawn));
    }
    if luck.once_in(12) {
        orders.extend((0..luck.within(1, 4)).map(|_| {
            let kind = luck.pick(KINDS);
            (kind.draw)(luck, town)
        }));
    }
    // The moment in which a cut hurts most: somebody is in the middle of what needs it.
    if luck.once_in(60)
        && let Some(kind) = in_the_middle(town)
    {
        orders.push(Command::Perturb { kind, on: true });
    }
    if luck.once_in(50) {
        orders.push(Command::Perturb { kind: luck.below(2) as u8, on: false });
    }
}

/// The cut that would hit somebody's use of a thing: power or water.
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

/// Somebody who lives there, or now and then one of the past, of the future or of nowhere.
fn who(luck: &mut Prng, town: &Town) -> ResidentId {
    match luck.below(12) {
        0 => ResidentId(luck.below(town.state().lifecycle.next_resident + 2)),
        1 => ResidentId(u32::MAX),
        _ => of(luck, town, |_| true),
    }
}

/// One of those present of whom it is true; anybody when it is of none.
fn of(luck: &mut Prng, town: &Town, wanted: impl Fn(AgentId) -> bool) -> ResidentId {
    let agents = &town.state().agents;
    let picked: Vec<AgentId> = agents.present.iter().copied().filter(|agent| wanted(*agent)).collect();
    let from = if picked.is_empty() { &agents.present } else { &picked };
    if from.is_empty() { ResidentId(0) } else { agents.resident[*luck.pick(from)] }
}

/// Preferably somebody who holds, uses or waits for something.
fn busy(luck: &mut Prng, town: &Town) -> ResidentId {
    let busy = |agent: AgentId| !matches!(town.state().agents.activity[agent], Activity::Idle | Activity::Walking(..));
    if luck.once_in(3) { who(luck, town) } else { of(luck, town, busy) }
}

fn possessed(luck: &mut Prng, town: &Town) -> ResidentId {
    of(luck, town, |agent| town.state().agents.possessed[agent])
}

fn waits_to_leave(luck: &mut Prng, town: &Town) -> ResidentId {
    of(luck, town, |agent| town.state().employment.entry(agent).is_some())
}

fn tile(luck: &mut Prng, town: &Town) -> Tile {
    let plan = &town.rules().plan;
    // Objects and the ways to them are where it gets crowded.
    if luck.once_in(2) {
        let objects: Vec<Tile> = plan.objects().map(|(_, object)| object.tile).collect();
        return *luck.pick(&objects);
    }
    Tile(luck.below(plan.width * plan.height + 3))
}

fn money(luck: &mut Prng) -> Micro {
    match luck.below(20) {
        0 => Micro(-1),
        1 => MAX_MONEY,
        2 => Micro(MAX_MONEY.0 + 1),
        3 => Micro::ZERO,
        _ => Micro(i64::from(luck.below(6_000_000))),
    }
}

fn event(luck: &mut Prng, town: &Town) -> u16 {
    luck.below(town.rules().perturbation_events.len() as u32 + 1) as u16
}
