//! Invariants under random commands and choices: money is conserved, needs and observations stay in range, queues stay
//! consistent, rewards respect the clips, and refused or previewed commands change nothing.

use std::sync::Arc;

use proptest::option;
use proptest::prelude::*;
use townlet_town::fixed_point::Micro;
use townlet_town::ids::{PlaceId, Tile};
use townlet_town::observations::{ObservationBuffer, VARIANTS, layout};
use townlet_town::options::OPTIONS;
use townlet_town::state::Item;
use townlet_town::{Command, OptionKind, ResidentId, Rules, Sources, State, Town, queues};

use crate::{By, sources, wander};

fn who() -> impl Strategy<Value = ResidentId> {
    // Those who live there, those to come, and somebody who never will.
    prop_oneof![4 => 0_u32..8, 2 => 8_u32..16, 1 => Just(u32::MAX)].prop_map(ResidentId)
}

fn money() -> impl Strategy<Value = Micro> {
    prop_oneof![3 => 0_i64..20_000_000, 1 => any::<i64>()].prop_map(Micro)
}

fn chosen() -> impl Strategy<Value = OptionKind> {
    (0..OPTIONS.len()).prop_map(|index| OPTIONS[index].0)
}

/// The events of `SHOCKS`, and one it does not have.
fn event() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["dear", "flood", "meet", "storm", "nothing"]).prop_map(str::to_owned)
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        who().prop_map(|who| Command::ExitRequest { who }),
        who().prop_map(|who| Command::ExitApprove { who }),
        who().prop_map(|who| Command::ExitDefer { who }),
        Just(Command::Spawn),
        (who(), 0_u32..2_600).prop_map(|(who, tile)| Command::Teleport { who, tile: Tile(tile) }),
        (who(), 0_u8..4, any::<i64>())
            .prop_map(|(who, need, value)| { Command::SetNeed { who, need, value: Micro(value % 2_000_000) } }),
        (who(), money()).prop_map(|(who, value)| Command::SetMoney { who, value }),
        (0_u8..3, money()).prop_map(|(item, value)| Command::SetPrice { item, value }),
        (who(), chosen()).prop_map(|(who, option)| Command::Possess { who, option }),
        who().prop_map(|who| Command::Release { who }),
        who().prop_map(|who| Command::Kill { who }),
        any::<bool>().prop_map(Command::Mortality),
        (0_u32..5).prop_map(Command::ExitCap),
        (0_u32..50, prop_oneof![0_u32..50, any::<u32>()]).prop_map(|(least, most)| Command::SpawnDelay(least, most)),
        (0_u8..5, any::<bool>()).prop_map(|(kind, on)| Command::Perturb { kind, on }),
        any::<bool>().prop_map(Command::QueueFairness),
        (who(), who(), 0_u8..4, -1_200_000_i64..1_200_000).prop_map(|(who, other, aspect, value)| Command::SetRel {
            who,
            other,
            aspect,
            value: Micro(value)
        }),
        (who(), who()).prop_map(|(who, other)| Command::ForceChat { who, other }),
        (who(), who(), 0_u16..12).prop_map(|(who, other, place)| Command::ArrangeMeet {
            who,
            other,
            place: PlaceId(place)
        }),
        (event(), option::of(0_u32..200), option::of(0_i64..11_000_000)).prop_map(|(event, duration, magnitude)| {
            Command::Trigger { event, duration, magnitude: magnitude.map(Micro) }
        }),
        event().prop_map(|event| Command::Cancel { event }),
        any::<bool>().prop_map(Command::Perturbations),
    ]
}

/// One event of each kind, and none that comes by itself.
const EVENTS: &str = "max_concurrent_events: 4\nglobal_cooldown_ticks: 0\nper_agent_cooldown_ticks: 0\n\
grace_window_ticks: 0\nwindow_ticks: 1000\nmax_events_per_window: 9\nevents:\n\
\x20 dear: { kind: price_spike, prob_per_day: 0, cooldown_ticks: 0, duration: [20, 90], magnitude: [0.5, 3] }\n\
\x20 meet: { kind: arranged_meet, prob_per_day: 0, cooldown_ticks: 0, duration: [20, 60], target: any, location: park }\n\
\x20 storm: { kind: blackout, prob_per_day: 0, cooldown_ticks: 0, duration: [20, 40] }\n\
\x20 flood: { kind: outage, prob_per_day: 0, cooldown_ticks: 0, duration: [20, 40] }\n";

fn shaken(seed: u64) -> Town {
    // Clips so tight that they bite.
    let clips = [("rewards.clip.clip_per_tick", "0.02"), ("rewards.clip.clip_per_episode", "2")];
    let sources = sources(&[&clips[..], &[("embedding_allocator.max_slots", "12")]].concat());
    let sources = Sources { perturbations: ("perturbations.yaml".into(), EVENTS.into()), ..sources };
    Town::new(Arc::new(Rules::new(sources).expect("the town can be made")), seed)
}

fn in_order(town: &Town) {
    let state = town.state();
    let wallets: Micro = state.agents.wallet.iter().copied().sum();
    assert_eq!(wallets + state.economy.outside, Micro::ZERO, "money at {}", state.tick);
    let accounts: Micro = state.economy.accounts.iter().copied().sum();
    assert_eq!(accounts, -state.economy.outside, "accounts at {}", state.tick);
    assert_eq!(queues::violations(town.rules(), state), Vec::<String>::new(), "queues at {}", state.tick);
    for agent in &state.agents.present {
        let needs = state.agents.needs[*agent];
        let ties = &state.agents.ties[*agent];
        assert!(ties.iter().count() <= 6, "ties at {}", state.tick);
        for tie in ties.iter() {
            let all = [tie.trust, tie.familiarity, tie.rivalry];
            assert!(all.iter().all(|it| (-Micro::ONE..=Micro::ONE).contains(it)), "{tie:?} at {}", state.tick);
            assert!(state.agents.is_present(tie.other) && tie.other != *agent, "{tie:?} at {}", state.tick);
            assert_eq!(ties.iter().filter(|other| other.other == tie.other).count(), 1, "{tie:?} at {}", state.tick);
        }
        assert!(needs.iter().all(|level| (Micro::ZERO..=Micro::ONE).contains(level)), "{needs:?} at {}", state.tick);
    }
    assert_eq!(state.rewards.items.iter().copied().sum::<Micro>(), state.rewards.total, "rewards at {}", state.tick);
    let clip = town.rules().config.rewards.clip.clip_per_episode;
    let returns = state.agents.present.iter().map(|agent| state.agents.episode_return[*agent]);
    assert!(returns.into_iter().all(|sum| (-clip..=clip).contains(&sum)), "episodes at {}", state.tick);
    let queue = &state.employment.queue;
    assert!(queue.iter().all(|entry| state.agents.is_present(entry.agent)), "exit queue at {}", state.tick);
    let once = |agent| queue.iter().filter(|entry| entry.agent == agent).count() == 1;
    assert!(queue.iter().all(|entry| once(entry.agent)), "exit queue at {}", state.tick);
    assert!(state.employment.due.is_empty());
}

/// Nobody's reward of a tick is beyond its clip; together with what ends cost they are the total.
fn rewarded(before: &State, town: &Town) {
    let (agents, rewards) = (&town.state().agents, &town.state().rewards);
    let clip = town.rules().config.rewards.clip.clip_per_tick;
    let mut given = rewards.items[Item::Terminal as usize];
    for agent in agents.present.iter().copied() {
        let stayed = before.agents.is_present(agent) && before.agents.resident[agent] == agents.resident[agent];
        let had = if stayed { before.agents.episode_return[agent] } else { Micro::ZERO };
        let reward = agents.episode_return[agent] - had;
        assert!((-clip..=clip).contains(&reward), "{reward} in tick {}", before.tick);
        given += reward;
    }
    assert_eq!(given, rewards.total, "in tick {}", before.tick);
}

fn buffers() -> [ObservationBuffer; VARIANTS.len()] {
    VARIANTS.map(|row| ObservationBuffer::new(layout(row.0)))
}

/// Every value of every row, by the table. A buffer that is kept shows the same, and so does the town after a restart.
fn seen(town: &Town, kept: &mut [ObservationBuffer]) {
    let resumed = Town::resume(Arc::clone(town.rules()), town.state().clone()).expect("the state is in order");
    for buffer in kept {
        let layout = buffer.layout();
        let mut out = vec![f32::NAN; town.state().agents.present.len() * layout.width];
        layout.observe_all(&resumed, &mut out);
        assert!(buffer.update(town) == out, "{} at {}: a row was not brought up to date", layout.name, town.tick());
        for (values, placed) in out.chunks(layout.width).flat_map(|all| layout.features.iter().map(move |it| (all, it)))
        {
            let [least, most] = placed.feature.range;
            let values = &values[placed.offset..placed.offset + placed.feature.length];
            let fits = values.iter().all(|value| (least..=most).contains(value));
            assert!(fits, "{} {}: {values:?} at {}", layout.name, placed.feature.name, town.tick());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_command_breaks_an_invariant(
        seed in any::<u64>(),
        orders in prop::collection::vec((command(), 0_u64..25), 10..60),
    ) {
        let (mut town, mut kept) = (shaken(seed), buffers());
        for (command, ticks) in orders {
            let before = town.digest();
            let preview = town.preview(&command);
            prop_assert_eq!(town.digest(), before.clone(), "a preview of {:?} changed the town", command);
            let answer = town.apply(&command);
            prop_assert_eq!(&preview, &answer, "{:?} does not do what its preview said", command);
            if let Err(refusal) = answer {
                prop_assert_eq!(town.digest(), before, "{:?} was refused and changed the town", command);
                prop_assert!(!refusal.message.is_empty() && !refusal.hint.is_empty());
            }
            in_order(&town);
            for _ in 0..ticks {
                let before = town.state().clone();
                town.step(&mut By(wander));
                town.clear_events();
                in_order(&town);
                rewarded(&before, &town);
                seen(&town, &mut kept);
            }
        }
    }
}
