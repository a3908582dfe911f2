//! Tables: which columns fit into a width, their heads and their cells. Neighbours always have a blank between them, and text
//! that does not fit ends with `…`. Rule: "Screens".

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::format::{pad, pad_left};
use super::layouts::Layouts;
use super::theme::Theme;

/// The largest width of a column that gets whatever space is left.
pub(crate) const REST: usize = usize::MAX;
/// The width that such a column gets in the order of ranks, before the others have their largest width.
const COMFORTABLE: usize = 30;

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its head, which is also its name in the operator's choice of columns.
    pub(crate) head: &'static str,
    /// Smallest and largest width.
    pub(crate) width: (usize, usize),
    /// Whether it is right-aligned.
    pub(crate) numeric: bool,
    /// Where space is short, columns of a higher rank are left out first; those of rank 0 never.
    pub(crate) rank: u8,
    /// The fields of an export that it shows; none: the one with its head as name, if there is one.
    fields: &'static [&'static str],
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(head: &'static str, least: usize, most: usize, rank: u8) -> Self {
        Self { head, width: (least, most), numeric: false, rank, fields: &[] }
    }

    /// A column of numbers.
    pub(crate) const fn number(head: &'static str, least: usize, most: usize, rank: u8) -> Self {
        Self { head, width: (least, most), numeric: true, rank, fields: &[] }
    }
}

impl Column {
    /// With the names of the fields that it shows, where these have other names than its head.
    pub(crate) const fn of(self, fields: &'static [&'static str]) -> Self {
        Self { fields, ..self }
    }

    /// The names of the fields of an export that it shows.
    fn fields(&self) -> Vec<&'static str> {
        if self.fields.is_empty() { vec![self.head] } else { self.fields.to_vec() }
    }
}

/// From this rank on, a column is shown only where all others have their largest width.
pub(crate) const EXTRA: u8 = 10;

/// A table of one pane.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, that of the pane.
    pub(crate) name: &'static str,
    /// All columns, in the default order.
    pub(crate) columns: &'static [Column],
}

/// The content of a cell.
pub(crate) enum Cell {
    /// Text that is cut to the width.
    Text(String, Style),
    /// Pieces that fit already.
    Pieces(Vec<(String, Style)>),
}

impl From<(String, Style)> for Cell {
    fn from((text, style): (String, Style)) -> Self {
        Self::Text(text, style)
    }
}

/// The columns that are drawn, with their widths.
#[derive(Clone, Debug, Default)]
pub(crate) struct FittedColumns {
    columns: Vec<(&'static Column, usize)>,
}

impl Table {
    /// The names of the fields that the columns chosen by the operator show, in their order; `None` without a choice.
    pub(crate) fn chosen_fields(&self, layouts: &Layouts) -> Option<Vec<&'static str>> {
        let all: &'static [Column] = self.columns;
        Some(layouts.columns(self)?.into_iter().flat_map(|index| all[index].fields()).collect())
    }

    /// The columns that fit into `width`: those the operator chose and the extra ones after them, or the default. `contents` has the widths of the contents
    /// of some columns, which then are as wide as that, within their bounds; one that gets what is left is shown whole before there
    /// are further columns.
    pub(crate) fn fit(&self, layouts: &Layouts, width: usize, contents: &[(&str, usize)]) -> FittedColumns {
        let content_of =
            |column: &Column| contents.iter().find(|(head, _)| *head == column.head).map(|(_, content)| *content);
        let bounds = |column: &Column| match (column.width, content_of(column)) {
            ((least, most), Some(content)) if most != REST => {
                let content = content.clamp(least, most);
                (content, content)
            }
            (width, _) => width,
        };
        let chosen = layouts.columns(self);
        let all: &'static [Column] = self.columns;
        let is_chosen = |column: &Column| chosen.iter().flatten().any(|index| all[*index].head == column.head);
        let rank = |column: &Column| if is_chosen(column) { column.rank.min(EXTRA - 1) } else { column.rank };
        // Extra columns that the operator did not choose follow where there is room.
        let extra = |index: &usize| all[*index].rank >= EXTRA && !is_chosen(&all[*index]);
        let indices: Vec<usize> = match &chosen {
            Some(chosen) => chosen.iter().copied().chain((0..all.len()).filter(extra)).collect(),
            None => (0..all.len()).collect(),
        };
        let mut columns: Vec<(&'static Column, usize)> =
            indices.into_iter().map(|index| (&all[index], bounds(&all[index]).0)).collect();
        let total = |columns: &[(&Column, usize)], wide: bool| {
            let of = |column: &Column| match bounds(column) {
                (least, REST) if wide => content_of(column).unwrap_or(least).max(least),
                (_, most) if wide => most,
                (least, _) => least,
            };
            columns.iter().map(|(column, _)| of(column) + 1).sum::<usize>().saturating_sub(1)
        };
        while let Some(worst) = columns.iter().map(|(column, _)| rank(column)).max().filter(|rank| *rank > 0)
            && total(&columns, worst >= EXTRA) > width
        {
            let last = columns.iter().rposition(|(column, _)| rank(column) == worst).unwrap_or(0);
            columns.remove(last);
        }
        // Where even the columns of rank 0 do not fit, those as wide as their contents give way.
        let mut over = total(&columns, false).saturating_sub(width);
        for (column, width) in &mut columns {
            let taken = over.min(*width - column.width.0);
            *width -= taken;
            over -= taken;
        }
        let mut spare =
            width.saturating_sub(columns.iter().map(|(_, width)| width + 1).sum::<usize>().saturating_sub(1));
        // By rank, up to the largest width; what is left after that goes to the columns without one.
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by_key(|index| rank(columns[*index].0));
        for index in &order {
            let (column, width) = &mut columns[*index];
            let most = bounds(column).1;
            let given = spare.min(if most == REST { COMFORTABLE } else { most }.saturating_sub(*width));
            *width += given;
            spare -= given;
        }
        let mut takers = columns.iter().filter(|(column, _)| bounds(column).1 == REST).count();
        for (column, width) in &mut columns {
            if bounds(column).1 == REST {
                let given = spare / takers;
                *width += given;
                spare -= given;
                takers -= 1;
            }
        }
        FittedColumns { columns }
    }
}

impl FittedColumns {
    /// The heads after `indent` blanks. The column with the head `sorted.0` has an arrow.
    pub(crate) fn heads(&self, indent: usize, sorted: Option<(&str, bool)>, theme: &Theme) -> Line<'static> {
        self.heads_as(str::to_owned, indent, sorted, theme)
    }

    /// [`FittedColumns::heads`] with other words.
    pub(crate) fn heads_as(
        &self,
        words: impl Fn(&str) -> String,
        indent: usize,
        sorted: Option<(&str, bool)>,
        theme: &Theme,
    ) -> Line<'static> {
        let cell = |column: &Column, width: usize| {
            let arrow = match sorted {
                Some((head, reversed)) if head == column.head => {
                    if reversed {
                        "▴"
                    } else {
                        "▾"
                    }
                }
                _ => "",
            };
            // The words give way to the sign.
            let words = super::format::clip(&words(column.head), width - arrow.chars().count());
            Cell::Text(format!("{words}{arrow}"), theme.head)
        };
        let mut spans = vec![Span::styled(" ".repeat(indent), theme.head)];
        spans.extend(self.spans(None, theme.head, cell));
        Line::from(spans)
    }

    /// A row: `prefix`, then the cells. A selected row has one style.
    pub(crate) fn row(
        &self,
        prefix: Vec<(String, Style)>,
        selected: Option<Style>,
        cell: impl Fn(&str, usize) -> Cell,
    ) -> Line<'static> {
        let prefix = prefix.into_iter().map(|(text, style)| Span::styled(text, selected.unwrap_or(style)));
        let gap = selected.unwrap_or_default();
        let cells = self.spans(selected, gap, |column, width| cell(column.head, width));
        prefix.chain(cells).collect()
    }

    fn spans(&self, selected: Option<Style>, gap: Style, cell: impl Fn(&Column, usize) -> Cell) -> Vec<Span<'static>> {
        let mut spans = Vec::new();
        for (index, (column, width)) in self.columns.iter().enumerate() {
            if index > 0 {
                spans.push(Span::styled(" ", gap));
            }
            match cell(column, *width) {
                Cell::Text(text, style) => {
                    let text = if column.numeric { pad_left(&text, *width) } else { pad(&text, *width) };
                    spans.push(Span::styled(text, selected.unwrap_or(style)));
                }
                Cell::Pieces(pieces) => {
                    let mut left = *width;
                    for (text, style) in pieces {
                        let text = super::format::clip(&text, left);
                        left -= super::format::width(&text);
                        spans.push(Span::styled(text, selected.unwrap_or(style)));
                    }
                    spans.push(Span::styled(" ".repeat(left), gap));
                }
            }
        }
        spans
    }

    /// The width of a column that is shown.
    pub(crate) fn width(&self, head: &str) -> usize {
        self.columns.iter().find(|(column, _)| column.head == head).map_or(0, |(_, width)| *width)
    }

    /// Head of the column at an offset from the first one.
    pub(crate) fn at(&self, offset: usize) -> Option<&'static str> {
        let mut right = 0;
        let found = self.columns.iter().find(|(_, width)| {
            right += width + 1;
            offset < right
        });
        found.map(|(column, _)| column.head)
    }

    /// Heads of the columns, from the left.
    pub(crate) fn heads_shown(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(column, _)| column.head).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::width;

    static TABLE: Table = Table {
        name: "Test",
        columns: &[
            Column::text("name", 6, 10, 0),
            Column::number("count", 5, 5, 1),
            Column::text("note", 4, REST, 2),
            Column::text("place", 8, 8, EXTRA),
        ],
    };

    fn drawn(layouts: &Layouts, columns: usize) -> (String, String) {
        let theme = Theme::named("dark", true).unwrap();
        let fitted = TABLE.fit(layouts, columns, &[]);
        let text = |line: Line<'_>| line.spans.iter().map(|span| span.content.to_string()).collect::<String>();
        let cell = |head: &str, _| Cell::Text(format!("{head} {}", "long ".repeat(20)), theme.text);
        (text(fitted.heads(0, None, &theme)), text(fitted.row(Vec::new(), None, cell)))
    }

    #[test]
    fn columns_are_left_out_by_rank_and_extra_ones_come_last() {
        let none = Layouts::default();
        assert_eq!(drawn(&none, 6).0, "name  ");
        assert_eq!(drawn(&none, 13).0, "name    count");
        assert_eq!(drawn(&none, 17).0, "name   count note");
        assert_eq!(drawn(&none, 29).0, "name       count note        ");
        assert_eq!(drawn(&none, 30).0, "name       count note place   ");
        assert_eq!(drawn(&none, 40).0, "name       count note           place   ");
        let heads = |width, note| TABLE.fit(&none, width, &[("note", note)]).heads_shown().len();
        assert_eq!([heads(45, 20), heads(46, 20)], [3, 4], "the note has its space first");
    }

    #[test]
    fn every_cell_is_cut_with_a_sign_and_has_a_blank_beside_it() {
        for columns in 6..60 {
            let (heads, row) = drawn(&Layouts::default(), columns);
            assert!(width(&heads) <= columns && width(&row) <= columns, "{columns}");
            let cells: Vec<&str> = row.split("… ").collect();
            assert_eq!(cells.len(), heads.split_whitespace().count(), "{row}");
            assert!(row.trim_end().ends_with('…'), "{row}");
        }
    }

    #[test]
    fn a_narrow_head_keeps_its_sign() {
        let theme = Theme::named("dark", true).unwrap();
        let heads = |sorted| {
            let line = TABLE.fit(&Layouts::default(), 29, &[]).heads(0, Some(sorted), &theme);
            line.spans.iter().map(|span| span.content.to_string()).collect::<String>()
        };
        assert_eq!(heads(("count", false)), "name       cou…▾ note        ");
        assert_eq!(heads(("name", true)), "name▴      count note        ");
    }

    #[test]
    fn chosen_columns_are_shown_in_their_order() {
        let mut layouts = Layouts::default();
        layouts.choose(&TABLE, Some(&[3, 0]));
        assert_eq!(drawn(&layouts, 40).0, "place    name      ");
        assert_eq!(drawn(&layouts, 12).0, "name      ", "by rank also then");
        layouts.choose(&TABLE, Some(&[1, 0]));
        assert_eq!(drawn(&layouts, 24).0, "count name      ", "not all of an extra column");
        assert_eq!(drawn(&layouts, 25).0, "count name       place   ", "an extra column follows");
        layouts.choose(&TABLE, None);
        assert_eq!(drawn(&layouts, 30).0, "name       count note place   ");
    }

    #[test]
    fn chosen_columns_name_the_fields_of_an_export() {
        static NAMED: Table = Table {
            name: "Named",
            columns: &[Column::text("name", 6, 10, 0), Column::number("count", 5, 5, 1).of(&["total", "limit"])],
        };
        let mut layouts = Layouts::default();
        assert_eq!(NAMED.chosen_fields(&layouts), None);
        layouts.choose(&NAMED, Some(&[1, 0]));
        assert_eq!(NAMED.chosen_fields(&layouts), Some(vec!["total", "limit", "name"]));
    }

    #[test]
    fn contents_set_a_width_within_the_bounds() {
        for (content, expected) in [(3, 6), (8, 8), (50, 10)] {
            let fitted = TABLE.fit(&Layouts::default(), 60, &[("name", content)]);
            assert_eq!(fitted.columns[0].1, expected);
        }
    }

    #[test]
    fn contents_give_way_where_all_columns_stay() {
        static STAYING: Table =
            Table { name: "Staying", columns: &[Column::text("name", 6, 20, 0), Column::text("state", 8, 8, 0)] };
        let widths = |width| {
            let fitted = STAYING.fit(&Layouts::default(), width, &[("name", 18)]);
            [fitted.columns[0].1, fitted.columns[1].1]
        };
        assert_eq!([widths(40), widths(20), widths(15), widths(10)], [[18, 8], [11, 8], [6, 8], [6, 8]]);
    }

    #[test]
    fn a_click_finds_the_column() {
        let fitted = TABLE.fit(&Layouts::default(), 29, &[]);
        let at = |offset| fitted.at(offset);
        assert_eq!(
            [at(0), at(10), at(11), at(16), at(17), at(28)].map(Option::unwrap),
            ["name", "name", "count", "count", "note", "note"]
        );
        assert_eq!(at(90), None);
    }
}
