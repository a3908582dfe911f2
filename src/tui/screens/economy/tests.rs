//! The Economy screen by keystroke and picture.

use super::*;
use crate::fixtures;
use crate::fixtures::pane_harness::{PaneHarness, SIZES};
use crate::keymap::Action;
use crate::pane::{Pane, Reaction};
use townlet_wire::telemetry::Perturbation;
use townlet_wire::{Request, Role, Snapshot};

fn admin(change: impl FnOnce(&mut Snapshot)) -> PaneHarness {
    let mut view = fixtures::snapshot();
    change(&mut view);
    let mut harness = PaneHarness::new(&view);
    harness.role(Role::Admin);
    harness
}

fn sends(reaction: Reaction) -> String {
    match reaction {
        Reaction::Send(requests) => requests[0].command.clone(),
        other => panic!("{other:?} sends nothing"),
    }
}

#[track_caller]
fn asks(reaction: Reaction, command: &str) -> String {
    match reaction {
        Reaction::Confirm(asked) => {
            assert_eq!(asked.requests, [Request::line(command)]);
            asked.text.join(" ")
        }
        other => panic!("{other:?} asks nothing"),
    }
}

#[test]
fn pictures() {
    let harness = admin(|_| {});
    for size in SIZES {
        let name = |pane: &str| format!("{pane}_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name("perturbations"), harness.picture(&mut PerturbationsPane::default(), size));
        insta::assert_snapshot!(name("goods"), harness.picture(&mut Goods::default(), size));
    }
    let bare = PaneHarness::new(&fixtures::bare());
    insta::assert_snapshot!("perturbations_empty", bare.text(&mut PerturbationsPane::default(), SIZES[0]));
    insta::assert_snapshot!("goods_empty", bare.text(&mut Goods::default(), SIZES[0]));
}

#[test]
fn no_text_is_cut_beside_blank_columns() {
    let text = admin(|_| {}).text(&mut PerturbationsPane::default(), (98, 50));
    let row = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default();
    assert!(row(" storm ").contains("starts in 4 h 45 m · tick 3,600 expected today"), "{text}");
    assert!(row("burst_main").contains("water is off: showers …"), "{text}");
}

#[test]
fn exported_values_are_plain() {
    let harness = admin(|_| {});
    let rows: Vec<String> = (Goods::default().export(&harness.cx()).rows.iter())
        .map(|row| row.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
        .collect();
    for row in [
        "item=power value=on unit= list_price_or_capacity=",
        "item=price of meal value=0.56 unit=meals list_price_or_capacity=0.4",
        "item=till_1 value=1 unit=meals list_price_or_capacity=20",
    ] {
        assert!(rows.iter().any(|other| other == row), "{row}: {rows:#?}");
    }
}

#[test]
fn stock_is_listed_in_the_order_of_the_numbers() {
    let harness = admin(|view| {
        let store = view.economy["fridge_1"].clone();
        view.economy = ["fridge_1", "fridge_10", "fridge_2"].map(|name| (name.to_owned(), store.clone())).into();
    });
    let text = harness.text(&mut Goods::default(), SIZES[1]);
    let at = |name: &str| text.find(name).unwrap_or_else(|| panic!("{name}\n{text}"));
    assert!(at("fridge_1 ") < at("fridge_2 ") && at("fridge_2 ") < at("fridge_10 "), "{text}");
}

#[test]
fn a_perturbation_starts_after_confirmation_and_ends_at_once() {
    let harness = admin(|_| {});
    let mut pane = PerturbationsPane::default();
    assert_eq!(harness.refused(&pane, Action::Trigger), "`spring_prices` is already active");
    assert_eq!(sends(harness.act(&mut pane, Action::Cancel)), "perturbation_cancel spring_prices");
    harness.act(&mut pane, Action::Down);
    assert_eq!(sends(harness.act(&mut pane, Action::Cancel)), "perturbation_cancel storm");
    harness.act(&mut pane, Action::Last);
    let text = asks(harness.act(&mut pane, Action::Trigger), "perturbation_trigger burst_main");
    assert!(text.contains("water is off") && text.contains("Duration: 43 m to 1 h 55 m."), "{text}");
    assert_eq!(harness.refused(&pane, Action::Cancel), "`burst_main` is neither active nor pending");
    assert!(
        matches!(harness.act(&mut pane, Action::Open), Reaction::ShowDetail(card) if card.title == "Perturbation: burst_main")
    );
}

#[test]
fn the_selection_stays_with_an_event_that_starts() {
    let mut harness = admin(|_| {});
    let mut pane = PerturbationsPane::default();
    harness.act(&mut pane, Action::Last);
    asks(harness.act(&mut pane, Action::Trigger), "perturbation_trigger burst_main");
    for state in ["pending", "active"] {
        let begun =
            Perturbation { name: "burst_main".into(), state: state.into(), ..harness.view.perturbations[0].clone() };
        harness.view.perturbations.retain(|it| it.name != "burst_main");
        let started_tick = harness.view.tick + 1;
        harness.view.perturbations.insert(0, Perturbation { started_tick, ..begun });
        harness.text(&mut pane, SIZES[0]);
        assert_eq!(sends(harness.act(&mut pane, Action::Cancel)), "perturbation_cancel burst_main", "{state}");
    }
}

#[test]
fn what_is_held_back_is_not_said_to_start() {
    let mut harness = admin(|_| {});
    let mut pane = PerturbationsPane::default();
    assert!(harness.text(&mut pane, SIZES[1]).contains("starts "));
    for it in &mut harness.view.perturbations {
        it.detail = it.detail.replace("expected today", "expected today, held: limit of events in this window");
    }
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(!text.contains("starts ") && text.contains(" held "), "{text}");
}

#[test]
fn a_manual_blackout_is_switched_off() {
    let harness = admin(|view| {
        let perturbation = &mut view.perturbations[0];
        (perturbation.kind, perturbation.name, perturbation.ends_tick) = ("blackout".into(), "blackout".into(), None);
    });
    let mut pane = PerturbationsPane::default();
    assert!(harness.text(&mut pane, SIZES[1]).contains("until ended by command"));
    assert_eq!(sends(harness.act(&mut pane, Action::Cancel)), "blackout off");
    assert!(harness.refused(&pane, Action::Trigger).contains("is not an event of the perturbation file"));
}

#[test]
fn automatic_perturbations_are_switched_by_admins_only() {
    let mut harness = admin(|_| {});
    let mut pane = PerturbationsPane::default();
    assert_eq!(sends(harness.act(&mut pane, Action::Switch)), "perturbations off");
    harness.view.perturbation_events.by_themselves = false;
    assert_eq!(sends(harness.act(&mut pane, Action::Switch)), "perturbations on");
    assert!(harness.text(&mut pane, SIZES[1]).contains("by command only"));
    harness.role(Role::Viewer);
    for action in [Action::Trigger, Action::Cancel, Action::Switch] {
        assert!(harness.refused(&pane, action).contains("needs the admin role"));
    }
    harness.filter = "storm".into();
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("storm") && !text.contains("market_day"), "{text}");
    harness.filter = "nothing".into();
    assert!(harness.text(&mut pane, SIZES[0]).contains("No perturbations match the filter."));
}

#[test]
fn power_is_switched_off_after_confirmation_and_on_at_once() {
    let mut harness = admin(|_| {});
    let mut pane = Goods::default();
    let text = asks(harness.act(&mut pane, Action::Switch), "blackout on");
    assert!(text.contains("stoves stop. Only approved residents leave until it is on again."), "{text}");
    harness.act(&mut pane, Action::Down);
    harness.view.utilities.insert("water".into(), false);
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(text.contains("OFF ✗ showers stop; approved may leave"), "{text}");
    assert_eq!(sends(harness.act(&mut pane, Action::Switch)), "outage off");
    harness.act(&mut pane, Action::Down);
    assert!(harness.refused(&pane, Action::Switch).contains("select power or water"));
    harness.act(&mut pane, Action::First);
    harness.role(Role::Viewer);
    assert!(harness.refused(&pane, Action::Switch).contains("needs the admin role"));
}

#[test]
fn prices_are_compared_with_list_prices_and_low_stock_is_marked() {
    let mut harness = admin(|_| {});
    let mut pane = Goods::default();
    let text = harness.text(&mut pane, SIZES[1]);
    for words in ["0.56 meals ▲ +40 % of list 0.40", "0.15 meals = list 0.15", "1 meal !", "of 20 low"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    harness.view.prices.insert("meal".into(), 0.2);
    harness.view.economy.get_mut("till_1").unwrap().stock.insert("meals".into(), 0);
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(text.contains("▼ −50 % of list 0.40") && text.contains("‼") && text.contains("of 20 empty"), "{text}");
    harness.view.economy.get_mut("till_1").unwrap().kind = "fridge".into();
    assert!(!harness.text(&mut pane, SIZES[1]).contains('‼'), "an empty fridge alarms nobody");
    harness.act(&mut pane, Action::Last);
    assert!(matches!(harness.act(&mut pane, Action::Copy), Reaction::Copy(text) if text.contains("till_1")));
}

#[test]
fn names_cannot_emit_escapes_and_tiny_areas_do_not_panic() {
    let harness = admin(|view| {
        view.perturbations[0].name = "\u{1b}[31mx".into();
        view.perturbations[0].detail = "\u{9b}2J".into();
        view.perturbation_events.events[1].kind = "\u{7}".into();
        view.prices.insert("\u{202e}abc".into(), 1e9);
        view.utilities.insert("\u{1b}]0;x\u{7}".into(), false);
    });
    for size in [(1, 1), (4, 3), (12, 9), (40, 12), (80, 20), (200, 56)] {
        for pane in [&mut PerturbationsPane::default() as &mut dyn Pane, &mut Goods::default()] {
            let text = harness.text(pane, size);
            let bad = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
            assert!(!text.chars().any(bad), "{text:?}");
        }
    }
}
