//! The timeline: one line with a run from its first to its newest tick, what happened in it, and the position.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::format::width;
use super::text_drawing::draw_text;
use super::theme::Theme;
use townlet_wire::history::MarkKind;

/// What is marked on a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Mark(MarkKind),
    Bookmark,
}

impl Sign {
    /// Its character, which is ASCII, its style, and its rank: of several in one cell the one of the highest rank is shown.
    pub(crate) const fn appearance(self, theme: &Theme) -> (char, Style, u8) {
        match self {
            Self::Mark(MarkKind::Command) => (':', theme.text, 1),
            Self::Mark(MarkKind::GreenWindow) => ('G', theme.good, 2),
            Self::Mark(MarkKind::Reload) => ('@', theme.accent, 3),
            Self::Mark(MarkKind::Exit) => ('x', theme.warn, 4),
            Self::Mark(MarkKind::RedWindow) => ('R', theme.bad, 5),
            Self::Mark(MarkKind::Perturbation) => ('~', theme.warn, 6),
            Self::Mark(MarkKind::Alert) => ('!', theme.warn, 7),
            Self::Mark(MarkKind::Release) => ('^', theme.accent, 8),
            Self::Mark(MarkKind::Incident) => ('#', theme.bad, 9),
            Self::Bookmark => ('*', theme.accent, 10),
        }
    }

    /// Its name.
    pub(crate) fn word(self) -> String {
        match self {
            Self::Mark(kind) => kind.word().replace('_', " "),
            Self::Bookmark => "bookmark".to_owned(),
        }
    }
}

/// A range of ticks on so many cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) cells: u16,
}

impl Scale {
    const fn steps(&self) -> u128 {
        let steps = self.cells.saturating_sub(1) as u128;
        if steps == 0 { 1 } else { steps }
    }

    fn span(&self) -> u128 {
        u128::from(self.last.saturating_sub(self.first))
    }

    /// The cell of a tick.
    pub(crate) fn cell(&self, tick: u64) -> u16 {
        let from = u128::from(tick.clamp(self.first, self.last.max(self.first)) - self.first);
        let cell = (from * self.steps() + self.span() / 2).checked_div(self.span()).unwrap_or(0);
        (cell as u16).min(self.cells.saturating_sub(1))
    }

    /// The tick of a cell.
    pub(crate) fn tick(&self, cell: u16) -> u64 {
        let cell = u128::from(cell.min(self.cells.saturating_sub(1)));
        self.first + ((cell * self.span() + self.steps() / 2) / self.steps()) as u64
    }
}

/// What a timeline shows.
pub(crate) struct Timeline<'a> {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The tick on screen.
    pub(crate) at: u64,
    /// Whether that is in the past.
    pub(crate) past: bool,
    /// What stands before and after the line.
    pub(crate) labels: (String, String),
    pub(crate) signs: &'a mut dyn Iterator<Item = (u64, Sign)>,
}

impl Timeline<'_> {
    /// Draws it. Returns the area of the line between the labels.
    pub(crate) fn draw(self, frame: &mut Frame<'_>, area: Rect, theme: &Theme) -> Rect {
        let (left, right) = (format!(" {} ", self.labels.0), format!(" {} ", self.labels.1));
        let cells = area.width.saturating_sub((width(&left) + width(&right)) as u16);
        let bar = Rect { x: area.x + width(&left) as u16, width: cells, ..area }.intersection(area);
        let scale = Scale { first: self.first, last: self.last, cells };
        let position = scale.cell(self.at);
        let mut row: Vec<(char, Style, u8)> = vec![('─', theme.border, 0); usize::from(cells)];
        for (tick, sign) in self.signs {
            if let Some(cell) = row.get_mut(usize::from(scale.cell(tick))) {
                let appearance = sign.appearance(theme);
                if appearance.2 > cell.2 {
                    *cell = appearance;
                }
            }
        }
        if let Some(cell) = row.get_mut(usize::from(position)) {
            let style = if self.past { theme.past } else { theme.selected };
            *cell = (if cell.2 == 0 { '┃' } else { cell.0 }, style, 0);
        }
        let mut spans = vec![Span::styled(left, theme.dim)];
        spans.extend(row.into_iter().map(|(sign, style, _)| Span::styled(sign.to_string(), style)));
        spans.push(Span::styled(right, theme.dim));
        draw_text(frame, area, Line::from(spans));
        bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_ticks_lead_to_each_other() {
        for (first, last, cells) in [(0, 9_999_999, 180), (1_000, 1_010, 60), (5, 5, 10), (0, u64::MAX, 1), (7, 3, 0)] {
            let scale = Scale { first, last, cells };
            assert_eq!(scale.cell(first), 0);
            for cell in 0..cells {
                let tick = scale.tick(cell);
                assert!((first..=last.max(first)).contains(&tick), "{tick}");
                // Of a short run several cells have the same tick.
                assert!(last - first < u64::from(cells) || scale.cell(tick) == cell, "{first} {last} {cells} {cell}");
            }
        }
        let scale = Scale { first: 100, last: 200, cells: 11 };
        assert_eq!([scale.cell(0), scale.cell(150), scale.cell(900)], [0, 5, 10]);
        assert_eq!([scale.tick(0), scale.tick(10), scale.tick(99)], [100, 200, 200]);
    }

    #[test]
    fn every_sign_is_one_ascii_character_of_its_own() {
        let theme = Theme::named("dark", true).unwrap();
        let signs = MarkKind::ALL.into_iter().map(Sign::Mark).chain([Sign::Bookmark]);
        let all: Vec<(char, u8)> =
            signs.map(|sign| sign.appearance(&theme)).map(|(sign, _, rank)| (sign, rank)).collect();
        for (place, (sign, rank)) in all.iter().enumerate() {
            assert!(sign.is_ascii_graphic());
            assert!(all[..place].iter().all(|other| other.0 != *sign && other.1 != *rank), "{sign}");
        }
    }
}
