//! Every screen on a terminal that has ASCII only.

use super::*;
use crate::capabilities::{Capabilities, Colours};
use crate::pane::PANES;

/// Asserts that a screen in ASCII has no other character, and that every sign has one that stands for it.
#[track_caller]
fn assert_ascii(ui: &mut AppHarness, what: &str) {
    let full = ui.picture();
    let mut plain = full.clone();
    Capabilities { ascii: true, colours: Colours::None }.apply(&mut plain);
    for (before, after) in full.content.iter().zip(&plain.content) {
        let (before, after) = (before.symbol(), after.symbol());
        assert!(after.is_ascii(), "{what}: {before} stays {after}");
        assert!(after != "?" || before == "?", "{what}: {before} has no ASCII character");
    }
}

#[test]
fn every_screen_has_an_ascii_form() {
    for size in SIZES {
        for pane in PANES {
            for zoomed in [false, true] {
                let mut ui = AppHarness::new(Role::Admin, size);
                ui.view(keys::busy());
                ui.press(&pane.key.to_string());
                if zoomed {
                    ui.press("z");
                }
                assert_ascii(&mut ui, &format!("{} at {size:?}", pane.title));
                // The details or the chart of what is selected, with ties on the map.
                for key in ["enter", "o", "f"] {
                    ui.press(key);
                    assert_ascii(&mut ui, &format!("{} after {key} at {size:?}", pane.title));
                }
            }
        }
        for key in ["?", "ctrl-p", "ctrl-f", ",", ":", "/", "u"] {
            let mut ui = AppHarness::new(Role::Admin, size);
            ui.press(key);
            assert_ascii(&mut ui, &format!("{key} at {size:?}"));
        }
    }
}
