//! Text from outside as part of a Markdown file: shown as it is, without control characters, links, images or HTML.

use std::borrow::Cow;

use townlet_wire::escape;

/// Text on one line, also for a cell of a table. Everything that Markdown would interpret is escaped.
pub(crate) fn text(text: &str) -> String {
    let safe = escape(text).replace("://", ":\\//").replace("www.", "www\\.");
    // Pairs of single backticks quote a name; any other could join with a code span of the file.
    let quotes = !safe.contains("``") && safe.matches('`').count().is_multiple_of(2);
    let mut inert = String::with_capacity(safe.len());
    let mut characters = safe.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        let after = characters.peek().copied().unwrap_or(' ');
        // The two replacements above.
        let own = character == '\\' && (matches!((before, after), (':', '/')) || (before == 'w' && after == '.'));
        // An underscore within a word is plain text.
        let within_word = before.is_alphanumeric() && after.is_alphanumeric();
        let special = matches!(character, '*' | '[' | ']' | '<' | '>' | '!' | '|' | '&' | '~' | '#' | '$');
        // A backslash before a letter is plain text, as in `\u{1b}`.
        let backslash = character == '\\' && !own && !after.is_alphanumeric();
        if special || backslash || (character == '`' && !quotes) || (character == '_' && !within_word) {
            inert.push('\\');
        }
        inert.push(character);
        before = character;
    }
    inert
}

/// Text as a code span, also in a cell of a table. A code span has no escapes, so its delimiters are replaced.
pub(crate) fn code(text: &str) -> String {
    format!("`{}`", escape(text).replace('`', "'").replace('|', "¦"))
}

/// Lines as a code block. It is indented, because no line can end such a block.
pub(crate) fn block(text: &str) -> String {
    let line = |line: &str| -> Cow<'static, str> { format!("    {}\n", escape(line)).into() };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_interpreted() {
        for (typed, expected) in [
            ("![x](http://evil/p.png)", "\\!\\[x\\](http:\\//evil/p.png)"),
            ("<img src=x>&lt;", "\\<img src=x\\>\\&lt;"),
            ("a | b\\| `c` **d** # ~~e~~ $f$", "a \\| b\\\\\\| `c` \\*\\*d\\*\\* \\# \\~\\~e\\~\\~ \\$f\\$"),
            ("a`b", "a\\`b"),
            ("``a` `", "\\`\\`a\\` \\`"),
            ("daily_exit_cap _e_ www.evil", "daily_exit_cap \\_e\\_ www\\.evil"),
            ("a\u{200b}\u{2028}\u{e0041}\u{1b}", "a\\u{200b}\\u{2028}\\u{e0041}\\u{1b}"),
            ("Zoë, 0.5 % (was 90 %) – 2026-01-01 10:00", "Zoë, 0.5 % (was 90 %) – 2026-01-01 10:00"),
        ] {
            assert_eq!(text(typed), expected, "{typed}");
        }
        assert_eq!(code("a`<b>`|\u{9b}"), "`a'<b>'¦\\u{9b}`");
        assert_eq!(block("a\n```\n<b>\u{1b}"), "    a\n    ```\n    <b>\\u{1b}\n");
    }
}
