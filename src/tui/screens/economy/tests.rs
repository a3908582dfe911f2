//! The Economy screen by keystroke and picture.

use super::*;
use crate::fixtures;
use crate::keymap::Action;
use crate::pane::{Pane, Reaction};
use crate::screens::pane_harness::{SIZES, Stage};
use townlet_wire::{Request, Role, Snapshot};

fn admin(change: impl FnOnce(&mut Snapshot)) -> Stage {
    let mut view = fixtures::snapshot();
    change(&mut view);
    let mut stage = Stage::new(&view);
    stage.role(Role::Admin);
    stage
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
    let stage = admin(|_| {});
    for size in SIZES {
        let name = |pane: &str| format!("{pane}_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name("shocks"), stage.picture(&mut PerturbationsPane::default(), size));
        insta::assert_snapshot!(name("goods"), stage.picture(&mut Goods::default(), size));
    }
    let bare = Stage::new(&fixtures::bare());
    insta::assert_snapshot!("shocks_empty", bare.text(&mut PerturbationsPane::default(), SIZES[0]));
    insta::assert_snapshot!("goods_empty", bare.text(&mut Goods::default(), SIZES[0]));
}

#[test]
fn a_shock_begins_after_a_question_and_ends_at_once() {
    let stage = admin(|_| {});
    let mut pane = PerturbationsPane::default();
    assert_eq!(stage.refused(&pane, Action::Trigger), "`spring_prices` is under way already");
    assert_eq!(sends(stage.act(&mut pane, Action::Cancel)), "perturbation_cancel spring_prices");
    stage.act(&mut pane, Action::Down);
    assert_eq!(sends(stage.act(&mut pane, Action::Cancel)), "perturbation_cancel storm");
    stage.act(&mut pane, Action::Last);
    let text = asks(stage.act(&mut pane, Action::Trigger), "perturbation_trigger burst_main");
    assert!(text.contains("water is off") && text.contains("It lasts 43 m to 1 h 55 m."), "{text}");
    assert_eq!(stage.refused(&pane, Action::Cancel), "`burst_main` is not under way and not expected");
    assert!(matches!(stage.act(&mut pane, Action::Open), Reaction::Show(card) if card.title == "Shock: burst_main"));
}

#[test]
fn what_an_operator_switched_is_switched_back() {
    let stage = admin(|view| {
        let shock = &mut view.perturbations[0];
        (shock.kind, shock.name, shock.ends_tick) = ("blackout".into(), "blackout".into(), None);
    });
    let mut pane = PerturbationsPane::default();
    assert!(stage.text(&mut pane, SIZES[1]).contains("until it is ended"));
    assert_eq!(sends(stage.act(&mut pane, Action::Cancel)), "blackout off");
    assert!(stage.refused(&pane, Action::Trigger).contains("is no event of the perturbation file"));
}

#[test]
fn shocks_by_themselves_are_switched_and_viewers_are_told_why_not() {
    let mut stage = admin(|_| {});
    let mut pane = PerturbationsPane::default();
    assert_eq!(sends(stage.act(&mut pane, Action::Switch)), "perturbations off");
    stage.view.perturbation_events.by_themselves = false;
    assert_eq!(sends(stage.act(&mut pane, Action::Switch)), "perturbations on");
    assert!(stage.text(&mut pane, SIZES[1]).contains("by command only"));
    stage.role(Role::Viewer);
    for action in [Action::Trigger, Action::Cancel, Action::Switch] {
        assert!(stage.refused(&pane, action).contains("is for admins"));
    }
    stage.filter = "storm".into();
    let text = stage.text(&mut pane, SIZES[0]);
    assert!(text.contains("storm") && !text.contains("market_day"), "{text}");
    stage.filter = "nothing".into();
    assert!(stage.text(&mut pane, SIZES[0]).contains("No shock fits the filter."));
}

#[test]
fn power_goes_off_after_a_question_and_comes_back_at_once() {
    let mut stage = admin(|_| {});
    let mut pane = Goods::default();
    let text = asks(stage.act(&mut pane, Action::Switch), "blackout on");
    assert!(text.contains("stoves stop, and nobody leaves unless approved"), "{text}");
    stage.act(&mut pane, Action::Down);
    stage.view.utilities.insert("water".into(), false);
    assert!(stage.text(&mut pane, SIZES[0]).contains("OFF ✗ showers stop"));
    assert_eq!(sends(stage.act(&mut pane, Action::Switch)), "outage off");
    stage.act(&mut pane, Action::Down);
    assert!(stage.refused(&pane, Action::Switch).contains("select power or water"));
    stage.act(&mut pane, Action::First);
    stage.role(Role::Viewer);
    assert!(stage.refused(&pane, Action::Switch).contains("is for admins"));
}

#[test]
fn prices_stand_against_their_list_and_stores_run_low() {
    let mut stage = admin(|_| {});
    let mut pane = Goods::default();
    let text = stage.text(&mut pane, SIZES[1]);
    for words in ["0.56 meals ▲ +40 % of list 0.40", "0.15 meals = list 0.15", "1 meals !", "of 20 low"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    stage.view.prices.insert("meal".into(), 0.2);
    stage.view.economy.get_mut("till_1").unwrap().stock.insert("meals".into(), 0);
    let text = stage.text(&mut pane, SIZES[1]);
    assert!(text.contains("▼ −50 % of list 0.40") && text.contains("‼") && text.contains("of 20 empty"), "{text}");
    stage.view.economy.get_mut("till_1").unwrap().kind = "fridge".into();
    assert!(!stage.text(&mut pane, SIZES[1]).contains('‼'), "an empty fridge alarms nobody");
    stage.act(&mut pane, Action::Last);
    assert!(matches!(stage.act(&mut pane, Action::Copy), Reaction::Copy(text) if text.contains("till_1")));
}

#[test]
fn names_cannot_emit_escapes_and_tiny_areas_do_not_panic() {
    let stage = admin(|view| {
        view.perturbations[0].name = "\u{1b}[31mx".into();
        view.perturbations[0].detail = "\u{9b}2J".into();
        view.perturbation_events.events[1].kind = "\u{7}".into();
        view.prices.insert("\u{202e}abc".into(), 1e9);
        view.utilities.insert("\u{1b}]0;x\u{7}".into(), false);
    });
    for size in [(1, 1), (4, 3), (12, 9), (40, 12), (80, 20), (200, 56)] {
        for pane in [&mut PerturbationsPane::default() as &mut dyn Pane, &mut Goods::default()] {
            let text = stage.text(pane, size);
            let bad = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
            assert!(!text.chars().any(bad), "{text:?}");
        }
    }
}
