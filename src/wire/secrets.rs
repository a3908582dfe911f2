//! Access tokens in texts: where one stands, and texts without them. A token has no place in a field, a log or a message.

use std::borrow::Cow;

/// What a token begins with: `twn_<id>_<secret>`.
pub const TOKEN_PREFIX: &str = "twn_";
/// What stands in place of a secret.
pub const REDACTED: &str = "(redacted)";
/// A shorter id and secret together are none of the program's.
const MIN_LENGTH: usize = 8;
/// How often a text may be percent-encoded for a token in it to be found.
const MAX_ENCODINGS: usize = 3;

/// Whether a text contains a token or the beginning of one, also percent-encoded, as in a URL.
pub fn holds_token(text: &str) -> bool {
    if text.contains(TOKEN_PREFIX) {
        return true;
    }
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_ENCODINGS {
        if !text.contains('%') {
            return false;
        }
        text = Cow::Owned(percent_decoded(&text));
        if text.contains(TOKEN_PREFIX) {
            return true;
        }
    }
    false
}

/// Each `%xx` as the character of that code, other bytes as they are.
fn percent_decoded(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            decoded.push((high * 16 + low) as u8);
            at += 3;
        } else {
            decoded.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Start and end of the first token at or after `from`: `twn_`, an id, `_`, a secret. `twn_` with an id alone is not secret.
pub fn find_token(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let prefix = TOKEN_PREFIX.as_bytes();
    let mut from = from;
    while let Some(at) = text.get(from..)?.windows(prefix.len()).position(|window| window == prefix) {
        let (start, body) = (from + at, from + at + prefix.len());
        let length = text[body..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        if length >= MIN_LENGTH && text[body..body + length].contains(&b'_') {
            return Some((start, body + length));
        }
        from = body;
    }
    None
}

/// A text with every token replaced by [`REDACTED`].
pub fn redact_tokens(text: &str) -> Cow<'_, str> {
    let Some(mut found) = find_token(text.as_bytes(), 0) else { return Cow::Borrowed(text) };
    let (mut safe, mut kept) = (String::with_capacity(text.len()), 0);
    loop {
        // A token is ASCII, so these are boundaries of characters.
        safe.push_str(&text[kept..found.0]);
        safe.push_str(REDACTED);
        kept = found.1;
        match find_token(text.as_bytes(), kept) {
            Some(next) => found = next,
            None => break,
        }
    }
    safe.push_str(&text[kept..]);
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_wherever_they_stand() {
        for (text, expected) in [
            ("twn_ab12_00ffee11", "(redacted)"),
            ("é twn_ab12_00ffee11, twn_ab12_00ffee12; twn_ab12 ü", "é (redacted), (redacted); twn_ab12 ü"),
            ("xtwn_twn_ab12_00ffee11\"", "x(redacted)\""),
            ("twn_a_b", "twn_a_b"),
            ("no token", "no token"),
        ] {
            assert_eq!(redact_tokens(text), expected);
            assert_eq!(redact_tokens(expected), expected, "a second time changes nothing");
        }
        assert!(matches!(redact_tokens("no token"), Cow::Borrowed(_)));
    }

    #[test]
    fn tokens_are_found_in_every_encoding_of_a_url() {
        for text in ["twn_a_b", "/v1?token=twn_a_b", "%74wn_a_b", "twn%5Fa_b", "twn%5fa", "%2574wn%255Fa", "%%74wn_"] {
            assert!(holds_token(text), "{text}");
        }
        for text in ["", "twn", "/v1/audit?limit=1", "100 %", "%", "%7", "%zz", "%ff%00", "tw%6e"] {
            assert!(!holds_token(text), "{text}");
        }
    }
}
