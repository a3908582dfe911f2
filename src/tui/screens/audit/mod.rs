//! The Audit screen: who did what, live, intent and outcome together, and whether the log can still be written.
//!
//! Owns what is selected and whether the newest line is followed. Knows the snapshot's tail of the log only; the log's
//! chain is checked elsewhere. Rule: "Screens", "Audit log".

mod command_records;
mod draw;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use self::command_records::{FIELDS, Group, groups};
use self::draw::{chain, detail, entry};
use super::filter::Filter;
use crate::format::{clip, count};
use crate::keymap::Action;
use crate::pane::{Context, KeyHint, Pane, Reaction, empty, frame_block};

/// Commands a page key moves by.
const PAGE: isize = 10;
/// Lines inside the border from which on the selected command is shown in full below the list.
const TALL: u16 = 28;

/// The screen's one pane takes all of it.
pub fn layout(area: Rect) -> Vec<Rect> {
    vec![area]
}

/// The log.
#[derive(Debug, Default)]
pub struct AuditLog {
    /// Number of the selected command's first line; `None` follows the newest.
    pinned: Option<u64>,
    /// Number of the first line of the first command in sight.
    top: u64,
    /// Whether the selected command has the pane to itself.
    open: bool,
    /// Lines of it above the pane's edge.
    scroll: u16,
    /// Which command each row of the screen belongs to.
    drawn: Vec<(u16, u64)>,
}

fn shown<'a>(cx: &Context<'a>) -> Vec<Group<'a>> {
    let filter = Filter::new(cx.filter, &FIELDS);
    groups(&cx.view.audit.records).into_iter().filter(|group| cx.filter.is_empty() || group.passes(&filter)).collect()
}

impl AuditLog {
    /// Position of the selected command: the newest when following, the next younger one when it has left the tail.
    fn at(&self, groups: &[Group<'_>]) -> usize {
        let newest = groups.len().saturating_sub(1);
        match self.pinned {
            None => newest,
            Some(seq) => groups.partition_point(|group| group.first().seq < seq).min(newest),
        }
    }

    fn select(&mut self, groups: &[Group<'_>], at: usize) -> Reaction {
        let newest = groups.len().saturating_sub(1);
        self.pinned = groups.get(at).filter(|_| at < newest).map(|group| group.first().seq);
        self.scroll = 0;
        Reaction::Redraw
    }

    fn place(&self, groups: &[Group<'_>], filtered: bool) -> String {
        let newer = groups.len().saturating_sub(1) - self.at(groups);
        let following = match self.pinned {
            None => " following the newest".to_owned(),
            Some(_) if newer == 0 => " held · end follows again".to_owned(),
            Some(_) => format!(" held · {} below · end follows again", count(newer as u64, "newer command")),
        };
        let filter = if filtered { format!(" · {} match", groups.len()) } else { String::new() };
        format!("{following}{filter} ")
    }

    fn draw_list(&mut self, frame: &mut Frame<'_>, area: Rect, groups: &[Group<'_>], cx: &Context<'_>) {
        let at = self.at(groups);
        let entries: Vec<Vec<Line<'_>>> =
            groups.iter().enumerate().map(|(index, group)| entry(group, index == at, area.width.into(), cx)).collect();
        let room = usize::from(area.height);
        let lines = |from: usize, to: usize| entries[from..=to].iter().map(Vec::len).sum::<usize>();
        let mut top = if self.pinned.is_none() {
            0
        } else {
            groups.partition_point(|group| group.first().seq < self.top).min(at)
        };
        while top < at && lines(top, at) > room {
            top += 1;
        }
        while top > 0 && lines(top - 1, groups.len() - 1) <= room {
            top -= 1;
        }
        self.top = groups[top].first().seq;
        let mut shown = Vec::new();
        for (index, lines) in entries.into_iter().enumerate().skip(top) {
            let style = match (index == at, cx.focused) {
                (true, true) => cx.theme.selected,
                (true, false) => cx.theme.selected_idle,
                (false, _) => Style::new(),
            };
            for line in lines {
                self.drawn.push((area.y + shown.len() as u16, groups[index].first().seq));
                shown.push(line.patch_style(style));
            }
            if shown.len() >= room {
                break;
            }
        }
        self.drawn.truncate(room);
        frame.render_widget(Paragraph::new(shown), area);
    }
}

impl Pane for AuditLog {
    fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, cx: &Context<'_>) {
        self.drawn.clear();
        let groups = shown(cx);
        let mut block = frame_block("Audit log", cx.focused, cx.theme);
        let inner = block.inner(area);
        let head = chain(&cx.view.audit, usize::from(inner.width), cx.theme);
        let body =
            Rect { y: inner.y + head.len() as u16, height: inner.height.saturating_sub(head.len() as u16), ..inner };
        frame.render_widget(Paragraph::new(head), inner);
        let Some(selected) = groups.get(self.at(&groups)) else {
            frame.render_widget(block, area);
            let (missing, advice) = if cx.view.audit.records.is_empty() {
                (
                    "No command has reached the console yet.",
                    "Try :employment_status; reads and refusals are logged too.",
                )
            } else {
                ("The filter leaves nothing.", "esc clears it; try status:rejected, issuer:tui, or a command's name.")
            };
            return empty(frame, body, missing, advice, cx.theme);
        };
        let place = self.place(&groups, !cx.filter.is_empty());
        block = block.title_bottom(Line::styled(clip(&place, usize::from(inner.width)), cx.theme.accent));
        let full = detail(selected, usize::from(inner.width), cx.theme);
        if self.open {
            let hidden = (full.len() as u16).saturating_sub(body.height);
            self.scroll = self.scroll.min(hidden);
            if hidden > self.scroll {
                let more = format!(" ↓ {} · pagedown ", count(u64::from(hidden - self.scroll), "more line"));
                block = block.title_bottom(Line::from(Span::styled(more, cx.theme.accent)).right_aligned());
            }
            frame.render_widget(Paragraph::new(full).scroll((self.scroll, 0)), body);
        } else {
            let below = if inner.height >= TALL { (full.len() as u16).min(body.height / 2) } else { 0 };
            let list = Rect { height: body.height - below - u16::from(below > 0), ..body };
            self.draw_list(frame, list, &groups, cx);
            if below > 0 {
                let rule = Rect { y: list.bottom(), height: 1, ..body };
                frame.render_widget(Line::styled("─".repeat(usize::from(body.width)), cx.theme.border), rule);
                frame.render_widget(Paragraph::new(full), Rect { y: rule.bottom(), height: below, ..body });
            }
        }
        frame.render_widget(block, area);
    }

    fn act(&mut self, action: Action, cx: &Context<'_>) -> Reaction {
        let groups = shown(cx);
        let at = self.at(&groups);
        match action {
            Action::Up => self.select(&groups, at.saturating_sub(1)),
            Action::Down => self.select(&groups, at + 1),
            Action::PageUp if self.open => {
                self.scroll = self.scroll.saturating_sub(PAGE as u16);
                Reaction::Redraw
            }
            Action::PageDown if self.open => {
                self.scroll = self.scroll.saturating_add(PAGE as u16);
                Reaction::Redraw
            }
            Action::PageUp => self.select(&groups, at.saturating_add_signed(-PAGE)),
            Action::PageDown => self.select(&groups, at.saturating_add_signed(PAGE)),
            Action::First => self.select(&groups, 0),
            Action::Last => self.select(&groups, usize::MAX),
            Action::Open | Action::Back => {
                self.open = action == Action::Open && !self.open;
                // What is being read must not be replaced by what comes in.
                if self.open {
                    self.pinned = groups.get(at).map(|group| group.first().seq);
                }
                self.scroll = 0;
                Reaction::Redraw
            }
            Action::Copy => match groups.get(at).map(|group| group.last().cmd_id.clone()) {
                Some(id) if !id.is_empty() => Reaction::Copy(id),
                _ => Reaction::Say("This line of the log belongs to no command.".into()),
            },
            _ => Reaction::None,
        }
    }

    fn click(&mut self, _column: u16, row: u16, cx: &Context<'_>) -> Reaction {
        let Some(seq) = self.drawn.iter().find(|(drawn, _)| *drawn == row).map(|(_, seq)| *seq) else {
            return Reaction::None;
        };
        let groups = shown(cx);
        let at = groups.iter().position(|group| group.first().seq == seq).unwrap_or(usize::MAX);
        self.select(&groups, at)
    }

    fn bindings(&self, cx: &Context<'_>) -> Vec<KeyHint> {
        let some = if shown(cx).is_empty() { Err("there is no command to show".to_owned()) } else { Ok(()) };
        let mut hints = vec![
            KeyHint::when(Action::Up, "older, newer", some.clone()),
            KeyHint::when(Action::Down, "older, newer", some.clone()),
            KeyHint::when(Action::Open, if self.open { "list" } else { "whole record" }, some.clone()),
            KeyHint::when(Action::Copy, "copy cmd_id", some.clone()),
            KeyHint::when(Action::Last, "follow newest", some),
        ];
        if self.open {
            hints.push(KeyHint::new(Action::PageDown, "scroll"));
            hints.push(KeyHint::new(Action::Back, "list"));
        }
        hints
    }
}
