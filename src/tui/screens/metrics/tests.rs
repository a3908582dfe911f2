//! The Metrics screen by keystroke and picture.

use super::*;
use crate::fixtures;
use crate::fixtures::pane_harness::{PaneHarness, SIZES};
use crate::pane::Pane;

fn harness(filter: &str) -> PaneHarness {
    let mut harness = PaneHarness::new(&fixtures::snapshot());
    harness.filter = filter.into();
    harness
}

/// The pane with its chart expanded.
fn expanded(expanded: bool) -> Metrics {
    let mut pane = Metrics::default();
    pane.content.expanded = expanded;
    pane
}

fn copied(harness: &PaneHarness, pane: &mut Metrics) -> String {
    match harness.act(pane, Action::Copy) {
        Reaction::Copy(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pictures() {
    let harness = harness("");
    for size in SIZES {
        let name = format!("metrics_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, harness.picture(&mut Metrics::default(), size));
    }
    let mut pane = expanded(true);
    insta::assert_snapshot!("metrics_one_chart", harness.text(&mut pane, SIZES[0]));
    insta::assert_snapshot!("metrics_empty", PaneHarness::new(&fixtures::bare()).text(&mut pane, SIZES[0]));
}

#[test]
fn targets_are_shown_in_list_and_chart() {
    let harness = harness("group:kpi tenure");
    let text = harness.text(&mut Metrics::default(), SIZES[1]);
    assert!(text.contains("tenure") && text.contains("2.4 days ✗ ≥ 3 days"), "{text}");
    assert!(text.contains('•') && text.contains("day 3 "), "the target's line and the days\n{text}");
}

#[test]
fn an_exported_rate_has_a_name_of_its_own() {
    let harness = harness("ghost");
    let mut pane = expanded(true);
    let rate = pane.export(&harness.cx()).chart.expect("a chart");
    assert_eq!(rate.unit, "per day");
    harness.act(&mut pane, Action::Right);
    let total = pane.export(&harness.cx()).chart.expect("a chart");
    assert_eq!(rate.name, format!("{}_per_day", total.name));
}

#[test]
fn counters_are_drawn_as_rate_or_total() {
    let harness = harness("ghost");
    let mut pane = expanded(true);
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(text.contains("per day  drawn: rate"), "{text}");
    harness.act(&mut pane, Action::Right);
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(text.contains("ghost steps  2  drawn: total"), "{text}");
    harness.act(&mut pane, Action::Left);
    assert!(harness.text(&mut pane, SIZES[1]).contains("drawn: rate"));
}

#[test]
fn the_title_says_since_when_a_figure_is_counted() {
    let title =
        |filter: &str| harness(filter).text(&mut Metrics::default(), SIZES[1]).lines().next().unwrap().to_owned();
    let since = "counted since the shard's process started";
    assert!(title("group:counters").contains(since) && title("group:transport dropped").contains(since));
    assert!(!title("group:kpi").contains(since) && !title("group:queues").contains(since));
}

#[test]
fn sorting_and_filtering_keep_the_selection() {
    let mut harness = harness("");
    let mut pane = Metrics::default();
    harness.draw(&mut pane, SIZES[0]);
    assert!(copied(&harness, &mut pane).starts_with("kpi.self_sufficiency 88.0 % (≥ 70 %) at tick 3402"));
    harness.act(&mut pane, Action::Down);
    for word in ["name", "value", "verdict", "group"] {
        harness.act(&mut pane, Action::Sort);
        assert!(harness.text(&mut pane, SIZES[0]).contains(&format!("by {word} ▾")));
        assert!(copied(&harness, &mut pane).starts_with("kpi.tenure"), "{word}");
    }
    harness.act(&mut pane, Action::Reverse);
    assert!(harness.text(&mut pane, SIZES[0]).contains("by group ▴"));
    assert!(copied(&harness, &mut pane).starts_with("kpi.tenure"));
    harness.filter = "verdict:missed".into();
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("Metrics · 1 ·") && text.contains("tenure"), "{text}");
    harness.filter = "verdict:breach".into();
    assert!(harness.text(&mut pane, SIZES[0]).contains("queue fairness"));
    harness.filter = "nothing at all".into();
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("No metrics match the filter."), "{text}");
}

#[test]
fn rows_say_their_group_and_no_two_rows_are_the_same() {
    let harness = harness("");
    let mut pane = Metrics::default();
    let text = harness.text(&mut pane, (200, 200));
    for group in ["kpi", "stability", "employment", "queues", "rewards", "economy", "counters", "transport", "health"] {
        let named = |line: &&str| line.chars().skip(3).take(11).collect::<String>().trim() == group;
        let rows = text.lines().filter(named).count();
        assert_eq!(rows, 1, "{group}: once, at its first row\n{text}");
    }
    // In any other order, a row says its group unless the row above has it.
    harness.act(&mut pane, Action::Sort);
    let text = harness.text(&mut pane, (200, 200));
    let mut seen = std::collections::BTreeSet::new();
    let mut group = String::new();
    for line in text.lines().skip(2).filter(|line| line.len() > 40) {
        let first: String = line.chars().skip(3).take(11).collect();
        let title: String = line.chars().skip(14).take(25).collect();
        if !first.trim().is_empty() {
            group = first.trim().to_owned();
        }
        assert!(title.trim().is_empty() || seen.insert((group.clone(), title)), "{line}\n{text}");
    }
}

#[test]
fn a_click_on_a_column_head_sorts_and_once_more_reverses() {
    let harness = harness("");
    let mut pane = Metrics::default();
    harness.draw(&mut pane, SIZES[1]);
    for (column, words) in
        [(16, "by name ▾"), (16, "by name ▴"), (48, "by value ▾"), (60, "by verdict ▾"), (4, "by group ▾")]
    {
        assert_eq!(pane.click(column, 1, &harness.cx()), Reaction::Redraw);
        let text = harness.text(&mut pane, SIZES[1]);
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn enter_expands_the_chart_and_clicks_select() {
    let harness = harness("");
    let mut pane = Metrics::default();
    harness.draw(&mut pane, SIZES[0]);
    assert_eq!(pane.click(10, 3, &harness.cx()), Reaction::Redraw);
    harness.act(&mut pane, Action::Open);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains(" tenure  2.4 days") && !text.contains("self-sufficiency"), "{text}");
    harness.act(&mut pane, Action::Down);
    assert!(harness.text(&mut pane, SIZES[0]).contains("Not enough data for this metric yet."));
    harness.act(&mut pane, Action::Back);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(
        text.contains("  self-sufficiency") && text.contains("▸            relationship coverage"),
        "nothing scrolled\n{text}"
    );
}

#[test]
fn names_cannot_emit_escapes_and_tiny_areas_do_not_panic() {
    let mut view = fixtures::snapshot();
    view.kpis[0].title = "\u{1b}[31mx".into();
    view.kpis[0].target = "\u{9b}2J".into();
    view.kpis[0].unit = "\u{7}".into();
    view.counters.insert("\u{202e}abc".into(), 1);
    let harness = PaneHarness::new(&view);
    for expanded_chart in [false, true] {
        for size in [(1, 1), (4, 3), (12, 9), (40, 12), (80, 20), (120, 36), (200, 56)] {
            let mut pane = expanded(expanded_chart);
            let text = harness.text(&mut pane, size);
            let bad = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
            assert!(!text.chars().any(bad), "{text:?}");
        }
    }
}
