//! What an app says is on screen.

use super::AppHarness;
use crate::fixtures::crowded::crowded;
use townlet_wire::Role;

#[test]
fn the_residents_on_screen_are_in_focus_and_follow_the_operator() {
    let mut ui = AppHarness::without_view(Role::Admin, (120, 40));
    assert_eq!(ui.app.focus(), townlet_wire::service::Focus::default());
    let view = crowded();
    ui.view(view.clone());
    ui.press("3");
    let screen = ui.screen();
    let first = ui.app.focus();
    assert!((10..60).contains(&first.residents.len()), "a page: {}", first.residents.len());
    // Names are cut.
    let begin = |name: &str| name.chars().take(8).collect::<String>();
    let listed = |id: &str| view.agents.iter().any(|agent| agent.id == id && screen.contains(&begin(&agent.name)));
    assert!(first.area.is_none() && first.residents.iter().all(|id| listed(id)), "{first:?}\n{screen}");
    ui.press("end");
    ui.screen();
    let last = ui.app.focus();
    assert!(last.residents.is_disjoint(&first.residents), "{:?}", last.residents);
    ui.press("enter");
    ui.screen();
    let selected = ui.app.focus().residents;
    assert_eq!(selected.len(), 1, "the inspector shows one");
    assert!(last.residents.is_superset(&selected));
}

#[test]
fn the_map_has_its_window_and_operations_its_queues_in_focus() {
    let mut ui = AppHarness::without_view(Role::Admin, (200, 60));
    let view = crowded();
    ui.view(view.clone());
    ui.screen();
    let operations = ui.app.focus();
    let head = &view.employment.queue[0].agent;
    assert!(operations.residents.contains(head) && operations.area.is_none());
    ui.press("2");
    ui.screen();
    let town = ui.app.focus();
    let area = town.area.expect("the window of the map");
    let followed = &view.agents[0];
    assert!(area.contains(followed.x, followed.y) && town.residents.contains(&followed.id));
    ui.press("6");
    ui.screen();
    assert_eq!(ui.app.focus(), townlet_wire::service::Focus::default(), "the audit log shows no residents");
}
