//! Every screen of a crowded town: nothing is cut without a sign, and no two values touch.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{AppHarness, SIZES};
use crate::fixtures::crowded::{crowded, cut_texts, windows};
use crate::pane::PANES;
use crate::screenshot;
use townlet_wire::Role;

/// The panes on screen, the header and the footer; the window over them, if there is one.
fn areas(ui: &AppHarness, buffer: &Buffer) -> Vec<Rect> {
    let over = windows(buffer);
    if !over.is_empty() {
        return over;
    }
    let panes = ui.app.panes.iter().map(|pane_state| pane_state.area).filter(|area| !area.is_empty());
    let wide = buffer.area.width;
    let bars = [Rect::new(0, 0, wide, 3), Rect::new(0, buffer.area.height - 2, wide, 2)];
    panes.chain(bars).collect()
}

/// What is wrong on screens, with one of them.
#[derive(Default)]
struct Problems(Vec<String>, String);

impl Problems {
    fn collect(&mut self, ui: &mut AppHarness, what: &str) {
        let buffer = ui.picture();
        let areas = areas(ui, &buffer);
        let problems = cut_texts(&buffer, &areas);
        if !problems.is_empty() && self.0.is_empty() {
            self.1 = screenshot::text(&buffer);
        }
        let size = ui.size;
        self.0.extend(problems.into_iter().map(|problem| format!("{what} at {size:?}: {problem}")));
    }

    #[track_caller]
    fn assert_none(&self) {
        assert!(self.0.is_empty(), "{:#?}\n{}", self.0, self.1);
    }
}

fn harness(size: (u16, u16)) -> AppHarness {
    let mut ui = AppHarness::without_view(Role::Admin, size);
    ui.view(crowded());
    ui
}

#[test]
fn no_pane_cuts_a_text_without_a_sign() {
    let mut problems = Problems::default();
    for size in SIZES {
        let mut ui = harness(size);
        for row in PANES {
            ui.press(&row.key.to_string());
            problems.collect(&mut ui, row.title);
            ui.press("z");
            problems.collect(&mut ui, &format!("{} alone", row.title));
            ui.press("down down enter");
            problems.collect(&mut ui, &format!("details in {}", row.title));
            ui.press("esc esc esc");
        }
    }
    problems.assert_none();
}

#[test]
fn no_pane_of_the_smallest_size_cuts_a_text_without_a_sign() {
    let mut problems = Problems::default();
    for size in [(100, 30), (200, 60)] {
        for row in PANES {
            let mut ui = harness(size);
            ui.press(&row.key.to_string());
            problems.collect(&mut ui, row.title);
            (0..40).for_each(|_| drop(ui.press("ctrl-left ctrl-up")));
            problems.collect(&mut ui, &format!("{} as small as it can be", row.title));
            (0..40).for_each(|_| drop(ui.press("ctrl-right ctrl-down")));
            problems.collect(&mut ui, &format!("{} as large as it can be", row.title));
        }
    }
    problems.assert_none();
}

#[test]
fn no_window_cuts_a_text_without_a_sign() {
    let mut problems = Problems::default();
    for size in SIZES {
        for keys in [
            "?",
            "ctrl-p",
            "ctrl-f",
            "E a",
            "E space space space a",
            "E space space d",
            "U enter",
            "B enter",
            "E c",
            "R c",
        ] {
            let mut ui = harness(size);
            ui.picture();
            ui.press(keys);
            assert!(!windows(&ui.picture()).is_empty(), "{keys} opens a window");
            problems.collect(&mut ui, keys);
        }
    }
    problems.assert_none();
}

#[test]
fn the_check_sees_what_is_cut() {
    let area = Rect::new(0, 0, 20, 2);
    let problems = |rows: [&str; 2]| {
        let mut buffer = Buffer::empty(area);
        rows.iter().enumerate().for_each(|(y, row)| buffer.set_string(0, y as u16, row, ratatui::style::Style::new()));
        cut_texts(&buffer, &[area])
            .iter()
            .map(|problem| problem.split(':').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(problems(["«^ada$»  12 «^be…", "«^one» «two» …"]), none);
    assert_eq!(
        problems(["«^ada of", ""]),
        ["a word is cut without a sign", "1 texts begin and 0 end or have a sign, in Rect { x"]
    );
    assert_eq!(problems(["«^adaadaadaadaadaada", ""])[0], "a word is cut without a sign");
    assert_eq!(problems(["«^one» «two»", ""]), ["1 texts begin and 0 end or have a sign, in Rect { x"]);
    assert_eq!(problems(["«^ada$»«^ben$»", "12«^ada$»"]), ["two values touch", "two values touch"]);
    assert_eq!(problems(["«^ada$»12 «^b…7", ""])[0], "two values touch");
}
