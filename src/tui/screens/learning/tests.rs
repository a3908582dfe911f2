//! The Learning screen by keystroke and picture.

use super::*;
use crate::fixtures;
use crate::fixtures::pane_harness::{PaneHarness, SIZES};
use crate::keymap::Action;
use crate::pane::{Confirmation, Pane, Reaction};
use townlet_wire::telemetry::Learning;
use townlet_wire::{Request, Role, Snapshot};

fn harness(change: impl FnOnce(&mut Snapshot)) -> PaneHarness {
    let mut view = fixtures::snapshot();
    change(&mut view);
    PaneHarness::new(&view)
}

fn asked(reaction: Reaction) -> Confirmation {
    match reaction {
        Reaction::Confirm(asked) => asked,
        other => panic!("{other:?} asks nothing"),
    }
}

#[test]
fn pictures() {
    let harness = harness(|_| {});
    for size in SIZES {
        let name = |pane: &str| format!("{pane}_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name("training"), harness.picture(&mut Training::default(), size));
        insta::assert_snapshot!(name("candidate"), harness.picture(&mut Candidate::default(), size));
    }
    let mut pane = Training::default();
    harness.act(&mut pane, Action::Down);
    harness.act(&mut pane, Action::Open);
    insta::assert_snapshot!("training_one_chart", harness.text(&mut pane, SIZES[0]));
}

#[test]
fn without_training_the_pane_shows_how_to_start_it() {
    let harness = harness(fixtures::untrained);
    let mut pane = Training::default();
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("○ off") && text.contains("Training is off."), "{text}");
    assert_eq!(text.matches("--train`").count(), 2, "no word is cut: {text}");
    assert!(harness.refused(&pane, Action::Train).contains("start the shard with `--train`"));
    let text = harness.text(&mut Candidate::default(), SIZES[0]);
    assert!(text.contains("▸idle") && text.contains("no candidate"), "{text}");
    let bare = PaneHarness::new(&fixtures::bare());
    assert!(bare.text(&mut Training::default(), SIZES[0]).contains("does not support training"));
    assert!(bare.text(&mut Candidate::default(), SIZES[0]).contains("does not support promotion"));
}

#[test]
fn a_diverged_training_shows_the_reason_and_the_charts() {
    let harness = harness(fixtures::diverged);
    let text = harness.text(&mut Training::default(), SIZES[0]);
    assert!(text.contains("✗ diverged") && text.contains("approx_kl 14.2 is over 1 in update 41"), "{text}");
    assert!(text.contains("town score"), "{text}");
}

#[test]
fn progress_shows_the_remaining_time() {
    let text = harness(|_| {}).text(&mut Training::default(), SIZES[1]);
    assert!(text.contains("43 %  1.29 M of 3.00 M resident-ticks · 4 m left · update 40"), "{text}");
    let text = harness(|view| view.learning.state = "paused".into()).text(&mut Training::default(), SIZES[1]);
    assert!(text.contains("‖ paused") && text.contains("4 m left when resumed"), "{text}");
    let text = harness(|view| view.learning.total_steps = 0).text(&mut Training::default(), SIZES[1]);
    assert!(text.contains("schedule finished"), "{text}");
}

#[test]
fn t_pauses_and_resumes_or_shows_the_reason() {
    let mut harness = harness(|_| {});
    let mut pane = Training::default();
    assert!(harness.refused(&pane, Action::Train).contains("`training pause` needs the admin role"));
    harness.role(Role::Admin);
    assert_eq!(harness.act(&mut pane, Action::Train), Reaction::Send(vec![Request::line("training pause")]));
    harness.view.learning.state = "paused".into();
    assert_eq!(harness.act(&mut pane, Action::Train), Reaction::Send(vec![Request::line("training resume")]));
    harness.view.learning.state = "diverged".into();
    assert!(harness.refused(&pane, Action::Train).contains("training has diverged"));
    harness.view.learning.state = "training".into();
    harness.forget("training pause");
    assert!(harness.refused(&pane, Action::Train).contains("no command `training pause`"));
}

#[test]
fn charts_are_chosen_in_list_wall_and_alone() {
    let mut harness = harness(|_| {});
    let mut pane = Training::default();
    let chosen = |harness: &PaneHarness, pane: &mut Training| match harness.act(pane, Action::Copy) {
        Reaction::Copy(text) => text.split(' ').next().unwrap_or_default().to_owned(),
        other => panic!("{other:?}"),
    };
    harness.draw(&mut pane, SIZES[0]);
    harness.act(&mut pane, Action::Down);
    assert_eq!(chosen(&harness, &mut pane), "held_out_score");
    harness.draw(&mut pane, SIZES[2]);
    assert_eq!(pane.click(60, 10, &harness.cx()), Reaction::Redraw);
    assert_eq!(chosen(&harness, &mut pane), "held_out_score", "the second of the grid");
    harness.act(&mut pane, Action::Down);
    assert_eq!(chosen(&harness, &mut pane), "involuntary_exit_rate", "four charts in a row of the grid");
    harness.act(&mut pane, Action::Last);
    harness.act(&mut pane, Action::Right);
    assert_eq!(chosen(&harness, &mut pane), "steps_per_second");
    harness.act(&mut pane, Action::Open);
    assert!(!harness.text(&mut pane, SIZES[2]).contains("entropy"));
    harness.act(&mut pane, Action::Up);
    assert!(harness.text(&mut pane, SIZES[2]).contains("learning rate  1.7"));
    harness.act(&mut pane, Action::Back);
    assert!(harness.text(&mut pane, SIZES[2]).contains("entropy"));
    harness.filter = "loss".into();
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("value loss") && !text.contains("entropy"), "{text}");
    harness.filter = "nothing".into();
    assert!(harness.text(&mut pane, SIZES[0]).contains("No metrics match the filter."));
}

#[test]
fn the_score_on_held_out_towns_stands_beside_the_return() {
    let text = harness(|_| {}).text(&mut Training::default(), SIZES[1]);
    for part in [
        "held-out  score 0.879 at 1.20 M steps · best 0.884 at 1.00 M · 20 towns of 10 days · next at 1.40 M",
        "safety    starved 0.62 [0.00, 2.30] · exits 1.88 [0.00, 4.25] per 1,000 resident-days",
        "trains on 4 to 32 residents, drawn plans",
        "  return per day  1.57  ",
        "  held-out score  0.879  ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let mut early = harness(|view| view.learning.evaluations.clear());
    let mut pane = Training::default();
    let text = early.text(&mut pane, SIZES[1]);
    assert_eq!(text.matches("no evaluation yet, next at 1.40 M steps").count(), 2, "head and chart\n{text}");
    early.view.learning.next_evaluation_steps = None;
    let text = early.text(&mut pane, SIZES[1]);
    assert!(text.contains("no evaluation, and none is planned") && !text.contains("held-out  "), "{text}");
    let text = harness(|_| {}).text(&mut Candidate::default(), SIZES[1]);
    assert!(text.contains("range       ✓ this town is inside: 4 to 32 residents"), "{text}");
    let outside = harness(|view| view.policy.outside_range = Some("40 residents; trained on 4 to 32".into()));
    let text = outside.text(&mut Candidate::default(), SIZES[1]);
    assert!(text.contains("! this town is outside the trained range: 40 residents; trained on 4 to 32"), "{text}");
}

#[test]
fn a_recording_without_training_and_promotion_does_not_ask_for_an_upgrade() {
    let mut harness = harness(|view| {
        view.learning = Learning::default();
        view.promotion.state.clear();
    });
    let shown = |harness: &PaneHarness| {
        [harness.text(&mut Training::default(), SIZES[1]), harness.text(&mut Candidate::default(), SIZES[1])]
    };
    assert!(shown(&harness).iter().all(|text| text.contains("does not support")));
    harness.record();
    harness.forget("training pause");
    let [training, candidate] = shown(&harness);
    assert!(training.contains("A recording holds the town without its training."), "{training}");
    assert!(training.contains("– not recorded") && !training.contains("off"), "{training}");
    let why = harness.refused(&Training::default(), Action::Train);
    assert_eq!(why, "a recording cannot be changed; `training pause` needs a running town");
    assert!(candidate.contains("A recording holds the town without its promotion."), "{candidate}");
}

#[test]
fn promotion_needs_eligibility_and_confirmation() {
    let mut harness = harness(|_| {});
    let mut pane = Candidate::default();
    assert!(harness.refused(&pane, Action::Promote).contains("needs the admin role"));
    harness.role(Role::Admin);
    assert_eq!(harness.refused(&pane, Action::Promote), "One green window of two");
    fixtures::eligible(&mut harness.view);
    let question = asked(harness.act(&mut pane, Action::Promote));
    assert_eq!(question.requests, [Request::line("promote_policy 91c0f2ab33de4410")]);
    let text = question.text.join(" ");
    assert!(text.contains("better +0.046 from +0.012 to +0.081; 61 pairs of at most 200"), "{text}");
    assert!(text.contains("starvation events: passed after 604 pairs. involuntary exits: passed after"), "{text}");
    assert!(text.contains("rolled back automatically on a critical alert"), "{text}");
    harness.view.promotion.outside_range = Some("37 residents; trained on 4 to 32".into());
    let text = asked(harness.act(&mut pane, Action::Promote)).text.join(" ");
    let outside =
        "This town is outside the range that 91c0f2ab33de4410 was trained on: 37 residents; trained on 4 to 32.";
    assert!(text.contains(outside), "{text}");
    assert!(harness.text(&mut pane, SIZES[1]).contains("! this town is outside its trained range: 37 residents"));
    harness.view.promotion.candidate = None;
    assert_eq!(harness.refused(&pane, Action::Promote), "no candidate");
    harness.forget("promote_policy");
    assert!(harness.refused(&pane, Action::Promote).contains("no command `promote_policy`"));
}

#[test]
fn one_key_rolls_back() {
    let mut harness = harness(|view| view.promotion.state = "canary".into());
    harness.role(Role::Admin);
    let mut pane = Candidate::default();
    let question = asked(harness.act(&mut pane, Action::Rollback));
    assert_eq!(question.requests, [Request::line("rollback_policy --restores shipped")]);
    assert!(question.text[0].contains("shipped replaces rel-7f3a from the next tick"));
    harness.view.promotion.previous = None;
    assert_eq!(harness.refused(&pane, Action::Rollback), "there is no previous release");
}

#[test]
fn the_safety_gate_says_what_it_found_and_what_it_needs() {
    let text = harness(|_| {}).text(&mut Candidate::default(), SIZES[1]);
    for part in ["· starvation events: needs 580 more pairs", "0.52 [0.01, 2.90], release 0.00 [0.00, 1.92] per 1,000"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = harness(|_| {}).text(&mut Candidate::default(), SIZES[0]);
    assert!(text.contains("safety      · starvation events  · involuntary exits"), "{text}");
    let verdicts =
        [("passed", "✓ starvation events: passed after"), ("failed", "✗ starvation events: failed, worse in 1")];
    for (verdict, words) in
        verdicts.into_iter().chain([("undecided", "✗ starvation events: not shown to be safe in 24")])
    {
        let text = harness(|view| {
            view.promotion.evidence.as_mut().unwrap().safety[0].verdict = verdict.into();
        })
        .text(&mut Candidate::default(), SIZES[2]);
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn every_state_is_shown_on_the_path() {
    for (state, words) in [
        ("idle", "▸idle ─ evaluating"),
        ("promoting", "eligible ─ ▸promoting ─ canary"),
        ("canary", "promoting ─ ▸canary ─ stable"),
        ("stable", "canary ─ ▸stable"),
        ("rolled_back", "✗ rolled back"),
        ("held", "✗ held"),
        ("some_thing", "some thing"),
    ] {
        for size in [SIZES[0], (48, 16)] {
            let text = harness(|view| view.promotion.state = state.into()).text(&mut Candidate::default(), size);
            assert!(text.contains(words), "{words}\n{text}");
        }
    }
}

#[test]
fn the_interval_is_drawn_with_zero_marked() {
    let drawn = |low: f64, middle: f64, high: f64| {
        let text = harness(|view| {
            let evidence = view.promotion.evidence.as_mut().unwrap();
            (evidence.low, evidence.difference, evidence.high) = (Some(low), Some(middle), Some(high));
        })
        .text(&mut Candidate::default(), SIZES[0]);
        let line = text.lines().find(|line| line.contains('◆')).unwrap_or_else(|| panic!("{text}")).to_owned();
        let inside = line.trim_matches(['┃', ' ']).to_owned();
        "├┃◆┤".chars().map(|sign| inside.chars().position(|cell| cell == sign)).collect::<Vec<_>>()
    };
    let [low, zero, middle, high] = drawn(-0.01, 0.02, 0.05)[..] else { panic!() };
    assert!(low < zero && zero < middle && middle < high);
    let [low, zero, ..] = drawn(0.01, 0.04, 0.08)[..] else { panic!() };
    assert!(zero < low);
    let [_, zero, _, high] = drawn(-0.08, -0.04, -0.01)[..] else { panic!() };
    assert!(high < zero);
}

#[test]
fn without_space_for_the_history_the_border_has_the_selected_change() {
    let harness = harness(|_| {});
    let mut pane = Candidate::default();
    let text = harness.text(&mut pane, (80, 15));
    let border = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    assert!(!text.contains("History, newest first") && border(&text).contains(" history 1 of 4: "), "{text}");
    harness.act(&mut pane, Action::Down);
    let text = harness.text(&mut pane, (80, 15));
    assert!(border(&text).contains(" history 2 of 4: "), "{text}");
    assert!(!border(&harness.text(&mut pane, SIZES[2])).contains("history"));
}

#[test]
fn a_question_about_the_release_leaves_the_newest_change_selected() {
    let mut harness = harness(|_| {});
    harness.role(townlet_wire::Role::Admin);
    let mut pane = Candidate::default();
    harness.draw(&mut pane, (80, 15));
    assert!(matches!(harness.act(&mut pane, Action::Rollback), Reaction::Confirm(_)));
    let mut newest = harness.view.promotion.history.last().expect("a change").clone();
    newest.number += 1;
    harness.view.promotion.history.push(newest);
    let text = harness.text(&mut pane, (80, 15));
    assert!(text.contains(" history 1 of 5: "), "{text}");
}

#[test]
fn history_opens_and_nothing_emits_escapes_or_panics() {
    let mut harness = harness(|_| {});
    let mut pane = Candidate::default();
    harness.draw(&mut pane, SIZES[2]);
    harness.act(&mut pane, Action::Down);
    assert!(
        matches!(harness.act(&mut pane, Action::Open), Reaction::ShowDetail(card) if card.title.ends_with("change 3"))
    );
    harness.view.learning.run = "\u{1b}[31mrun".into();
    harness.view.learning.detail = "\u{9b}2J".into();
    harness.view.learning.checkpoint = Some("\u{7}".into());
    let promotion = &mut harness.view.promotion;
    (promotion.release, promotion.detail) = ("\u{1b}]0;x\u{7}".into(), "\u{202e}abc".into());
    promotion.history[3].why = "\u{1b}[2J".into();
    promotion.blockers[0] = "\u{7}".into();
    promotion.evidence.as_mut().unwrap().safety[0].title = "\u{1b}[2J".into();
    for size in [(1, 1), (4, 3), (12, 9), (40, 12), (80, 20), (120, 22), (200, 56)] {
        for pane in [&mut Training::default() as &mut dyn Pane, &mut Candidate::default()] {
            let text = harness.text(pane, size);
            let bad = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
            assert!(!text.chars().any(bad), "{text:?}");
        }
    }
}
