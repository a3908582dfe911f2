//! What the terminal can show, from the environment: characters beyond ASCII, and how many colours. A drawn screen is
//! reduced to that, so that no pane has to know.
//!
//! Rule: "Terminal behaviour".

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::Color;

use super::screenshot::rgb;

/// Colours that a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// None.
    None,
    /// The sixteen of ANSI.
    Sixteen,
    /// The 256 of xterm.
    All,
}

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether characters beyond ASCII are replaced.
    pub ascii: bool,
    /// Its colours.
    pub colours: Colours,
}

/// Names and beginnings of names of terminals without colour, with ASCII only.
const MONOCHROME: [&str; 4] = ["vt5", "vt1", "vt2", "vt3"];
/// Terminals with sixteen colours, unless `COLORTERM` says more.
const SIXTEEN: [&str; 12] = [
    "ansi",
    "cygwin",
    "linux",
    "putty",
    "rxvt",
    "screen",
    "sun",
    "tmux",
    "xterm",
    "xterm-16color",
    "xterm-color",
    "con132x25",
];

impl Capabilities {
    /// Everything.
    pub const FULL: Self = Self { ascii: false, colours: Colours::All };

    /// Of the terminal that this process runs in.
    ///
    /// # Errors
    /// Why nothing can be drawn there, as one sentence.
    pub fn detect() -> Result<Self, String> {
        Self::from_environment(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let term = variable("TERM").unwrap_or_default();
        if matches!(term.as_str(), "dumb" | "unknown") {
            return Err(format!("TERM is `{term}`: such a terminal cannot move its cursor"));
        }
        let old = MONOCHROME.iter().any(|name| term.starts_with(name));
        let colours = if old || term.ends_with("-m") || term.ends_with("-mono") {
            Colours::None
        } else if SIXTEEN.contains(&term.as_str()) && variable("COLORTERM").is_none() {
            Colours::Sixteen
        } else {
            Colours::All
        };
        Ok(Self { ascii: old || !has_utf8(variable), colours })
    }

    /// Reduces a drawn screen to what the terminal can show.
    pub fn apply(self, buffer: &mut Buffer) {
        if self == Self::FULL {
            return;
        }
        if self.ascii {
            spell_comparisons(buffer);
        }
        for cell in &mut buffer.content {
            if self.ascii && !cell.symbol().is_ascii() {
                let plain = cell.symbol().chars().next().map_or(' ', ascii);
                cell.set_char(plain);
            }
            self.reduce_colours(cell);
        }
    }

    fn reduce_colours(self, cell: &mut Cell) {
        let reduce = match self.colours {
            Colours::All => return,
            Colours::None => |_| Color::Reset,
            Colours::Sixteen => sixteen,
        };
        (cell.fg, cell.bg) = (reduce(cell.fg), reduce(cell.bg));
    }
}

/// Whether the locale has UTF-8. The first variable that is set decides. Without any, terminals of today understand it.
fn has_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
    locale.is_empty() || locale.to_lowercase().replace('-', "").contains("utf8")
}

/// Whether text for this process's terminal has to be ASCII.
pub fn is_ascii_only() -> bool {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Capabilities::from_environment(variable).map_or(true, |capabilities| capabilities.ascii)
}

/// Text in ASCII, each sign by the character that stands for it on a screen.
pub fn in_ascii(text: &str) -> String {
    text.replace("≤ ", "<=").replace("≥ ", ">=").chars().map(ascii).collect()
}

/// Writes `≤ ` and `≥ ` as `<=` and `>=`: with one character the sign would mean something else.
fn spell_comparisons(buffer: &mut Buffer) {
    for index in 0..buffer.content.len().saturating_sub(1) {
        let sign = match buffer.content[index].symbol() {
            "≤" => '<',
            "≥" => '>',
            _ => continue,
        };
        if buffer.content[index + 1].symbol() == " " {
            buffer.content[index].set_char(sign);
            buffer.content[index + 1].set_char('=');
        }
    }
}

/// The colour of ANSI that is nearest in hue: what differs in meaning must not become one grey.
fn sixteen(color: Color) -> Color {
    let Some((red, green, blue)) = rgb(color) else { return color };
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    let (value, spread) = (f64::from(most) / 255.0, f64::from(most - least));
    if spread < f64::from(most) * 0.2 {
        return match most {
            0..72 => Color::Black,
            72..150 => Color::DarkGray,
            150..225 => Color::Gray,
            _ => Color::White,
        };
    }
    let [red, green, blue] = [red, green, blue].map(f64::from);
    let most = red.max(green).max(blue);
    let hue = if red >= most {
        60.0 * ((green - blue) / spread).rem_euclid(6.0)
    } else if green >= most {
        60.0 * ((blue - red) / spread + 2.0)
    } else {
        60.0 * ((red - green) / spread + 4.0)
    };
    let (bright, dark) = match hue {
        30.0..75.0 => (Color::LightYellow, Color::Yellow),
        75.0..165.0 => (Color::LightGreen, Color::Green),
        165.0..195.0 => (Color::LightCyan, Color::Cyan),
        195.0..265.0 => (Color::LightBlue, Color::Blue),
        265.0..335.0 => (Color::LightMagenta, Color::Magenta),
        _ => (Color::LightRed, Color::Red),
    };
    if value > 0.7 { bright } else { dark }
}

/// The ASCII character for a sign of the interface or a letter with an accent; a question mark for text that has none.
#[expect(clippy::match_same_arms, reason = "rows are grouped by kind of sign")]
const fn ascii(character: char) -> char {
    match character {
        '─' | '–' | '—' | '−' | '╌' | '┄' => '-',
        '━' | '═' => '=',
        '│' | '┃' | '║' | '├' | '┤' | '‖' | '┆' | '╎' => '|',
        '┌' | '┐' | '└' | '┘' | '╭' | '╮' | '╰' | '╯' | '┴' | '┼' | '┬' => '+',
        '┏' | '┓' | '┗' | '┛' | '╔' | '╗' | '╚' | '╝' | '█' | '▓' => '#',
        '▁' | '▂' | '▾' => '_',
        '▃' | '·' | '░' | '∙' => '.',
        '▄' => '-',
        '▅' => '=',
        '▆' => '+',
        '▇' => '*',
        '▒' => '%',
        '✓' | '▼' | '↓' => 'v',
        '✗' | '×' => 'x',
        '‼' | '●' | '•' | '◆' => '*',
        '▸' | '›' | '▶' | '→' | '≥' => '>',
        '◂' | '‹' | '←' | '≤' => '<',
        '▴' | '▲' | '↑' => '^',
        '…' | '≈' => '~',
        '“' | '”' => '"',
        '‘' | '’' => '\'',
        '↻' | '↺' => '@',
        '⊘' => '0',
        '○' | '◇' => 'o',
        // Signs of the map. Letters are residents there.
        '▬' => '_',
        '▯' => '[',
        '◉' => '@',
        '╬' => '/',
        '╥' => '{',
        '╤' => '(',
        '≡' => '#',
        '◊' => ';',
        '♥' => '*',
        // Dots of a chart: low, high or both.
        '\u{2800}' => ' ',
        '\u{2801}'..='\u{28ff}' => {
            let dots = character as u32 - 0x2800;
            match (dots & 0b0001_1011 != 0, dots & 0b1110_0100 != 0) {
                (true, true) => ':',
                (true, false) => '\'',
                _ => '.',
            }
        }
        'À'..='Å' => 'A',
        'Ç' => 'C',
        'È'..='Ë' => 'E',
        'Ì'..='Ï' => 'I',
        'Ñ' => 'N',
        'Ò'..='Ö' | 'Ø' => 'O',
        'Ù'..='Ü' => 'U',
        'à'..='å' => 'a',
        'ç' => 'c',
        'è'..='ë' => 'e',
        'ì'..='ï' => 'i',
        'ñ' => 'n',
        'ò'..='ö' | 'ø' => 'o',
        'ù'..='ü' => 'u',
        other if other.is_ascii() => other,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use townlet_wire::Snapshot;
    use townlet_wire::telemetry::{Map, MapObject, MapPlace};

    use super::*;
    use crate::theme::Theme;

    fn of(variables: &[(&str, &str)]) -> Result<Capabilities, String> {
        Capabilities::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_what_the_terminal_can_show() {
        assert_eq!(of(&[("TERM", "xterm-256color"), ("LANG", "en_GB.UTF-8")]), Ok(Capabilities::FULL));
        assert_eq!(of(&[]), Ok(Capabilities::FULL));
        assert!(of(&[("TERM", "dumb")]).unwrap_err().contains("TERM is `dumb`"));
        let colours = |variables: &[(&str, &str)]| of(variables).unwrap().colours;
        assert_eq!(colours(&[("TERM", "vt100")]), Colours::None);
        assert_eq!(colours(&[("TERM", "linux")]), Colours::Sixteen);
        assert_eq!(colours(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]), Colours::All);
        assert_eq!(colours(&[("TERM", "xterm-kitty")]), Colours::All);
        let ascii = |variables: &[(&str, &str)]| of(variables).unwrap().ascii;
        assert!(ascii(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]) && ascii(&[("LANG", "de_DE.ISO-8859-1")]));
        assert!(ascii(&[("TERM", "vt220"), ("LANG", "en_GB.UTF-8")]));
        assert!(!ascii(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
    }

    #[test]
    fn every_sign_of_the_interface_has_an_ascii_character() {
        let signs = "─━═│┃║┌┐└┘╭╮╰╯┏┓┗┛╔╗╚╝├┤┬┴┼▁▂▃▄▅▆▇█▓▒░·✓✗‼●•◆▸›▶◂▾▴▲▼…≈×–−“”↑↓←→↻⊘○◊◉▯╬╥╤≡♥▬‖≥≤";
        for sign in signs.chars() {
            assert!(ascii(sign).is_ascii() && ascii(sign) != '?', "{sign}");
        }
        assert_eq!((ascii('é'), ascii('a'), ascii('山'), ascii('\u{2847}')), ('e', 'a', '?', ':'));
    }

    #[test]
    fn the_signs_of_the_map_stay_different() {
        let theme = Theme::named("dark", true).unwrap();
        let (places, objects) = (
            ["road", "home", "grocer", "cafe", "office", "park", "gym"],
            ["bed", "fridge", "stove", "shower", "till", "desk", "table", "shelf", "other"],
        );
        let map = Map {
            places: places.map(|kind| MapPlace { kind: kind.into(), ..MapPlace::default() }).to_vec(),
            objects: objects.map(|kind| MapObject { kind: kind.into(), ..MapObject::default() }).to_vec(),
            ..Map::default()
        };
        let view = Snapshot { map, ..Snapshot::default() };
        let legend = crate::screens::town::legend(&view.into(), &theme);
        let mut seen = std::collections::BTreeMap::new();
        for (sign, word) in legend {
            let plain = in_ascii(&sign.content);
            let letter = plain.chars().all(char::is_alphabetic);
            assert!(!letter || word == "off", "{word} is {plain}, which is a resident");
            assert_eq!(seen.insert(plain, word.clone()), None, "{word}");
        }
        assert!(seen.len() > 20, "{seen:?}");
    }

    #[test]
    fn text_in_ascii_keeps_its_meaning() {
        assert_eq!(in_ascii("✓ done · ≥ 3 · ▁▅█ – é"), "v done . >=3 . _=# - e");
    }

    #[test]
    fn comparisons_keep_their_meaning() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "0 ≤ 0  3 ≥ 3", Style::new());
        Capabilities { ascii: true, colours: Colours::All }.apply(&mut buffer);
        assert_eq!(buffer.content.iter().map(Cell::symbol).collect::<String>(), "0 <=0  3 >=3");
    }

    #[test]
    fn meanings_keep_different_colours_of_sixteen() {
        for name in Theme::NAMES {
            let theme = Theme::named(name, true).unwrap();
            let of = |style: Style| sixteen(style.fg.unwrap());
            let [good, warn, bad] = [theme.good, theme.warn, theme.bad].map(of);
            assert!(good != warn && warn != bad && good != bad, "{name}: {good} {warn} {bad}");
            assert!(![good, warn, bad].contains(&Color::Gray), "{name}");
            let selected = (sixteen(theme.selected.fg.unwrap()), sixteen(theme.selected.bg.unwrap()));
            assert_ne!(selected.0, selected.1, "{name}");
        }
    }

    #[test]
    fn a_reduced_screen_has_neither_colour_nor_other_characters() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, "✓ 山 ▁▅ ok", Style::new().fg(Color::Indexed(114)));
        Capabilities { ascii: true, colours: Colours::None }.apply(&mut buffer);
        let text: String = buffer.content.iter().map(Cell::symbol).collect();
        assert_eq!(text.trim_end(), "v ?  _= ok");
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset));
    }
}
