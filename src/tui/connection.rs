//! The state of a connection in words, for header, banner and fleet. What is not heard is never called live.
//! Rule: "Header and footer".

use ratatui::style::Style;

use super::format::seconds;
use super::theme::Theme;
use townlet_source::Link;

/// `live`, `no answer for 12 s, trying again in 3 s`, `token refused, not tried again`, `ended`.
pub(crate) fn words(link: &Link, ended: bool, theme: &Theme) -> (String, Style) {
    let (text, style) = short_words(link, ended, theme);
    let text = match link {
        Link::Reconnecting { .. } if !ended => format!("{}, {}", silence(link), next_attempt(link)),
        Link::Stale { .. } if !ended => silence(link),
        Link::Behind { .. } if !ended => format!("live, {text}"),
        _ => text,
    };
    (text, style)
}

/// The same in at most 14 columns for the first hour: `live`, `silent 12 s`, `token refused`.
pub(crate) fn short_words(link: &Link, ended: bool, theme: &Theme) -> (String, Style) {
    if ended {
        return ("ended".to_owned(), theme.bad);
    }
    match link {
        Link::Local => ("local".to_owned(), theme.dim),
        Link::Recorded => ("recording".to_owned(), theme.warn),
        Link::Connecting { .. } => ("connecting".to_owned(), theme.warn),
        Link::Live { .. } => ("live".to_owned(), theme.good),
        Link::Behind { seconds, .. } => (format!("{} behind", age(*seconds)), theme.warn),
        Link::Stale { seconds, .. } => (format!("silent {}", age(*seconds)), theme.warn),
        Link::Reconnecting { denied: true, .. } => ("token refused".to_owned(), theme.bad),
        Link::Reconnecting { stopped: true, .. } => ("stopped".to_owned(), theme.bad),
        Link::Reconnecting { silent_seconds: None, .. } => ("no answer".to_owned(), theme.bad),
        Link::Reconnecting { silent_seconds: Some(seconds), .. } => (format!("silent {}", age(*seconds)), theme.bad),
    }
}

/// `no answer for 12 s`, `no answer yet`, `the shard has stopped`, `token refused`; empty while the shard is heard.
pub(crate) fn silence(link: &Link) -> String {
    match link {
        Link::Reconnecting { denied: true, .. } => "token refused".to_owned(),
        Link::Reconnecting { stopped: true, .. } => "the shard has stopped".to_owned(),
        Link::Stale { seconds, .. } | Link::Reconnecting { silent_seconds: Some(seconds), .. } => {
            format!("no answer for {}", age(*seconds))
        }
        Link::Reconnecting { silent_seconds: None, .. } => "no answer yet".to_owned(),
        _ => String::new(),
    }
}

/// `trying again in 3 s`, `trying again now`, or `not tried again`; empty while the shard is heard.
pub(crate) fn next_attempt(link: &Link) -> String {
    match link {
        Link::Reconnecting { denied: true, .. } => "not tried again".to_owned(),
        Link::Reconnecting { in_seconds: 0, .. } => "trying again now".to_owned(),
        Link::Reconnecting { in_seconds, .. } => format!("trying again in {in_seconds} s"),
        _ => String::new(),
    }
}

/// Age of what is shown: `12 s`; `None` while it is new, and when there is nothing.
pub(crate) fn data_age(link: &Link) -> Option<String> {
    match link {
        Link::Behind { seconds, .. }
        | Link::Stale { seconds, .. }
        | Link::Reconnecting { silent_seconds: Some(seconds), .. } => Some(age(*seconds)),
        _ => None,
    }
}

fn age(whole: u64) -> String {
    seconds(whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_silence_has_its_words() {
        let theme = Theme::named("dark", true).unwrap();
        let lost = |silent_seconds, denied, in_seconds| Link::Reconnecting {
            url: "http://x".into(),
            in_seconds,
            silent_seconds,
            denied,
            stopped: silent_seconds == Some(7),
            why: "connection refused".into(),
        };
        let said = |link: &Link| (words(link, false, &theme).0, short_words(link, false, &theme).0);
        let pair = |long: &str, short: &str| (long.to_owned(), short.to_owned());
        assert_eq!(said(&lost(Some(12), false, 3)), pair("no answer for 12 s, trying again in 3 s", "silent 12 s"));
        assert_eq!(said(&lost(None, false, 0)), pair("no answer yet, trying again now", "no answer"));
        assert_eq!(said(&lost(Some(90), true, 3)), pair("token refused, not tried again", "token refused"));
        assert_eq!(said(&lost(Some(7), false, 3)), pair("the shard has stopped, trying again in 3 s", "stopped"));
        assert_eq!(said(&lost(Some(7), true, 3)), pair("token refused, not tried again", "token refused"));
        assert_eq!(said(&Link::Stale { url: "x".into(), seconds: 3 }), pair("no answer for 3 s", "silent 3 s"));
        assert_eq!(said(&Link::Behind { url: "x".into(), seconds: 11 }), pair("live, 11 s behind", "11 s behind"));
        assert_eq!(said(&Link::Live { url: "x".into() }), pair("live", "live"));
        assert_eq!(words(&lost(Some(1), false, 1), true, &theme).0, "ended");
    }
}
