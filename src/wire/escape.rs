//! Text from outside made safe to show: no terminal escape, control or invisible character leaves here.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character must not be shown as it is: control characters, and characters that are invisible or change the
/// direction or the lines of the text around them (bidirectional controls, zero-width characters, line and paragraph
/// separators, variation selectors, tags: what Unicode calls default ignorable, and a few more).
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// `text` on one line with every [unsafe](is_unsafe) character written out, such as `\u{1b}`.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Lines of output, which may be text or JSON, with every unsafe character but newline and tab written as in JSON, such as
/// `\u001b`. JSON keeps its value, because such a character can stand only inside one of its strings.
pub fn escape_output(text: &str) -> Cow<'_, str> {
    let is_raw = |character: char| is_unsafe(character) && !matches!(character, '\n' | '\t');
    if !text.chars().any(is_raw) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_raw(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_cannot_reach_a_terminal() {
        assert_eq!(escape("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(escape("Zoë · 山 ✗ ▆ ⠿"), "Zoë · 山 ✗ ▆ ⠿");
        assert_eq!(escape("\u{202e}abc"), "\\u{202e}abc");
    }

    /// One of each kind: C0, DEL, C1, soft hyphen, bidirectional, zero-width, separators, variation selectors, tags.
    #[test]
    fn no_invisible_character_is_shown() {
        for character in "\0\u{7}\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\u{202e}\u{2060}\u{2066}\u{2069}\u{3164}\u{fe0f}\u{feff}\u{fff9}\u{e0041}\u{e007f}\u{e0100}".chars() {
            assert!(is_unsafe(character), "{character:?}");
            let text = format!("a{character}b");
            assert_eq!(escape(&text), format!("a{}b", character.escape_unicode()));
            let json = escape_output(&serde_json::Value::from(text.clone()).to_string()).into_owned();
            assert!(!json.chars().any(is_unsafe), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
        assert!(matches!(escape_output("a\tb\nZoë"), Cow::Borrowed(_)));
        assert_eq!(escape_output("a\r\u{9b}\u{e0041}\n"), "a\\u000d\\u009b\\udb40\\udc41\n");
    }
}
