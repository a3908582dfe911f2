//! Styles and signs by meaning: panes use `warn`, never yellow.
//!
//! Colour never carries meaning alone: a letter, sign or weight accompanies it. With `NO_COLOR`, themes have no colour.
//! Rule: "Terminal behaviour".

use ratatui::style::{Color, Modifier, Style};

/// A style for every meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Name in the config file and on the command line.
    pub name: &'static str,
    /// Ordinary text.
    pub text: Style,
    /// Less important text: units, limits, hints.
    pub dim: Style,
    /// More important text, and the title of a pane.
    pub strong: Style,
    /// Column headings.
    pub head: Style,
    /// The focused pane's title.
    pub title_focused: Style,
    /// A pane's border.
    pub border: Style,
    /// The selected row of the focused pane.
    pub selected: Style,
    /// The selected row of another pane.
    pub selected_idle: Style,
    /// OK.
    pub good: Style,
    /// Warning.
    pub warn: Style,
    /// Error.
    pub bad: Style,
    /// Links, values, the selection mark, the border of the focused pane.
    pub accent: Style,
    /// A key in the footer, and the role of a viewer in the header.
    pub key: Style,
    /// A disabled key in the footer.
    pub disabled: Style,
    /// Header and footer.
    pub bar: Style,
    /// The role in the header, for admins.
    pub admin: Style,
    /// A moment of the past.
    pub past: Style,
    /// Sparklines and bars.
    pub chart: Style,
    /// Six colours for kinds of places.
    pub hues: [Style; 6],
}

const fn fg(color: u8) -> Style {
    Style::new().fg(Color::Indexed(color))
}

const fn bold(style: Style) -> Style {
    style.add_modifier(Modifier::BOLD)
}

/// Colours of a theme, in xterm's palette of 256.
struct Palette {
    name: &'static str,
    /// `None` for the terminal's own colour.
    text: Option<u8>,
    dim: u8,
    border: u8,
    accent: u8,
    good: u8,
    warn: u8,
    bad: u8,
    selected: (u8, u8),
    idle: u8,
    bar: u8,
    hues: [u8; 6],
}

const DARK: Palette = Palette {
    name: "dark",
    text: None,
    dim: 245,
    border: 240,
    accent: 80,
    good: 114,
    warn: 221,
    bad: 203,
    selected: (231, 24),
    idle: 237,
    bar: 235,
    hues: [108, 179, 110, 139, 150, 174],
};

const LIGHT: Palette = Palette {
    name: "light",
    text: Some(235),
    dim: 242,
    border: 248,
    accent: 25,
    good: 28,
    warn: 130,
    bad: 160,
    selected: (16, 153),
    idle: 254,
    bar: 254,
    hues: [28, 130, 25, 90, 64, 124],
};

const HIGH_CONTRAST: Palette = Palette {
    name: "high-contrast",
    text: Some(231),
    dim: 252,
    border: 231,
    accent: 51,
    good: 46,
    warn: 226,
    bad: 196,
    selected: (16, 226),
    idle: 238,
    bar: 16,
    hues: [46, 226, 51, 201, 231, 208],
};

/// After Okabe and Ito: blue for OK, yellow for warnings, vermilion for errors.
const COLOUR_BLIND: Palette = Palette {
    name: "colour-blind",
    text: None,
    dim: 245,
    border: 240,
    accent: 74,
    good: 32,
    warn: 220,
    bad: 166,
    selected: (231, 25),
    idle: 237,
    bar: 235,
    hues: [36, 178, 74, 175, 227, 25],
};

impl Theme {
    /// Names of the themes.
    pub const NAMES: [&'static str; 4] = ["dark", "light", "high-contrast", "colour-blind"];

    /// The theme with this name, if any. Without `colour` it uses weight, underline and reverse only.
    pub fn named(name: &str, colour: bool) -> Option<Self> {
        let palette = [DARK, LIGHT, HIGH_CONTRAST, COLOUR_BLIND].into_iter().find(|palette| palette.name == name)?;
        Some(if colour { Self::of(&palette) } else { Self::plain(palette.name) })
    }

    /// Colours a shard's label may have.
    pub const LABEL_COLOURS: [&'static str; 6] = ["red", "yellow", "green", "blue", "magenta", "cyan"];

    /// Style of a shard's label in this colour, the same in every theme; `None` for an unknown colour.
    pub fn label_style(name: &str, colour: bool) -> Option<Style> {
        let ground = [160, 178, 34, 26, 127, 37];
        let place = Self::LABEL_COLOURS.iter().position(|known| *known == name)?;
        let words = bold(Style::new());
        if !colour {
            return Some(words.add_modifier(Modifier::REVERSED));
        }
        Some(words.fg(Color::Indexed(if place == 1 { 16 } else { 231 })).bg(Color::Indexed(ground[place])))
    }

    /// Whether the theme uses colour.
    pub fn has_colour(&self) -> bool {
        self.good.fg.is_some()
    }

    fn of(palette: &Palette) -> Self {
        let text = palette.text.map_or(Style::new().fg(Color::Reset), fg);
        Self {
            name: palette.name,
            text,
            dim: fg(palette.dim),
            strong: bold(text),
            head: fg(palette.dim).add_modifier(Modifier::UNDERLINED),
            title_focused: bold(fg(palette.accent)),
            border: fg(palette.border),
            selected: bold(fg(palette.selected.0).bg(Color::Indexed(palette.selected.1))),
            selected_idle: text.bg(Color::Indexed(palette.idle)),
            good: fg(palette.good),
            warn: fg(palette.warn),
            bad: bold(fg(palette.bad)),
            accent: fg(palette.accent),
            key: bold(fg(palette.accent)),
            disabled: fg(palette.dim).add_modifier(Modifier::DIM),
            bar: text.bg(Color::Indexed(palette.bar)),
            admin: bold(fg(palette.warn)).add_modifier(Modifier::REVERSED),
            past: bold(fg(palette.hues[3])).add_modifier(Modifier::REVERSED),
            chart: fg(palette.accent),
            hues: palette.hues.map(fg),
        }
    }

    fn plain(name: &'static str) -> Self {
        let text = Style::new();
        let dim = text.add_modifier(Modifier::DIM);
        let reversed = bold(text).add_modifier(Modifier::REVERSED);
        Self {
            name,
            text,
            dim,
            strong: bold(text),
            head: text.add_modifier(Modifier::UNDERLINED),
            title_focused: reversed,
            border: dim,
            selected: reversed,
            selected_idle: text.add_modifier(Modifier::UNDERLINED),
            good: text,
            warn: bold(text),
            bad: bold(text).add_modifier(Modifier::UNDERLINED),
            accent: bold(text),
            key: bold(text),
            disabled: dim,
            bar: text,
            admin: reversed,
            past: reversed,
            chart: text,
            hues: [text; 6],
        }
    }

    /// Style and sign of a verdict: `ok`, `met`, `green`; `breach`, `missed`, `red`; any other is unknown.
    pub fn verdict(&self, verdict: &str) -> (Style, &'static str) {
        match verdict {
            "ok" | "met" | "green" => (self.good, "✓"),
            "breach" | "missed" | "red" => (self.bad, "✗"),
            _ => (self.dim, "·"),
        }
    }

    /// Style and sign of an alert's severity: `critical`, `warning`.
    pub fn severity(&self, severity: &str) -> (Style, &'static str) {
        match severity {
            "critical" => (self.bad, "‼"),
            _ => (self.warn, "!"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_theme_and_no_color_means_none() {
        for name in Theme::NAMES {
            assert!(Theme::named(name, true).is_some_and(|theme| theme.name == name));
            let plain = Theme::named(name, false).unwrap();
            let styles =
                [plain.text, plain.dim, plain.good, plain.warn, plain.bad, plain.selected, plain.admin, plain.bar];
            for style in styles.iter().chain(&plain.hues) {
                assert_eq!((style.fg, style.bg), (None, None), "{name}");
            }
        }
        assert!(Theme::named("mauve", true).is_none() && Theme::label_style("mauve", true).is_none());
        for name in Theme::LABEL_COLOURS {
            let (coloured, plain) = (Theme::label_style(name, true).unwrap(), Theme::label_style(name, false).unwrap());
            assert!(coloured.bg.is_some() && plain.bg.is_none() && plain.fg.is_none());
        }
    }

    #[test]
    fn good_and_bad_differ_in_more_than_colour() {
        let theme = Theme::named("dark", true).unwrap();
        let signs = ["ok", "breach", "not_enough_data"].map(|verdict| theme.verdict(verdict).1);
        assert_eq!(signs, ["✓", "✗", "·"]);
    }
}
