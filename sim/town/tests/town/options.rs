//! Option masks and their reasons.

use std::sync::Arc;

use townlet_town::fixed_point::Micro;
use townlet_town::masks::{MaskReason, mask, reasons, refusal};
use townlet_town::options::OPTIONS;
use townlet_town::state::ShiftState;
use townlet_town::{AgentId, OptionKind, Rules, Sources, State, Town};

use crate::{AFFORDANCES, edited, sources, through, town, wander};

const ADA: AgentId = AgentId(0);

/// A reason, the option it forbids, and what has to be so.
type Case = (MaskReason, OptionKind, fn(&mut State));

/// Every reason but [`MaskReason::NoObject`] with a town in which it stands in the way.
const CASES: [Case; 11] = [
    (MaskReason::NoMoney, OptionKind::Shop, |state| state.agents.wallet[ADA] = Micro(149_999)),
    (MaskReason::NoStock, OptionKind::Shop, |state| state.objects.iter_mut().for_each(|object| object.stock = 0)),
    (MaskReason::NoGroceries, OptionKind::Cook, |state| state.agents.groceries[ADA] = 0),
    (MaskReason::FridgeFull, OptionKind::Cook, |state| state.objects.iter_mut().for_each(|object| object.stock = 5)),
    (MaskReason::NoPower, OptionKind::Cook, |state| state.economy.power = false),
    (MaskReason::NoWater, OptionKind::Wash, |state| state.economy.water = false),
    (MaskReason::Closed, OptionKind::Shop, |state| state.tick = 950),
    (MaskReason::NoJob, OptionKind::Work, |state| state.agents.job[ADA] = None),
    (MaskReason::ShiftNotYet, OptionKind::Work, |state| state.tick = 159),
    (MaskReason::ShiftOver, OptionKind::Work, |state| state.agents.shift[ADA].state = ShiftState::PostShift),
    (MaskReason::AtHome, OptionKind::GoHome, |_| {}),
];

/// A town at the height of the day, when Ada, the barista, may do anything but go home.
fn noon() -> Town {
    edited(&town(&[]), |state| {
        state.tick = 200;
        state.agents.wallet[ADA] = Micro::whole(5);
        state.agents.groceries[ADA] = 2;
    })
}

#[test]
fn every_reason_occurs_and_has_words() {
    let noon = noon();
    let allowed = mask(noon.rules(), noon.state(), ADA);
    for (option, name) in OPTIONS {
        assert_eq!(allowed.allows(option), option != OptionKind::GoHome, "{name}");
    }
    for (why, option, edit) in CASES {
        let town = edited(&noon, edit);
        assert_eq!(refusal(town.rules(), town.state(), ADA, option), Some(why), "{}", option.name());
        assert!(!mask(town.rules(), town.state(), ADA).allows(option));
        assert!(!why.description().is_empty());
    }
    let nothing = without("sit_at_table", "");
    assert_eq!(refusal(nothing.rules(), nothing.state(), ADA, OptionKind::Socialise), Some(MaskReason::NoObject));
}

/// The default town with an affordance and whatever stands behind it cut from the file, and a word of the plan changed.
fn without(affordance: &str, plan: &str) -> Town {
    let end = AFFORDANCES.find(&format!("  - id: {affordance}")).expect("there is such a row");
    let sources = sources(&[]);
    let text = if plan.is_empty() { sources.plan.1.clone() } else { plan.to_owned() };
    let sources = Sources {
        affordances: ("few.yaml".into(), AFFORDANCES[..end].into()),
        plan: (sources.plan.0.clone(), text),
        ..sources
    };
    Town::new(Arc::new(Rules::new(sources).unwrap()), 7)
}

#[test]
fn cooking_needs_a_fridge() {
    let plan = crate::PLAN.replace("#f.........#", "#..........#");
    let town = edited(&without("sit_at_table", &plan), |state| state.agents.groceries[ADA] = 1);
    assert_eq!(refusal(town.rules(), town.state(), ADA, OptionKind::Cook), Some(MaskReason::NoObject));
}

#[test]
fn mask_and_reasons_say_the_same_and_are_honoured() {
    let mut town = town(&[]);
    for tick in 0..2_500 {
        for agent in town.state().agents.present.clone() {
            let (mask, reasons) = (mask(town.rules(), town.state(), agent), reasons(town.rules(), town.state(), agent));
            for (option, name) in OPTIONS {
                assert_eq!(mask.allows(option), reasons[option.index()].is_none(), "{name} at {tick}");
            }
            assert!(mask.allows(OptionKind::Wait));
        }
        through(&mut town, tick, wander);
    }
    // What the mask forbids is taken as waiting.
    let mut night = edited(&noon(), |state| state.agents.tile[ADA] = state.agents.tile[AgentId(0)]);
    through(&mut night, 200, |_, _, _| OptionKind::GoHome);
    assert_eq!(night.state().agents.option[ADA], OptionKind::Wait);
}

#[test]
fn options_have_one_name_each() {
    for (index, (option, name)) in OPTIONS.into_iter().enumerate() {
        assert_eq!((option.index(), option.name()), (index, name));
        assert_eq!((OptionKind::named(name), OptionKind::at(index as u8)), (Some(option), Some(option)));
    }
    assert_eq!((OptionKind::named("fly"), OptionKind::at(9)), (None, None));
}

#[test]
fn an_option_is_kept_for_its_commitment_unless_a_need_turns_critical() {
    let mut asked = 0;
    let mut town = edited(&noon(), |state| {
        state.agents.present.retain(|agent| *agent == ADA);
        state.agents.ended[ADA] = true;
    });
    through(&mut town, 214, |_, _, _| {
        asked += 1;
        OptionKind::Wait
    });
    assert_eq!(asked, 1, "fifteen ticks, one decision");
    let mut town = edited(&town, |state| state.agents.needs[ADA][0] = Micro(151_000));
    asked = 0;
    through(&mut town, 217, |_, _, _| {
        asked += 1;
        OptionKind::Wait
    });
    assert_eq!(asked, 2, "once as the commitment ends, once as hunger turns critical");
}
