//! The Agents screen by keystroke and picture.

use super::*;
use crate::fixtures;
use crate::fixtures::pane_harness::{PaneHarness, SIZES};
use crate::pane::Pane;
use crate::screens::operations::Employment;
use townlet_wire::Snapshot;

/// Names of the rows in sight, top to bottom, and the one marked.
fn seen(harness: &PaneHarness, pane: &mut Residents) -> (String, String) {
    let text = harness.text(pane, SIZES[0]);
    let first = |line: &str| line.trim_start_matches('┃').chars().skip(1).collect::<String>();
    let names: Vec<&str> = harness.view.agents.iter().map(|agent| agent.name.as_str()).collect();
    let rows = text.lines().skip(2).take(9).filter_map(|line| {
        let rest = first(line);
        names.iter().find(|name| rest.starts_with(**name)).map(|name| (line.contains('▸'), *name))
    });
    let rows: Vec<(bool, &str)> = rows.collect();
    let marked = rows.iter().filter(|(marked, _)| *marked).map(|(_, name)| *name).collect::<Vec<_>>().join(" ");
    (rows.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(" "), marked)
}

#[test]
fn pictures() {
    let harness = PaneHarness::new(&fixtures::snapshot());
    for size in SIZES {
        insta::assert_snapshot!(
            format!("agents_{}x{}", size.0, size.1),
            harness.picture(&mut Residents::default(), size)
        );
        let mut pane = Residents::default();
        harness.draw(&mut pane, size);
        harness.act(&mut pane, Action::Open);
        insta::assert_snapshot!(format!("inspector_{}x{}", size.0, size.1), harness.picture(&mut pane, size));
    }
    insta::assert_snapshot!(
        "agents_empty",
        PaneHarness::new(&fixtures::bare()).text(&mut Residents::default(), SIZES[0])
    );
}

#[test]
fn events_of_other_days_show_the_day() {
    let harness = PaneHarness::new(&fixtures::snapshot());
    let mut pane = Residents::default();
    harness.draw(&mut pane, SIZES[1]);
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(text.contains("day 2 08:38 Shift absent") && text.contains("      07:29 Employment exit"), "{text}");
}

/// A resident of a town under the scripted policy, new, without a job, ties or a past.
#[test]
fn missing_data_has_empty_states() {
    let mut view = fixtures::snapshot();
    view.policy.kind = "scripted".into();
    view.relationships.ties.clear();
    view.events.clear();
    for agent in &mut view.agents {
        agent.top_options.clear();
        agent.value = None;
        agent.option = "wait".into();
        agent.mask.retain(|bit| bit.option == "wait" || !bit.allowed);
    }
    let harness = PaneHarness::new(&view);
    let mut pane = Residents::default();
    harness.draw(&mut pane, SIZES[1]);
    for _ in 0..6 {
        harness.act(&mut pane, Action::Down);
    }
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[1]);
    for words in [
        "Gwen (7 of 8)",
        "the scripted policy has none",
        "none yet; ties grow",
        "no job",
        "recent events",
        "Idle, because nothing else is possible: eat (no money)",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn the_title_says_how_old_rows_of_a_large_remote_town_may_be() {
    let mut harness = PaneHarness::new(&fixtures::snapshot());
    let few = harness.view.agents.clone();
    harness.view.agents = few.into_iter().cycle().take(6_000).collect();
    assert!(!harness.text(&mut Residents::default(), SIZES[1]).contains("s old"));
    harness.remote();
    let text = harness.text(&mut Residents::default(), SIZES[1]);
    assert!(text.contains("6,000 · by resident ▾ · rows up to 3 s old"), "{text}");
}

#[test]
fn ties_of_a_resident_without_details_are_not_denied() {
    let mut view = fixtures::snapshot();
    view.agents = view.agents.iter().map(Agent::without_details).collect();
    view.relationships.ties.clear();
    let harness = PaneHarness::new(&view);
    let mut pane = Residents::default();
    harness.draw(&mut pane, SIZES[2]);
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[2]);
    assert!(!text.contains("none yet") && text.matches("not received").count() == 3, "{text}");
}

#[test]
fn before_the_first_shift_there_is_no_attendance() {
    let mut harness = PaneHarness::new(&fixtures::snapshot());
    let mut pane = Residents::default();
    let exported = |harness: &PaneHarness, pane: &Residents| {
        let rows = pane.export(&harness.cx()).rows;
        rows[0].iter().find(|(name, _)| name == "attendance_ratio").map(|(_, value)| value.clone())
    };
    let row = |text: &str| text.lines().find(|line| line.contains("▸Ada")).unwrap_or_default().to_owned();
    assert!(row(&harness.text(&mut pane, SIZES[1])).contains(" 71 % "));
    assert_eq!(exported(&harness, &pane).as_deref(), Some("0.71"));
    harness.view.agents[0].shift.as_mut().unwrap().history.clear();
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(row(&text).contains(" – ") && !row(&text).contains('%'), "{text}");
    assert_eq!(exported(&harness, &pane).as_deref(), Some(""));
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(text.contains("attended  – · late today"), "{text}");
    // The same in the exit queue, into which an operator can put everybody.
    let text = harness.text(&mut Employment::default(), SIZES[2]);
    assert!(text.contains("Ada, barista for 4 days; no shift yet."), "{text}");
    assert!(!text.lines().any(|line| line.contains("▸ Ada") && line.contains('%')), "{text}");
}

#[test]
fn keys_sort_reverse_and_keep_the_selected_resident() {
    let harness = PaneHarness::new(&fixtures::snapshot());
    let mut pane = Residents::default();
    assert_eq!(seen(&harness, &mut pane), ("Ada Ben Cleo Dov Eva Finn Gwen Hugo".into(), "Ada".into()));
    harness.act(&mut pane, Action::Down);
    harness.act(&mut pane, Action::Reverse);
    assert_eq!(seen(&harness, &mut pane), ("Hugo Gwen Finn Eva Dov Cleo Ben Ada".into(), "Ben".into()));
    // Option, activity, needs: the place has no room.
    for _ in 0..3 {
        harness.act(&mut pane, Action::Sort);
    }
    let (rows, marked) = seen(&harness, &mut pane);
    assert_eq!((rows.as_str(), marked.as_str()), ("Gwen Ben Cleo Dov Finn Hugo Ada Eva", "Ben"), "worst need first");
    assert_eq!(harness.act(&mut pane, Action::Copy), Reaction::Copy("ben".into()));
}

#[test]
fn the_filter_applies_and_the_neighbour_replaces_a_resident_who_left() {
    let mut harness = PaneHarness::new(&fixtures::snapshot());
    let mut pane = Residents::default();
    harness.filter = "is:critical".into();
    assert_eq!(seen(&harness, &mut pane), ("Gwen".into(), "Gwen".into()));
    harness.filter = "nobody".into();
    assert!(harness.text(&mut pane, SIZES[0]).contains("No residents match the filter."));
    harness.filter.clear();
    seen(&harness, &mut pane);
    harness.act(&mut pane, Action::First);
    harness.act(&mut pane, Action::Down);
    harness.view.agents.retain(|agent| agent.name != "Ben");
    assert_eq!(seen(&harness, &mut pane).1, "Cleo");
}

#[test]
fn the_inspector_opens_scrolls_and_closes() {
    let harness = PaneHarness::new(&fixtures::snapshot());
    let mut pane = Residents::default();
    harness.draw(&mut pane, SIZES[0]);
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("Residents · Ada (1 of 8)") && !text.contains("Dov"), "{text}");
    let mut small = harness.text(&mut pane, (60, 16));
    assert!(small.contains("· pagedown"), "{small}");
    while small.contains("more line") {
        let before = pane.content.inspector.scroll;
        harness.act(&mut pane, Action::PageDown);
        small = harness.text(&mut pane, (60, 16));
        assert!(pane.content.inspector.scroll > before, "{small}");
    }
    assert!(small.contains("Shift absent"), "the end is reached\n{small}");
    harness.act(&mut pane, Action::Back);
    assert!(harness.text(&mut pane, SIZES[0]).contains("Residents · 8"));
}

#[test]
fn the_charts_of_needs_have_the_time_of_what_was_seen() {
    let mut view = fixtures::snapshot();
    let mut harness = PaneHarness::new(&view);
    let now = view.tick;
    let mut seen = Vec::new();
    // A day and a half was not seen.
    for before in [1_560, 1_540, 1_500, 0] {
        view.tick = now - before;
        seen.push(view.clone());
    }
    harness.remember(&seen);
    let mut pane = Residents::default();
    harness.draw(&mut pane, SIZES[2]);
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[2]);
    assert!(text.contains("1 d 13 h ago") && !text.contains("1 h 30 m ago"), "{text}");
}

#[test]
fn another_screen_can_open_a_resident() {
    let harness = PaneHarness::new(&fixtures::snapshot());
    let mut pane = Residents::default();
    Pane::open(&mut pane, "eva");
    assert!(harness.text(&mut pane, SIZES[0]).contains("Residents · Eva (5 of 8)"));
    harness.act(&mut pane, Action::Back);
    assert_eq!(seen(&harness, &mut pane).1, "Eva");
}

#[test]
fn clicks_on_headings_sort_and_on_rows_select() {
    let harness = PaneHarness::new(&fixtures::snapshot());
    let mut pane = Residents::default();
    harness.draw(&mut pane, SIZES[0]);
    pane.click(3, 3, &harness.cx());
    assert_eq!(seen(&harness, &mut pane).1, "Ben");
    pane.click(14, 1, &harness.cx());
    assert_eq!(pane.content.order.column, "option");
    pane.click(14, 1, &harness.cx());
    assert!(pane.content.order.reversed);
    assert_eq!(pane.click(0, 0, &harness.cx()), Reaction::None);
}

#[test]
fn names_cannot_emit_escapes_and_tiny_areas_do_not_panic() {
    let mut view: Snapshot = fixtures::snapshot();
    let agent = &mut view.agents[0];
    agent.name = "\u{1b}[31mAda".into();
    agent.activity = "\u{1b}]0;x\u{7}".into();
    agent.mask[1].reason = "\u{9b}2J".into();
    let harness = PaneHarness::new(&view);
    for open in [false, true] {
        for size in [(1, 1), (4, 3), (12, 9), (40, 12), (80, 20), (200, 56)] {
            let mut pane = Residents::default();
            pane.content.inspector.open = open;
            let text = harness.text(&mut pane, size);
            assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
        }
    }
}
