//! Tests of the panes of the Operations screen, at small sizes.

use super::*;
use townlet_wire::telemetry::{Alert, QueueCooldown, QueueUser};

/// Gives the view a change and looks at it.
pub(super) fn changed(size: (u16, u16), change: impl FnOnce(&mut Snapshot)) -> AppHarness {
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
        ..Alert::default()
    }
}

#[test]
fn limits_are_shown_beside_their_values() {
    let mut ui = changed((120, 40), |view| {
        view.employment.pending_count = 7;
        view.employment.queue_limit = 4;
        view.employment.absent_7d = 23;
    });
    ui.shows(" pending    7 / 4 !");
    ui.shows("absent 7d 23 ");
}

#[test]
fn an_exit_that_waits_for_the_cap_has_no_release_time() {
    let mut ui = changed((120, 40), |view| {
        view.employment.queue[0].releases_at_tick = 3_000;
        view.jobs.get_mut("ada").unwrap().tenure_days = 2.96;
    });
    ui.shows("when allowed");
    ui.shows("Ada, barista for 2.96 days; attended 71 % of the");
    ui.shows("(limit 3). Leaves as ");
    ui.shows("soon as the exit cap and exit gap allow, unless");
    ui.hides("now (tick");
    ui.press("enter");
    ui.shows("leaves      as soon as the exit cap and exit gap allow");
    ui.press("esc a");
    ui.shows("Ada leaves town on the next tick. Ada has worked 2.96 days");
}

#[test]
fn an_exit_that_is_due_waits_for_the_end_of_a_blackout() {
    let mut ui = changed((120, 40), |view| {
        view.employment.queue[0].releases_at_tick = 3_000;
        let perturbation = &mut view.perturbations[0];
        (perturbation.kind, perturbation.state) = ("blackout".into(), "active".into());
    });
    ui.press("enter");
    ui.shows("leaves      after the blackout, as soon as the exit cap and exit gap allow");
}

#[test]
fn an_exit_that_is_not_due_waits_for_the_end_of_a_blackout() {
    let mut ui = changed((120, 40), |view| {
        let perturbation = &mut view.perturbations[0];
        (perturbation.kind, perturbation.state) = ("blackout".into(), "active".into());
    });
    ui.shows("suspended");
    ui.shows("after the blackout, not before tick 4,752, unless");
    ui.press("enter");
    ui.shows("leaves      after the blackout, not before tick 4,752");
}

#[test]
fn an_approval_at_midnight_counts_for_the_new_day() {
    let mut ui = changed((120, 40), |view| {
        view.employment.exits_today = 2;
        view.clock.tick_of_day = 0;
    });
    ui.press("a");
    ui.shows("Today's exit cap: 0 of 2 used; this makes 1.");
}

#[test]
fn the_streak_is_never_cut_and_the_oldest_letters_are_dropped() {
    let mut ui = changed((120, 40), |view| {
        let window = view.stability.windows[2].clone();
        view.stability.windows = vec![window; 12];
        view.stability.windows[0].verdict = "red".into();
    });
    ui.shows(" G   G    streak 1 green · 2 required ");
    ui.hides(" R   G ");
    ui.size = (200, 60);
    ui.shows(" R   G ");
}

#[test]
fn users_keep_their_unit_in_narrow_columns() {
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
fn objects_in_use_come_before_others_and_rows_stay_in_place() {
    let mut ui = changed((120, 40), |view| {
        let idle = view.conflict.queues[2].clone();
        let named = |name: &str| townlet_wire::telemetry::Queue { object: name.into(), ..idle.clone() };
        let mut cooling = named("desk_5");
        cooling.cooldowns = vec![QueueCooldown { agent: "eva".into(), until_tick: 3_440 }];
        view.conflict.queues.splice(0..0, [named("bed_1"), named("bed_2"), cooling]);
        view.conflict.queues.swap(3, 4);
    });
    let screen = ui.screen();
    let order = ["shower_1", "till_1", "desk_5", "bed_1", "bed_2", "stove_2"];
    let rows: Vec<usize> = order.iter().map(|name| screen.find(&format!(" {name} ")).expect("it is shown")).collect();
    assert!(rows.is_sorted(), "{screen}");
}

#[test]
fn objects_waited_for_are_first_with_the_longest_wait_at_the_head() {
    let mut ui = changed((120, 40), |view| {
        let queue = view.conflict.queues[0].clone();
        let waited = |name: &str, longest_wait| townlet_wire::telemetry::Queue {
            object: name.into(),
            longest_wait,
            ..queue.clone()
        };
        // In the order of the plan the object in use is first.
        view.conflict.queues.swap(0, 1);
        view.conflict.queues.push(waited("table_7", 93));
        view.conflict.queues.push(waited("table_8", 3));
    });
    ui.press("U z");
    let rows = |ui: &mut AppHarness| {
        let screen = ui.screen();
        let names = ["table_7", "shower_1", "table_8", "till_1", "stove_2"];
        names.map(|name| screen.find(&format!(" {name} ")))
    };
    assert!(rows(&mut ui).iter().all(Option::is_some) && rows(&mut ui).is_sorted(), "{}", ui.screen());
    ui.press("/");
    ui.type_in("is:waiting");
    ui.press("enter");
    assert_eq!(rows(&mut ui).map(|row| row.is_some()), [true, true, true, false, false], "{}", ui.screen());
    ui.press("/ ctrl-u");
    ui.type_in("is:off");
    ui.press("enter");
    assert_eq!(rows(&mut ui).map(|row| row.is_some()), [false, false, false, false, true], "{}", ui.screen());
    ui.press("/ ctrl-u");
    ui.type_in("what:till");
    ui.press("enter");
    ui.shows("`what` is not a field. Fields: object, place, user, waiting, is.");
}

#[test]
fn a_shop_that_is_closed_is_not_off() {
    let mut ui = changed((120, 40), |view| view.conflict.queues[2].closed = true);
    ui.press("U z /");
    ui.type_in("is:closed");
    ui.press("enter");
    ui.shows("⊘ stove_2");
    ui.press("enter");
    ui.shows("state     closed at this hour; capacity 1");
    ui.press("esc / ctrl-u");
    ui.type_in("is:off");
    ui.press("enter");
    ui.shows("No queues match the filter.");
}

#[test]
fn large_figures_of_employment_are_whole_and_apart_from_their_sparkline() {
    for (late, absent) in [(301, "1,099"), (1_342, "12,871"), (123_456, "1,234,567")] {
        for size in [(80, 24), (100, 30), (120, 40), (200, 60)] {
            let mut ui = changed(size, |view| {
                view.employment.late_today = late;
                view.employment.absent_7d = absent.replace(',', "").parse().unwrap();
            });
            ui.press("E z");
            ui.shows(&format!(" late today {} ", townlet_wire::thousands(late)));
            ui.shows(&format!(" absent 7d {absent}"));
        }
    }
}

#[test]
fn the_limit_on_exits_of_all_causes_is_named_when_it_holds_the_queue() {
    let held = |view: &mut Snapshot| {
        view.employment.daily_exit_cap = 9;
        (view.employment.all_exits_today, view.employment.all_exits_cap) = (12, Some(12));
        view.employment.queue[0].releases_at_tick = 3_000;
    };
    let mut ui = changed((120, 40), held);
    ui.press("z");
    ui.shows("exits today 2 / 9 ! all exits 12 / 12");
    ui.shows(" tomorrow ");
    ui.shows("(limit 3). Leaves tomorrow ");
    ui.shows("at the earliest: 12 of 12 exits of all causes today, unless deferred.");
    ui.press("enter");
    ui.shows("leaves      tomorrow at the earliest: 12 of 12 exits of all causes today");
    let mut ui = changed((60, 18), held);
    ui.shows("exits today 2 / 9 ! all");
    // The exit cap itself comes first, and one of 0 never lets anybody leave.
    let mut ui = changed((120, 40), |view| {
        held(view);
        (view.employment.daily_exit_cap, view.employment.exits_today) = (0, 0);
    });
    ui.press("z");
    ui.shows("exits today 0 / 0 ! cap reached");
    ui.shows(" by approval ");
    ui.shows("(limit 3). Leaves only by ");
    ui.shows(" approval: the exit cap is 0, unless deferred.");
}

#[test]
fn the_newest_alert_is_selected_until_the_selection_moves() {
    let mut ui = changed((120, 40), |view| view.alerts = vec![alert("early", 3_000)]);
    ui.press("A");
    ui.shows("early stands");
    let mut view = snapshot();
    view.alerts = vec![alert("early", 3_000), alert("late", 3_400)];
    ui.view(view.clone());
    ui.press("enter");
    ui.shows("late stands");
    ui.shows("alert     late");
    ui.press("esc down enter");
    ui.shows("alert     early");
    ui.press("esc");
    view.alerts.push(alert("latest", 3_401));
    ui.view(view.clone());
    ui.press("enter");
    ui.shows("alert     early");
    view.alerts.remove(0);
    ui.press("esc");
    ui.view(view);
    ui.press("enter");
    ui.shows("alert     latest");
}

#[test]
fn the_selected_event_is_visible() {
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
fn pane_tabs_fit_at_the_minimum_size() {
    let mut ui = AppHarness::new(Role::Admin, (60, 18));
    ui.shows("A Alerts  C Console");
    ui.shows(" 1 Operations  2 Tow  3 Age  4 Lea  5 Met  6 Aud  7 Eco");
    ui.size = (80, 24);
    ui.shows(" 1 Operations  2 Town  3 Agents  4 Learning  5 Metrics  6 Audit  7 Economy");
    ui.shows("A Alerts and events  C Console");
}

#[test]
fn stability_asks_before_promoting_and_rolling_back() {
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
    ui.shows("shipped replaces rel-7f3a");
    ui.press("tab enter");
    assert_eq!(ui.lines().last(), Some(&"rollback_policy --restores shipped"));
    ui.app.session.role = Role::Viewer;
    ui.press("b");
    ui.shows("b rollback: `rollback_policy` needs the admin role; you are viewer");
}

#[test]
fn an_open_question_has_the_figures_of_now() {
    let mut ui = changed((120, 40), |view| (view.employment.daily_exit_cap, view.employment.exits_today) = (3, 1));
    ui.press("E a");
    ui.shows("Today's exit cap: 1 of 3 used; this makes 2.");
    let mut view = snapshot();
    (view.employment.daily_exit_cap, view.employment.exits_today) = (3, 3);
    ui.view(view.clone());
    ui.shows("Today's exit cap: 3 of 3 used; this makes 4.");
    ui.shows("the cap by 1: an approved exit does not wait for the cap.");
    // Another resident is never asked for instead.
    view.employment.queue.remove(0);
    ui.view(view.clone());
    ui.hides("Approve exit");
    ui.shows("the question is closed: the selected row is gone; press the key again for the one in its place");
    // What was typed on is no key for anything else.
    assert_eq!(ui.press("p . a q enter"), []);
    ui.shows("The question is closed: ");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
    ui.press("esc");
    view.employment.queue.clear();
    ui.press("a");
    ui.view(view);
    ui.shows("the question is closed: the exit queue is empty");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
}

#[test]
fn a_question_of_a_screen_that_is_behind_says_how_old_it_is() {
    let mut ui = AppHarness::new(Role::Admin, (120, 40));
    let link = townlet_source::Link::Behind { url: "http://x".into(), seconds: 8 };
    ui.app.update(Message::SourceEvent(SourceEvent::Link(link)));
    ui.press("a");
    ui.shows(" Approve exit · as of 8 s ago ");
    let link = townlet_source::Link::Live { url: "http://x".into() };
    ui.app.update(Message::SourceEvent(SourceEvent::Link(link)));
    ui.view(snapshot());
    ui.shows(" Approve exit ");
    ui.hides("as of 8 s ago");
}

#[test]
fn a_key_for_marked_rows_that_are_gone_acts_on_no_other() {
    let mut ui = changed((120, 40), |_| {});
    ui.press("E space");
    ui.shows("1 marked");
    let mut view = snapshot();
    view.employment.queue.remove(0);
    let left = view.employment.queue[0].agent.clone();
    ui.view(view);
    ui.press("d");
    ui.shows("the marked rows are gone; press the key again for the selected one");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
    ui.press("d");
    assert_eq!(ui.lines(), [format!("employment_exit defer {left}")]);
}

#[test]
fn a_question_about_several_goes_on_with_those_that_are_left() {
    let mut ui = changed((120, 40), |_| {});
    ui.press("E space space a");
    ui.shows("approve 2");
    let mut view = snapshot();
    let gone = view.employment.queue.remove(0).agent;
    let left = view.employment.queue[0].agent.clone();
    ui.view(view);
    ui.hides("approve 2");
    ui.shows("Approve exit");
    ui.press("tab enter");
    assert_eq!(ui.lines(), [format!("employment_exit approve {left}")], "without {gone}");
}

#[test]
fn a_rollback_is_not_confirmed_for_another_release() {
    let mut ui = changed((120, 40), |view| view.promotion.state = "canary".into());
    ui.press("P b");
    ui.shows("shipped replaces rel-7f3a from the next tick");
    let mut view = snapshot();
    view.promotion.state = "canary".into();
    view.tick += 1;
    ui.view(view.clone());
    ui.shows("shipped replaces rel-7f3a from the next tick");
    (view.promotion.previous, view.promotion.release) = (Some("rel-7f3a".into()), "rel-9999".into());
    ui.view(view.clone());
    ui.hides("Roll back");
    ui.shows("the question is closed: what it asked about has changed");
    ui.press("esc b");
    ui.shows("rel-7f3a replaces rel-9999 from the next tick");
    view.promotion.previous = None;
    ui.view(view);
    ui.shows("the question is closed: there is no previous release");
    assert!(ui.sent.is_empty(), "{:?}", ui.lines());
}

#[test]
fn a_typed_rollback_names_the_release_that_it_restores() {
    let mut ui = changed((120, 40), |view| view.promotion.state = "canary".into());
    let mut typed = |line: &str| {
        ui.press(":");
        ui.type_in(line);
        ui.press("enter");
        ui.shows("This cannot be undone");
        ui.press("tab enter");
        ui.lines().last().map(ToString::to_string).unwrap_or_default()
    };
    assert_eq!(typed("rollback_policy --reason late"), "rollback_policy --reason late --restores shipped");
    assert_eq!(typed("rollback_policy --restores rel-1"), "rollback_policy --restores rel-1");
    // An older shard does not know the argument.
    ui.app.hello.commands.iter_mut().for_each(|spec| spec.args.retain(|arg| arg.name != "restores"));
    ui.press("P b tab enter");
    assert_eq!(ui.lines().last(), Some(&"rollback_policy"));
}

#[test]
fn a_typed_question_says_what_the_line_would_do_now() {
    let mut ui = changed((120, 40), |_| {});
    ui.press("E a esc :");
    ui.type_in("kill ada");
    ui.press("enter");
    let asked = ui.sent.len();
    ui.view(snapshot());
    ui.shows("This cannot be undone");
    assert_eq!((ui.sent.len(), ui.sent[asked].dry_run, ui.lines()[asked]), (asked + 1, true, "kill ada"));
    // Another state comes before the answer: it is asked for once more, and not more often.
    ui.view(snapshot());
    ui.view(snapshot());
    assert_eq!(ui.sent.len(), asked + 1);
    ui.answer(done(&format!("id-{}", asked + 1), "kill ada", "Ada leaves with her money."));
    ui.shows("Ada leaves with her money.");
    assert_eq!(ui.sent.len(), asked + 2);
    ui.answer(done(&format!("id-{}", asked + 2), "kill ada", "Ada leaves at once."));
    ui.shows("Ada leaves at once.");
    ui.hides("with her money");
    assert_eq!(ui.sent.len(), asked + 2, "no state has come since");
    // What would be refused is not asked for.
    ui.view(snapshot());
    ui.answer(refused(&format!("id-{}", asked + 3), "kill ada"));
    ui.shows("the question is closed: E_FORBIDDEN This command needs the admin role.");
    ui.press("tab enter");
    assert!(ui.sent[asked..].iter().all(|request| request.dry_run), "{:?}", ui.lines());
}

#[test]
fn one_failure_among_several_commands_stays_on_screen() {
    let mut ui = changed((120, 40), |_| {});
    ui.press("E space space space a tab enter L");
    let lines: Vec<String> = ui.lines().into_iter().map(str::to_owned).collect();
    let [first, second, third] = &lines[..] else { panic!("{lines:?}") };
    let base = ui.sent.len() - 3;
    ui.answer(done(&format!("id-{}", base + 1), first, "the first leaves"));
    ui.shows("✓ the first leaves");
    ui.answer(refused(&format!("id-{}", base + 2), second));
    ui.shows(&format!("✗ 1 of 3 done; {second}: E_FORBIDDEN This command needs the admin role."));
    ui.answer(done(&format!("id-{}", base + 3), third, "the third leaves"));
    ui.shows(&format!("✗ 2 of 3 done; {second}: E_FORBIDDEN"));
    // The next command has a message of its own.
    ui.press(":");
    ui.type_in("kpi");
    ui.press("enter");
    ui.answer(done(&format!("id-{}", ui.sent.len()), "kpi", "3 met"));
    ui.shows("✓ 3 met");
}

#[test]
fn an_open_window_follows_what_it_shows_and_says_when_that_is_gone() {
    let mut ui = changed((120, 40), |_| {});
    ui.press("E enter");
    ui.shows("Exit: Ada");
    ui.shows("waiting     2 h 09 m");
    let mut view = snapshot();
    view.tick += 100;
    ui.view(view.clone());
    ui.shows("waiting     4 h 33 m");
    ui.hides("this is past");
    view.employment.queue.remove(0);
    ui.view(view);
    ui.shows("Exit: Ada");
    ui.shows("! this is past: it is not in the list any more");
    ui.shows("waiting     4 h 33 m");
    // An alert that is read stays what it was: the newest one is another.
    let mut ui = changed((120, 40), |view| view.alerts = vec![alert("stability_red", 100)]);
    ui.press("A enter");
    ui.shows("stability_red stands");
    let mut view = snapshot();
    view.alerts = vec![alert("price_spike", 3_000)];
    ui.view(view);
    ui.shows("stability_red stands");
    ui.hides("this is past");
}
