//! Converts a drawn screen to text and SVG. The shell writes the files.

use std::fmt::Write as _;
use std::path::PathBuf;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

/// Width and height of a cell in the SVG, in pixels.
const CELL: (f64, f64) = (8.4, 18.0);

/// Default foreground and background.
const DARK: (&str, &str) = ("#d0d0d0", "#1c1c1c");
const LIGHT: (&str, &str) = ("#262626", "#fafafa");

/// Folder for saved screens: the source's fact `screens`, else the current folder.
pub fn folder(facts: &[(String, String)]) -> PathBuf {
    facts.iter().find(|(label, _)| label == "screens").map_or_else(|| ".".into(), |(_, path)| path.into())
}

/// File name of the text; `count` distinguishes several screens of one tick.
pub fn name(tick: u64, count: u32) -> String {
    format!("townlet-screen-{tick}-{count}.txt")
}

/// The text without trailing spaces.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.rows() {
        let mut row = String::new();
        let mut hidden = 0;
        for cell in y.columns().filter_map(|at| buffer.cell(at.as_position())) {
            if hidden == 0 {
                row.push_str(cell.symbol());
                hidden = cell.symbol().width().max(1);
            }
            hidden -= 1;
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// The screen as SVG; `light` for themes with a light background.
pub fn svg(buffer: &Buffer, light: bool) -> String {
    let ground = if light { LIGHT } else { DARK };
    let (wide, high) = (f64::from(buffer.area.width) * CELL.0, f64::from(buffer.area.height) * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide:.0}\" height=\"{high:.0}\" \
         font-family=\"monospace\" font-size=\"14\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n",
        ground.1
    );
    for y in buffer.area.rows() {
        let cells: Vec<(u16, &Cell)> =
            y.columns().filter_map(|at| buffer.cell(at.as_position()).map(|cell| (at.x, cell))).collect();
        let top = f64::from(y.y) * CELL.1;
        for run in cells.chunk_by(|(_, one), (_, other)| style_of(one) == style_of(other)) {
            draw_run(&mut svg, run, top, ground);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn style_of(cell: &Cell) -> (Color, Color, Modifier) {
    (cell.fg, cell.bg, cell.modifier)
}

fn draw_run(svg: &mut String, run: &[(u16, &Cell)], top: f64, ground: (&str, &str)) {
    let Some((x, cell)) = run.first() else { return };
    let (mut ink, mut paper) = (hex(cell.fg, ground.0), hex(cell.bg, ground.1));
    if cell.modifier.contains(Modifier::REVERSED) {
        std::mem::swap(&mut ink, &mut paper);
    }
    let (left, wide) = (f64::from(*x) * CELL.0, run.len() as f64 * CELL.0);
    if paper != ground.1 {
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.0}\" width=\"{wide:.1}\" height=\"{:.0}\" fill=\"{paper}\"/>",
            CELL.1
        );
    }
    let text: String = run.iter().map(|(_, cell)| cell.symbol()).collect();
    if text.trim().is_empty() {
        return;
    }
    let weight = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let faint = if cell.modifier.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
    let line = if cell.modifier.contains(Modifier::UNDERLINED) { " text-decoration=\"underline\"" } else { "" };
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{wide:.1}\" fill=\"{ink}\"{weight}{faint}{line}>{text}</text>",
        top + CELL.1 * 0.75
    );
}

/// Colour of xterm's 256-colour palette as `#rrggbb`.
fn hex(color: Color, otherwise: &str) -> String {
    rgb(color).map_or_else(|| otherwise.to_owned(), |(red, green, blue)| format!("#{red:02x}{green:02x}{blue:02x}"))
}

/// Red, green and blue of a colour of xterm's palette of 256, or of a direct one; `None` for the terminal's own colours.
pub(crate) const fn rgb(color: Color) -> Option<(u8, u8, u8)> {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match color {
        Color::Indexed(index @ 16..=231) => {
            let index = index as usize - 16;
            Some((STEPS[index / 36], STEPS[index / 6 % 6], STEPS[index % 6]))
        }
        Color::Indexed(index @ 232..) => {
            let grey = 8 + (index - 232) * 10;
            Some((grey, grey, grey))
        }
        Color::Rgb(red, green, blue) => Some((red, green, blue)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn the_source_names_the_folder() {
        let fact = |label: &str, value: &str| (label.to_owned(), value.to_owned());
        let facts = [fact("audit", "logs/console"), fact("screens", "home/screens")];
        assert_eq!(folder(&facts), PathBuf::from("home/screens"));
        assert_eq!(folder(&facts[..1]), PathBuf::from("."));
    }

    #[test]
    fn text_and_svg_contain_the_screen() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 2));
        buffer.set_string(0, 0, "山 <a>", Style::new().fg(Color::Indexed(203)));
        assert_eq!(text(&buffer), "山 <a>\n\n");
        assert!(super::svg(&buffer, true).contains(LIGHT.1));
        let svg = svg(&buffer, false);
        assert!(svg.contains("&lt;a&gt;") && svg.contains("#ff5f5f"), "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
