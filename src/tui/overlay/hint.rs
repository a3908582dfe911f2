//! The first-run hint: three lines until the first key.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Clear;

use super::window_block;
use crate::format::width;
use crate::keymap::{Action, Keymap};
use crate::text_drawing::draw_text;
use crate::theme::Theme;

/// Draws the hint at the lower edge of `area`.
pub(crate) fn draw_hint(frame: &mut Frame<'_>, area: Rect, keymap: &Keymap, theme: &Theme) {
    let key = |action| keymap.label(action);
    let lines = [
        format!(
            "{} to {} open screens, {} changes panes, {} lists keys.",
            key(Action::Operations),
            key(Action::Economy),
            key(Action::NextPane),
            key(Action::Help)
        ),
        format!("{} runs any command, {} searches everything.", key(Action::Console), key(Action::Search)),
        format!("{} opens settings, {} quits. Any key hides this hint.", key(Action::Settings), key(Action::Quit)),
    ];
    let wide = lines.iter().map(|line| width(line)).max().unwrap_or(0) as u16 + 4;
    let (wide, height) = (wide.min(area.width), (lines.len() as u16 + 2).min(area.height));
    let x = area.x + (area.width - wide) / 2;
    let window = Rect { x, y: area.bottom() - height, width: wide, height };
    let block = window_block("Welcome", theme);
    let inside = block.inner(window);
    frame.render_widget(Clear, window);
    frame.render_widget(block, window);
    let text = lines.map(|line| Line::styled(format!(" {line}"), theme.text)).to_vec();
    draw_text(frame, inside, text);
}
