//! Drawing of text into an area. Text that does not fit ends with `…`, so that nothing is cut without a sign.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use unicode_width::UnicodeWidthChar;

use super::format::width;

/// Draws text. A line that is too long ends with `…`, and so does the last line that fits if there are more.
pub(crate) fn draw_text<'a>(frame: &mut Frame<'_>, area: Rect, text: impl Into<Text<'a>>) {
    let mut text = text.into();
    let room = usize::from(area.height);
    let hidden = text.lines.iter().skip(room).any(|line| line.width() > 0);
    text.lines.truncate(room);
    let last = room.saturating_sub(1);
    for (index, line) in text.lines.iter_mut().enumerate() {
        cut(line, area.width.into(), hidden && index == last);
    }
    frame.render_widget(text, area);
}

/// Draws the lines from `first` on. The caller says that there are more.
pub(crate) fn draw_scrolled(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>, first: u16) {
    let shown = lines.into_iter().skip(first.into()).take(area.height.into()).collect::<Vec<_>>();
    draw_text(frame, area, shown);
}

/// Lines wrapped at blanks to `columns`; a word that is longer is broken. Styles are kept.
pub(crate) fn wrapped<'a>(lines: &[Line<'a>], columns: usize) -> Vec<Line<'a>> {
    lines.iter().flat_map(|line| wrapped_line(line, columns.max(2))).collect()
}

fn wrapped_line<'a>(line: &Line<'a>, columns: usize) -> Vec<Line<'a>> {
    if line.width() <= columns {
        return vec![line.clone()];
    }
    let letters: Vec<(char, Style)> =
        line.spans.iter().flat_map(|span| span.content.chars().map(|letter| (letter, span.style))).collect();
    let mut lines = Vec::new();
    let mut rest = letters.as_slice();
    while !rest.is_empty() {
        let mut used = 0;
        let fits = rest.iter().take_while(|(letter, _)| {
            used += letter.width().unwrap_or(0);
            used <= columns
        });
        let fits = fits.count().max(1);
        // A blank in the middle of a line that goes on.
        let blank = rest[..fits].iter().rposition(|(letter, _)| *letter == ' ').filter(|blank| *blank > 0);
        let end = if fits < rest.len() && rest[fits].0 != ' ' { blank.unwrap_or(fits) } else { fits };
        let pieces = rest[..end].chunk_by(|one, other| one.1 == other.1);
        let piece = |piece: &[(char, Style)]| {
            Span::styled(piece.iter().map(|(letter, _)| *letter).collect::<String>(), piece[0].1)
        };
        lines.push(pieces.map(piece).collect::<Line<'_>>().style(line.style));
        rest = &rest[end..];
        let blanks = rest.iter().take_while(|(letter, _)| *letter == ' ').count();
        rest = &rest[blanks..];
    }
    lines
}

/// Cuts a line to `columns`. With `more`, it ends with `…` also if it fits.
fn cut(line: &mut Line<'_>, columns: usize, more: bool) {
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    let used = width(text.trim_end());
    if used <= columns && !more {
        return;
    }
    let sign = if used + 2 <= columns && used > 0 { " …" } else { "…" };
    // Blanks at the end are no text.
    let mut room =
        if used <= columns { used.min(columns.saturating_sub(width(sign))) } else { columns.saturating_sub(1) };
    let mut spans: Vec<Span<'_>> = Vec::new();
    let mut style = line.style;
    for span in std::mem::take(&mut line.spans) {
        if room == 0 {
            break;
        }
        style = span.style;
        let whole = width(&span.content);
        if whole <= room {
            room -= whole;
            spans.push(span);
        } else {
            let fits = |letter: &char| {
                let fits = letter.width().unwrap_or(0) <= room;
                room = room.saturating_sub(letter.width().unwrap_or(0));
                fits
            };
            spans.push(Span::styled(span.content.chars().take_while(fits).collect::<String>(), span.style));
            break;
        }
    }
    spans.push(Span::styled(sign.to_owned(), style));
    line.spans = spans;
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::screenshot;

    fn drawn(lines: &[&str], (columns, rows): (u16, u16)) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let lines: Vec<Line<'_>> = lines.iter().map(|line| Line::raw((*line).to_owned())).collect();
        terminal.draw(|frame| draw_text(frame, frame.area(), lines)).unwrap();
        screenshot::text(terminal.backend().buffer()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn long_lines_and_hidden_lines_have_a_sign() {
        assert_eq!(drawn(&["abcdef", "abcdefg"], (6, 2)), ["abcdef", "abcde…"]);
        assert_eq!(drawn(&["one", "two", "three"], (6, 2)), ["one", "two …"]);
        assert_eq!(drawn(&["one", "twenty", "three"], (6, 2)), ["one", "twent…"]);
        assert_eq!(drawn(&["one", "", "three"], (6, 2)), ["one", "…"]);
        assert_eq!(drawn(&["one", "two", ""], (6, 2)), ["one", "two"], "an empty line hides nothing");
        assert_eq!(drawn(&["ab      ", "山山山山"], (6, 2)), ["ab", "山山…"], "blanks are no text");
    }

    #[test]
    fn wrapped_lines_lose_nothing() {
        let text = |lines: Vec<Line<'_>>| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        let lines = [Line::from(vec![Span::raw("label  "), Span::raw("one two three")]), Line::raw("")];
        assert_eq!(text(wrapped(&lines, 12)), ["label  one", "two three", ""]);
        assert_eq!(text(wrapped(&lines, 20)), ["label  one two three", ""]);
        assert_eq!(text(wrapped(&[Line::raw("abcdefgh ij")], 4)), ["abcd", "efgh", "ij"]);
    }

    #[test]
    fn the_sign_has_the_style_of_what_is_cut() {
        use ratatui::style::Color;
        let mut line = Line::from(vec![Span::raw("ab "), Span::styled("cdef", Style::new().fg(Color::Red))]);
        cut(&mut line, 5, false);
        let pieces: Vec<(&str, Option<Color>)> =
            line.spans.iter().map(|span| (span.content.as_ref(), span.style.fg)).collect();
        assert_eq!(pieces, [("ab ", None), ("c", Some(Color::Red)), ("…", Some(Color::Red))]);
    }
}
