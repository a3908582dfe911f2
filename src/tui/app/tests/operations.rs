//! What the panes of the Operations screen say and keep whole, at sizes where room is short.

use super::*;
use townlet_wire::telemetry::{Alert, QueueCooldown, QueueUser};

/// Gives the view a change and looks at it.
fn changed(size: (u16, u16), change: impl FnOnce(&mut Snapshot)) -> AppHarness {
    let mut ui = AppHarness::new(Role::Admin, size);
    let mut view = snapshot();
    change(&mut view);
    ui.view(view);
    ui
}

fn alert(name: &str, since_tick: u64) -> Alert {
    Alert {
        name: name.into(),
        severity: "warning".into(),
        since_tick,
        message: format!("{name} stands"),
        hint: "Look.".into(),
    }
}

#[test]
fn a_limit_is_beside_its_figure() {
    let mut ui = changed((120, 40), |view| {
        view.employment.pending_count = 7;
        view.employment.queue_limit = 4;
        view.employment.absent_7d = 23;
    });
    ui.shows(" pending    7 / 4 !");
    ui.shows("absent 7d 23 ");
}

#[test]
fn one_who_only_waits_for_the_cap_is_not_said_to_leave_now() {
    let mut ui = changed((120, 40), |view| {
        view.employment.queue[0].releases_at_tick = 3_000;
        view.jobs.get_mut("ada").unwrap().tenure_days = 2.96;
    });
    ui.shows("when allowed");
    ui.shows("Ada, barista for 3 days; attended 71 % of the latest");
    ui.shows("Leaves as soon as the cap and the gap");
    ui.hides("now (tick");
    ui.press("enter");
    ui.shows("leaves      as soon as the cap and the gap between exits allow");
    ui.press("esc a");
    ui.shows("Ada leaves town on the next tick. Ada has worked 3 days as");
}

#[test]
fn the_streak_is_whole_and_the_oldest_letters_go() {
    let mut ui = changed((120, 40), |view| {
        let window = view.stability.windows[2].clone();
        view.stability.windows = vec![window; 12];
        view.stability.windows[0].verdict = "red".into();
    });
    ui.shows(" G   G    streak 1 green · 2 needed ");
    ui.hides(" R   G ");
    ui.size = (200, 60);
    ui.shows(" R   G ");
}

#[test]
fn what_is_in_use_keeps_its_unit_and_names_keep_apart() {
    for size in [(120, 40), (100, 30), (80, 24), (60, 18)] {
        let mut ui = changed(size, |view| {
            let eva = QueueUser { agent: "eva".into(), affordance: "work".into(), remaining: Some(213) };
            view.conflict.queues[0].object = "shower_10".into();
            view.conflict.queues[1].users = vec![eva.clone(), QueueUser { agent: "ben".into(), ..eva }];
        });
        ui.press("U");
        ui.shows("! shower_10 ");
        ui.shows(" Ben 12 t ");
        ui.shows(" Eva 213 t");
        ui.shows("fairness on ");
    }
}

#[test]
fn busy_objects_come_first_and_rows_do_not_jump() {
    let mut ui = changed((120, 40), |view| {
        let idle = view.conflict.queues[2].clone();
        let named = |name: &str| townlet_wire::telemetry::Queue { object: name.into(), ..idle.clone() };
        let mut cooling = named("desk_5");
        cooling.cooldowns = vec![QueueCooldown { agent: "eva".into(), until_tick: 3_440 }];
        view.conflict.queues.splice(0..0, [named("bed_1"), named("bed_2"), cooling]);
        view.conflict.queues.swap(3, 4);
    });
    let screen = ui.screen();
    let order = ["till_1", "shower_1", "desk_5", "bed_1", "bed_2", "stove_2"];
    let rows: Vec<usize> = order.iter().map(|name| screen.find(&format!(" {name} ")).expect("it is shown")).collect();
    assert!(rows.is_sorted(), "{screen}");
}

#[test]
fn the_newest_alert_is_selected_until_the_operator_selects() {
    let mut ui = changed((120, 40), |view| view.alerts = vec![alert("early", 3_000)]);
    ui.press("A");
    ui.shows("early stands");
    let mut view = snapshot();
    view.alerts = vec![alert("early", 3_000), alert("late", 3_400)];
    ui.view(view.clone());
    ui.press("enter");
    ui.shows("late stands");
    ui.shows("what      late");
    ui.press("esc down enter");
    ui.shows("what      early");
    ui.press("esc");
    view.alerts.push(alert("latest", 3_401));
    ui.view(view.clone());
    ui.press("enter");
    ui.shows("what      early");
    view.alerts.remove(0);
    ui.press("esc");
    ui.view(view);
    ui.press("enter");
    ui.shows("what      latest");
}

#[test]
fn a_selected_story_is_in_sight_however_long_the_others_are() {
    let mut ui = changed((80, 24), |view| {
        let mut long = view.narrations[0].clone();
        long.text = "a long story ".repeat(12);
        view.narrations = vec![long; 12];
        for (number, story) in (0..).zip(&mut view.narrations) {
            story.tick = 3_000 + number;
        }
        view.narrations[0].text = "the very first".into();
        view.narrations[11].tick = 11_000;
        view.tick += 9_000;
    });
    ui.press("A end");
    ui.shows(" day 4    the very first");
    ui.hides("day …");
    ui.press("home");
    ui.shows(" day 4  ! exit cap reached");
}

#[test]
fn pane_tabs_are_whole_at_the_smallest_size() {
    let mut ui = AppHarness::new(Role::Admin, (60, 18));
    ui.shows("A Alerts  C Console");
    ui.shows(" 1 Operations  2 Tow  3 Age  4 Lea  5 Met  6 Aud  7 Eco");
    ui.size = (80, 24);
    ui.shows(" 1 Operations  2 Town  3 Agents  4 Learning  5 Metrics  6 Audit  7 Economy");
    ui.shows("A Alerts and story  C Console");
}

#[test]
fn promoting_and_rolling_back_ask_first_from_stability() {
    let mut ui = changed((120, 40), |view| {
        crate::fixtures::eligible(view);
        view.stability.windows[0].checks[0].value = Some(0.01);
    });
    ui.press("B");
    ui.shows("▸eligible");
    ui.shows("✓ better  +0.046 from +0.012 to +0.081");
    ui.press("m");
    ui.shows("▸ cancel ◂");
    ui.press("enter m tab enter");
    assert_eq!(ui.lines(), ["promote_policy 91c0f2ab33de4410"]);
    ui.press("b");
    ui.shows("shipped drives the town again");
    ui.press("tab enter");
    assert_eq!(ui.lines().last(), Some(&"rollback_policy"));
    ui.app.session.role = Role::Viewer;
    ui.press("b");
    ui.shows("b rollback: `rollback_policy` is for admins and you are a viewer");
}
