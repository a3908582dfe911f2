//! The Town screen by keystroke and picture.

use super::*;
use crate::fixtures;
use crate::fixtures::pane_harness::{PaneHarness, SIZES};
use townlet_wire::Snapshot;

/// The fixture's town in the corner of a map of the default size, with the water off.
fn large() -> Snapshot {
    let mut view = fixtures::snapshot();
    let map = &mut view.map;
    for row in &mut map.rows {
        row.push_str(&".".repeat(48 - row.len()));
    }
    map.rows.resize(48, ".".repeat(48));
    (map.width, map.height) = (48, 48);
    let yard = view.agents.iter_mut().find(|agent| agent.id == "gwen").expect("Gwen lives there");
    (yard.x, yard.y) = (30, 45);
    view.utilities.insert("water".into(), false);
    view.conflict.queues[0].working = false;
    view
}

fn cursor(pane: &Map) -> (u64, u64) {
    pane.cursor
}

#[test]
fn pictures() {
    for size in SIZES {
        let (name, harness) = (format!("town_{}x{}", size.0, size.1), PaneHarness::new(&large()));
        insta::assert_snapshot!(name, harness.picture(&mut Map::default(), size));
    }
    insta::assert_snapshot!(
        "town_small_map",
        PaneHarness::new(&fixtures::snapshot()).text(&mut Map::default(), SIZES[0])
    );
    insta::assert_snapshot!("town_empty", PaneHarness::new(&fixtures::bare()).text(&mut Map::default(), SIZES[0]));
}

#[test]
fn the_legend_is_shown_while_somebody_is_followed() {
    for size in [(120, 36), (200, 56)] {
        for view in [large(), fixtures::snapshot()] {
            let text = PaneHarness::new(&view).text(&mut Map::default(), size);
            assert!(text.contains("following Ada") && text.contains("8 residents"), "{text}");
            for word in ["legend", "bed", "wall", "door", "trust", "rival", "& tie"] {
                assert!(text.contains(word), "{word} at {size:?}\n{text}");
            }
        }
    }
    // Too many rows for the panel: the cut is said.
    let text = PaneHarness::new(&large()).text(&mut Map::default(), (80, 26));
    assert!(!text.contains("legend") || text.contains("in ?") || text.contains("rival"), "{text}");
}

#[test]
fn the_cursor_goes_where_the_followed_resident_goes() {
    let mut harness = PaneHarness::new(&large());
    let mut pane = Map::default();
    harness.draw(&mut pane, SIZES[0]);
    assert_eq!(cursor(&pane), (21, 5), "the first resident is followed from the start");
    harness.view.agents[0].y = 40;
    let text = harness.text(&mut pane, SIZES[0]);
    assert_eq!(cursor(&pane), (21, 40));
    assert!(text.contains("following Ada") && text.contains("rows 31–48 of 48 ↑"), "{text}");
}

#[test]
fn follow_takes_the_next_and_an_arrow_lets_go() {
    let mut harness = PaneHarness::new(&large());
    let mut pane = Map::default();
    harness.draw(&mut pane, SIZES[0]);
    assert_eq!(harness.act(&mut pane, Action::Follow), Reaction::Redraw);
    assert_eq!(cursor(&pane), (4, 3), "Ben comes after Ada");
    harness.act(&mut pane, Action::Right);
    harness.act(&mut pane, Action::Down);
    assert_eq!(cursor(&pane), (5, 4));
    harness.view.agents[1].x = 9;
    harness.draw(&mut pane, SIZES[0]);
    assert_eq!(cursor(&pane), (5, 4), "nobody is followed any more");
    assert_eq!(harness.act(&mut pane, Action::Open), Reaction::OpenAgent("cleo".into()), "Cleo stands here");
    harness.act(&mut pane, Action::PageDown);
    for _ in 0..8 {
        harness.act(&mut pane, Action::Right);
    }
    assert_eq!(harness.act(&mut pane, Action::Follow), Reaction::Redraw);
    assert_eq!(cursor(&pane), (13, 9), "Dov is nearest");
}

#[test]
fn a_resident_who_left_is_no_longer_followed() {
    let mut harness = PaneHarness::new(&large());
    let mut pane = Map::default();
    harness.draw(&mut pane, SIZES[0]);
    harness.view.agents.remove(0);
    let text = harness.text(&mut pane, SIZES[0]);
    assert_eq!((cursor(&pane), text.contains("following")), ((21, 5), false));
    assert_eq!(harness.act(&mut pane, Action::Follow), Reaction::Redraw);
    assert_eq!(cursor(&pane), (22, 4), "Finn is nearest to where Ada was");
}

#[test]
fn outages_and_queues_are_seen_without_colour() {
    let mut harness = PaneHarness::new(&large());
    harness.theme = crate::theme::Theme::named("dark", false).expect("there is a dark theme");
    let text = harness.text(&mut Map::default(), SIZES[1]);
    assert!(text.contains("water ✗ OFF") && text.contains("power ✓"), "{text}");
    assert!(text.contains("╬✗"), "the shower does not work\n{text}");
    assert!(text.contains("shower_1 CD 18 t"), "{text}");
    harness.view.conflict.queues[0].working = true;
    let text = harness.text(&mut Map::default(), SIZES[1]);
    assert!(text.contains("╬2"), "two wait for the shower\n{text}");
}

#[test]
fn an_object_under_the_cursor_shows_its_queue() {
    let harness = PaneHarness::new(&large());
    let mut pane = Map::default();
    harness.draw(&mut pane, SIZES[0]);
    let window = pane.window.expect("it was drawn");
    let reaction = pane.click(window.area.x + 2, window.area.y + 4, &harness.cx());
    assert_eq!((reaction, cursor(&pane)), (Reaction::Redraw, (2, 4)));
    let text = harness.text(&mut pane, SIZES[0]);
    for line in [
        "shower_1 · home_1",
        "unavailable: water off",
        "Ben wash · 12 ticks left",
        "1. Cleo waits 18 ticks",
        "in cooldown: Eva",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_click_in_the_list_follows_and_the_filter_narrows_it() {
    let mut harness = PaneHarness::new(&large());
    harness.filter = "office".into();
    let mut pane = Map::default();
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("2 residents"), "{text}");
    let (row, id) = pane.listed[1].clone();
    pane.click(pane.panel.x + 1, row, &harness.cx());
    assert_eq!((id.as_str(), cursor(&pane)), ("hugo", (14, 8)));
}

#[test]
fn ties_of_the_followed_are_shown_on_demand() {
    let harness = PaneHarness::new(&fixtures::snapshot());
    let mut pane = Map::default();
    assert!(!harness.text(&mut pane, SIZES[1]).contains("F♥"));
    harness.act(&mut pane, Action::Overlay);
    let text = harness.text(&mut pane, SIZES[1]);
    assert!(text.contains("F♥") && text.contains("ties"), "{text}");
}

#[test]
fn names_cannot_emit_escapes_and_tiny_areas_do_not_panic() {
    let mut view = large();
    view.agents[0].name = "\u{1b}[31mEve".into();
    view.map.objects[0].id = "bed\u{1b}]0;x\u{7}".into();
    let harness = PaneHarness::new(&view);
    for size in [(1, 1), (3, 3), (10, 4), (61, 5), (80, 20)] {
        let text = harness.text(&mut Map::default(), size);
        assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
    }
}

#[test]
fn all_arrow_keys_are_listed() {
    let harness = PaneHarness::new(&fixtures::snapshot());
    let hints = Map::default().bindings(&harness.cx());
    for action in [Action::Up, Action::Down, Action::Left, Action::Right] {
        assert!(hints.iter().any(|hint| hint.action == action && hint.label == "move cursor"), "{action:?}");
    }
}

/// The fixture's residents spread over a map of 640 × 640, in four homes.
fn city() -> Snapshot {
    let mut view = fixtures::snapshot();
    view.map.rows = vec![".".repeat(640); 640];
    (view.map.width, view.map.height) = (640, 640);
    let few = view.agents.clone();
    view.agents = (0..200)
        .map(|number| {
            let (home, tile) = (number % 4, number / 4);
            let mut agent = few[number % few.len()].clone();
            (agent.id, agent.name) = (format!("r{number}"), format!("R{number}"));
            (agent.x, agent.y) =
                ([20, 600, 20, 600][home] + tile as u64 % 8, [20, 20, 600, 600][home] + tile as u64 / 8);
            agent.needs.iter_mut().for_each(|need| need.value = 0.9);
            agent
        })
        .collect();
    view
}

#[test]
fn the_whole_map_shows_crowds_and_what_needs_attention() {
    let mut harness = PaneHarness::new(&city());
    let mut pane = Map::default();
    harness.text(&mut pane, SIZES[0]);
    harness.act(&mut pane, Action::Overview);
    insta::assert_snapshot!("whole_map", harness.picture(&mut pane, SIZES[0]));
    let hungry = harness.view.agents[3].needs.iter_mut().find(|need| need.name == "hunger").expect("a need");
    hungry.value = hungry.critical / 2.0;
    let shower = harness.view.map.objects.iter_mut().find(|object| object.id == "shower_1").expect("a shower");
    (shower.x, shower.y) = (320, 320);
    let bed = harness.view.map.objects.iter_mut().find(|object| object.id == "bed_1").expect("a bed");
    (bed.x, bed.y) = (320, 100);
    let queue = harness.view.conflict.queues.iter_mut().find(|queue| queue.object == "bed_1");
    if let Some(queue) = queue {
        queue.working = false;
    }
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("whole map · a dot is"), "{text}");
    pane.mode = CursorMode::Free;
    pane.cursor = (600, 600);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("50 residents · 1 hungry"), "{text}");
    // The mark for the waiting is where the cursor is put.
    let overview = pane.overview.expect("it was drawn");
    pane.cursor = (320, 320);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("0 residents · 2 waiting"), "{text}");
    // An arrow goes on by a cell, and `enter` looks closer there.
    harness.act(&mut pane, Action::Right);
    assert_eq!(cursor(&pane), (320 + overview.step()[0], 320));
    let focus = |pane: &Map| {
        let mut focus = Focus::default();
        pane.add_to_focus(&mut focus);
        focus
    };
    assert_eq!(focus(&pane).area, None, "nobody's row is needed at once");
    assert_eq!(harness.act(&mut pane, Action::Open), Reaction::Redraw);
    let text = harness.text(&mut pane, SIZES[0]);
    assert!(text.contains("columns ") && !text.contains("whole map"), "{text}");
    assert!(focus(&pane).area.is_some());
}

#[test]
fn closed_shops_are_no_trouble_and_hide_nobody() {
    let mut view = city();
    let agent = view.agents[3].clone();
    let hungry = view.agents[3].needs.iter_mut().find(|need| need.name == "hunger").expect("a need");
    hungry.value = 0.0;
    let object = view.map.objects[0].clone();
    let here =
        |id: &str| townlet_wire::telemetry::MapObject { id: id.into(), x: agent.x, y: agent.y, ..object.clone() };
    view.map.objects = ["shower_1", "till_1", "stove_2"].map(here).into();
    for queue in &mut view.conflict.queues {
        (queue.working, queue.closed) = (false, true);
        queue.waiting.clear();
    }
    let signs = |view: &Snapshot| {
        let harness = PaneHarness::new(view);
        let mut pane = Map { mode: CursorMode::Free, cursor: (agent.x, agent.y), ..Map::default() };
        harness.act(&mut pane, Action::Overview);
        let text = harness.text(&mut pane, SIZES[0]);
        // The map is left of the panel with its legend.
        let map: String = text.lines().skip(1).map(|line| line.chars().take(57).collect::<String>()).collect();
        (map.contains('!'), map.contains('✗'), text)
    };
    let (hungry, off, text) = signs(&view);
    assert!(hungry && !off && !text.contains("3 off"), "{text}");
    // Without power the mark of the hungry comes first all the same.
    for queue in &mut view.conflict.queues {
        queue.closed = false;
    }
    let (hungry, off, text) = signs(&view);
    assert!(hungry && !off && text.contains("1 hungry · 3 off"), "{text}");
    // On the part of the map a closed shop has no mark either.
    let mut view = fixtures::snapshot();
    let mark = |view: &Snapshot| {
        let mut pane = Map { mode: CursorMode::Free, ..Map::default() };
        let text = PaneHarness::new(view).text(&mut pane, SIZES[0]);
        text.lines().skip(1).any(|line| line.chars().take(48).any(|sign| sign == '✗'))
    };
    view.conflict.queues[0].working = false;
    assert!(mark(&view));
    view.conflict.queues[0].closed = true;
    assert!(!mark(&view));
}

#[test]
fn a_list_without_a_row_does_not_say_which_rows_it_shows() {
    let mut view = city();
    (view.map.objects[0].id, view.map.objects[0].x, view.map.objects[0].y) = ("shower_1".into(), 300, 300);
    for waiters in 0..20 {
        view.conflict.queues[0].waiting = vec![townlet_wire::telemetry::QueueWaiter::default(); waiters];
        let mut pane = Map { mode: CursorMode::Free, cursor: (300, 300), ..Map::default() };
        let text = PaneHarness::new(&view).text(&mut pane, SIZES[0]);
        let rows =
            text.lines().filter(|line| line.contains("soci") || line.contains(" wash ") || line.contains(" work "));
        let place = text.lines().find(|line| line.contains(" of 200"));
        assert!(place.is_none_or(|place| !place.contains("1–0")) && (rows.count() > 0 || place.is_none()), "{text}");
    }
}

#[test]
fn every_tile_has_a_cell_on_the_whole_map() {
    let mut map = fixtures::snapshot().map;
    for (width, height) in [(1, 1), (24, 12), (80, 300), (624, 624), (960, 40)] {
        (map.width, map.height) = (width, height);
        for area in [Rect::new(3, 2, 56, 20), Rect::new(0, 0, 1, 1), Rect::new(0, 0, 176, 54)] {
            let overview = Overview::fitting(&map, area);
            assert_eq!(overview.area.intersection(area), overview.area, "{width} × {height} in {area}");
            for (x, y) in [(0, 0), (width - 1, height - 1), (width / 2, height / 3)] {
                let (column, row) =
                    overview.cell(x, y).unwrap_or_else(|| panic!("{x},{y} of {width} × {height} in {area}"));
                let tile = overview.tile(column, row, &map).expect("a tile");
                assert_eq!(overview.cell(tile.0, tile.1), Some((column, row)));
            }
        }
    }
}
