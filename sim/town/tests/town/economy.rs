//! Money: rent, eviction and purchases. An interrupted use has paid and taken nothing.

use townlet_town::fixed_point::Micro;
use townlet_town::needs::ENERGY;
use townlet_town::state::ACCOUNTS;
use townlet_town::state::Activity;
use townlet_town::state::ExitCause;
use townlet_town::{Command, Event, EventKind, OptionKind, ResidentId, Town};

use crate::{SAFE, UNTIRING, idle, slot, through, town};

const RENT: Micro = Micro(1_800_000);

fn left(events: &[Event]) -> Vec<(u64, u32, ExitCause)> {
    let exit = |event: &Event| match event.kind {
        EventKind::ResidentLeft { who, cause } => Some((event.tick, who.0, cause)),
        _ => None,
    };
    events.iter().filter_map(exit).collect()
}

/// A town where only money makes anybody leave, with Ada's wallet set.
fn owing(money: Micro) -> Town {
    let mut town =
        town(&[SAFE, UNTIRING, &[("economy.rent_per_day", "1.8"), ("lifecycle.starter_wallet", "100")]].concat());
    town.apply(&Command::SetMoney { who: ResidentId(0), value: money }).unwrap();
    town
}

#[test]
fn rent_is_due_once_a_day() {
    let mut town = owing(Micro::whole(5));
    through(&mut town, 999, idle);
    assert_eq!(town.state().agents.wallet[slot(&town, 0)], Micro::whole(5));
    through(&mut town, 1_500, idle);
    assert_eq!(town.state().agents.wallet[slot(&town, 0)], Micro(3_200_000));
    let rent = town.state().economy.accounts[townlet_town::state::Account::Rent as usize];
    assert_eq!(rent, -RENT.scaled(8), "eight residents paid");
}

#[test]
fn two_days_of_unpaid_rent_end_in_eviction() {
    let mut town = owing(Micro(1_799_999));
    let events = through(&mut town, 1_000, idle);
    assert!(events.iter().any(|event| event.kind == EventKind::RentMissed { who: ResidentId(0), days: 1 }));
    assert_eq!(town.state().agents.wallet[slot(&town, 0)], Micro(1_799_999), "rent is paid whole or not at all");
    assert_eq!(left(&through(&mut town, 1_999, idle)), []);
    assert_eq!(left(&through(&mut town, 2_000, idle)), [(2_000, 0, ExitCause::Eviction)]);
}

#[test]
fn a_resident_who_can_pay_again_stays() {
    let mut town = owing(Micro::ZERO);
    through(&mut town, 1_500, idle);
    town.apply(&Command::SetMoney { who: ResidentId(0), value: Micro::whole(10) }).unwrap();
    assert_eq!(left(&through(&mut town, 2_000, idle)), []);
    let ada = slot(&town, 0);
    assert_eq!(town.state().agents.wallet[ada], Micro(6_400_000));
    assert_eq!(town.state().agents.rent_owed[ada], 0);
}

#[test]
fn a_resident_who_can_pay_before_a_delayed_eviction_stays() {
    let rescue = |money: Micro| {
        let mut town = owing(Micro::ZERO);
        through(&mut town, 1_990, idle);
        town.apply(&Command::Perturb { kind: 0, on: true }).unwrap();
        assert_eq!(left(&through(&mut town, 2_010, idle)), [], "an outage holds everybody");
        town.apply(&Command::SetMoney { who: ResidentId(0), value: money }).unwrap();
        town.apply(&Command::Perturb { kind: 0, on: false }).unwrap();
        left(&through(&mut town, 3_200, idle))
    };
    assert_eq!(rescue(RENT), [(3_000, 0, ExitCause::Eviction)], "a day's rent is a day's respite");
    assert_eq!(rescue(RENT.scaled(2)), [], "two of three days owed are paid");
    assert_eq!(rescue(RENT - Micro(1)), [(2_070, 0, ExitCause::Eviction)], "after the grace");
}

/// Ada cooking, and the tick at which she is in the middle of it.
fn cooking(possessed: bool) -> Town {
    let mut town = town(SAFE);
    if possessed {
        town.apply(&Command::Possess { who: ResidentId(0), option: OptionKind::Cook }).unwrap();
    }
    for tick in 0..200 {
        through(&mut town, tick, |_, agent, _| if agent.0 == 0 { OptionKind::Cook } else { OptionKind::Wait });
        if let Activity::Using(_, _, until) = town.state().agents.activity[slot(&town, 0)]
            && until < tick + 10
        {
            return town;
        }
    }
    panic!("Ada never got to the stove");
}

/// Groceries carried, meals in the fridge at home, meals cooked.
fn kitchen(town: &Town) -> (u32, u32, u32) {
    let (agents, ada) = (&town.state().agents, slot(town, 0));
    let fridge = town.rules().fridge_of[agents.home[ada]].unwrap();
    (agents.groceries[ada], town.state().objects[fridge].stock, agents.meals_cooked[ada])
}

#[test]
fn cooking_takes_and_gives_at_its_end() {
    let mut town = cooking(false);
    assert_eq!(kitchen(&town), (1, 2, 0));
    let energy = town.state().agents.needs[slot(&town, 0)][ENERGY];
    let (now, keep) = (town.tick(), OptionKind::Cook);
    through(&mut town, now + 10, |_, _, _| keep);
    assert_eq!(kitchen(&town), (0, 4, 2));
    let spent = energy - town.state().agents.needs[slot(&town, 0)][ENERGY];
    assert_eq!(spent, Micro(50_000) + Micro(1_000).scaled(11));
}

#[test]
fn a_blackout_during_cooking_takes_and_gives_nothing() {
    for possessed in [false, true] {
        let mut town = cooking(possessed);
        town.apply(&Command::Perturb { kind: 0, on: true }).unwrap();
        let before = town.state().agents.needs[slot(&town, 0)][ENERGY];
        let now = town.tick();
        let events = through(&mut town, now + 19, |_, _, _| OptionKind::Wait);
        assert_eq!(kitchen(&town), (1, 2, 0), "possessed: {possessed}");
        let spent = before - town.state().agents.needs[slot(&town, 0)][ENERGY];
        assert_eq!(spent, Micro(1_000).scaled(20), "only what time takes");
        assert!(town.state().objects.iter().all(|object| object.uses.is_empty()));
        let failed = events.iter().filter(|event| matches!(event.kind, EventKind::AffordanceFailed { .. })).count();
        assert_eq!(failed, usize::from(possessed), "who may choose stops at once");
    }
}

#[test]
fn purchases_cost_the_current_price() {
    let mut town = town(SAFE);
    through(&mut town, 150, idle);
    town.apply(&Command::SetPrice { item: 1, value: Micro(250_000) }).unwrap();
    town.apply(&Command::Possess { who: ResidentId(0), option: OptionKind::Shop }).unwrap();
    let events = through(&mut town, 400, idle);
    assert!(events.iter().any(|event| matches!(event.kind, EventKind::AffordanceDone { who: ResidentId(0), .. })));
    let (agents, ada) = (&town.state().agents, slot(&town, 0));
    assert_eq!((agents.wallet[ada], agents.groceries[ada]), (Micro(1_750_000), 2));
    assert_eq!(town.state().economy.accounts[3], Micro(-250_000));
}

#[test]
fn accounts_stand_in_their_order() {
    for (index, (account, _)) in ACCOUNTS.into_iter().enumerate() {
        assert_eq!(account as usize, index);
    }
}

#[test]
fn amounts_out_of_range_are_refused() {
    let mut town = town(SAFE);
    let before = town.digest();
    for value in [Micro(-1), Micro::whole(1_000_000) + Micro(1), Micro(i64::MAX), Micro(i64::MIN)] {
        assert_eq!(town.apply(&Command::SetMoney { who: ResidentId(0), value }).unwrap_err().code, "E_INVALID_ARG");
        assert_eq!(town.apply(&Command::SetPrice { item: 0, value }).unwrap_err().code, "E_INVALID_ARG");
    }
    assert_eq!(town.apply(&Command::SpawnDelay(0, u32::MAX)).unwrap_err().code, "E_INVALID_ARG");
    assert_eq!(town.digest(), before);
}

#[test]
fn deliveries_come_at_their_hour_and_fill_no_more_than_fits() {
    let mut town = town(
        &[SAFE, &[("economy.restock_tick", "300"), ("economy.cafe_stock", "4"), ("economy.cafe_restock", "3")]]
            .concat(),
    );
    let tills = |town: &Town| -> Vec<u32> {
        let plan = &town.rules().plan;
        plan.objects()
            .filter(|(_, it)| it.name.starts_with("till"))
            .map(|(id, _)| town.state().objects[id].stock)
            .collect()
    };
    through(&mut town, 299, idle);
    assert!(tills(&town).iter().all(|stock| *stock == 4));
    through(&mut town, 300, idle);
    assert!(tills(&town).iter().all(|stock| *stock == 6));
}
