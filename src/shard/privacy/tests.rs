//! Privacy: no resident's name or id in any byte that leaves, and hashed ids that work.

use townlet_learn::Scripted;
use townlet_town::{Command, Rules, Sources, Town};

use super::*;
use crate::telemetry::{self, ShardStatus};
use townlet_wire::telemetry::{AuditRow, AuditTail, Health};

fn names() -> PrivacyFilter {
    PrivacyFilter { key: [7; 32], ..PrivacyFilter::default().always_hidden() }
}

fn town() -> Town {
    let settings = [("employment.max_absent_shifts", "1"), ("embedding_allocator.max_slots", "8")];
    let sources = Sources::default_town(&settings).unwrap();
    Town::new(std::sync::Arc::new(Rules::new(sources).unwrap()), 7)
}

/// Every word of a text that is a resident's name or id.
fn leaks(text: &str) -> Vec<String> {
    let words = text.split(|character: char| !character.is_alphanumeric());
    words.filter(|word| names::resident(word).is_some()).map(str::to_owned).collect()
}

#[test]
fn no_name_or_id_is_in_any_byte_of_a_snapshot() {
    let mut town = town();
    let mut status = ShardStatus { names: names(), ..ShardStatus::default() };
    status.health = Health { problems: vec!["ada's file is full".into()], ..Health::default() };
    for tick in 0..1_200_u32 {
        if tick == 100 {
            town.apply(&Command::ExitRequest { who: ResidentId(3) }).unwrap();
        }
        if tick.is_multiple_of(40) {
            let who = ResidentId(town.state().lifecycle.next_resident - 1);
            drop(town.apply(&Command::SetNeed { who, need: 0, value: townlet_town::Micro::ZERO }));
            drop(town.apply(&Command::Kill { who: ResidentId(tick / 40) }));
        }
        town.step(&mut Scripted);
        let rules = std::sync::Arc::clone(town.rules());
        for event in town.events() {
            status.feed.record(&rules, event);
        }
        town.clear_events();
        if tick.is_multiple_of(50) {
            let row = AuditRow {
                issuer: "tui:ben".into(),
                args: json!({ "agent": "cleo", "dov": ["ADA-2 and Eva"] }),
                reason: Some("Finn asked".into()),
                ..AuditRow::default()
            };
            let tail = AuditTail { records: vec![row], ..AuditTail::default() };
            let sent =
                serde_json::to_string(&telemetry::snapshot(town.rules(), town.state(), None, &status, tail.clone()))
                    .unwrap();
            assert_eq!(leaks(&sent), Vec::<String>::new(), "tick {tick}");
            let plain = ShardStatus { names: PrivacyFilter::default(), ..ShardStatus::default() };
            let plain =
                serde_json::to_string(&telemetry::snapshot(town.rules(), town.state(), None, &plain, tail)).unwrap();
            assert!(leaks(&plain).len() > 20, "without privacy the names are there, so this test can see them");
        }
    }
    assert!(status.feed.narrations.len() > 5 && status.feed.events.len() > 20);
}

#[test]
fn a_hash_is_stable_and_keyed() {
    let (one, other) = (names(), PrivacyFilter { key: [8; 32], ..PrivacyFilter::default().always_hidden() });
    assert_eq!(one.pseudonym(ResidentId(3)), one.pseudonym(ResidentId(3)));
    assert_ne!(one.pseudonym(ResidentId(3)), one.pseudonym(ResidentId(4)));
    assert_ne!(one.pseudonym(ResidentId(3)), other.pseudonym(ResidentId(3)));
    assert_eq!(
        one.text("Ada met ada-2."),
        format!("{} met {}.", one.pseudonym(ResidentId(0)), one.pseudonym(ResidentId(96)))
    );
    assert_eq!(one.text("adam and the parade"), "adam and the parade");
}

#[test]
fn hashed_ids_are_understood() {
    let names = names();
    let line = format!(
        "explain {} --reason \"{}!\"",
        names.pseudonym(ResidentId(2)),
        names.pseudonym(ResidentId(0)).to_uppercase()
    );
    assert_eq!(names.resolve_pseudonyms(&line, 8), "explain cleo --reason \"ada!\"");
    assert_eq!(
        names.resolve_pseudonyms(&line, 1),
        format!("explain {} --reason \"ada!\"", names.pseudonym(ResidentId(2)))
    );
}

#[test]
fn the_key_is_kept_in_the_home() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let first = PrivacyFilter::open(&home, "harbour", true).unwrap();
    let again = PrivacyFilter::open(&home, "harbour", true).unwrap();
    assert_eq!(first.pseudonym(ResidentId(0)), again.pseudonym(ResidentId(0)));
    let other = PrivacyFilter::open(&home, "elsewhere", true).unwrap();
    assert_ne!(first.pseudonym(ResidentId(0)), other.pseudonym(ResidentId(0)));
    std::fs::write(home.privacy_key("harbour"), b"short").unwrap();
    assert!(PrivacyFilter::open(&home, "harbour", true).unwrap_err().contains("32 bytes"));
}

#[test]
fn exported_lines_are_redacted_and_say_so() {
    let line = b"{\"args\":{\"agent\":\"ada\"},\"reason\":\"Ben knows\"}\nhalf a li\n";
    assert_eq!(PrivacyFilter::default().redact_lines(line).as_ref(), line);
    let text = String::from_utf8(names().redact_lines(line).into_owned()).unwrap();
    assert_eq!((leaks(&text), text.lines().count()), (Vec::new(), 1));
    assert!(text.contains("\"redacted\":true"));
}

/// The message with its texts hidden in a generic value.
fn hidden_as_a_value<T: Serialize + DeserializeOwned>(names: &PrivacyFilter, message: &T) -> T {
    serde_json::from_value(names.value(serde_json::to_value(message).unwrap())).unwrap()
}

#[test]
fn a_message_is_hidden_as_its_value_is() {
    let (names, mut town) = (names(), town());
    let mut status = ShardStatus::default();
    for _ in 0..600 {
        town.step(&mut Scripted);
        let rules = std::sync::Arc::clone(town.rules());
        for event in town.events() {
            status.feed.record(&rules, event);
        }
        town.clear_events();
    }
    let row = AuditRow {
        args: json!({ "ada": [null, true, -1, 2.5, "Ben\u{1b}\n\"cleo\"\\dov/\t\r\u{8}\u{c}\u{7f}é, eva-2"] }),
        reason: Some("\u{1}ada\u{2}".into()),
        ..AuditRow::default()
    };
    let tail = AuditTail { records: vec![row], ..AuditTail::default() };
    let state = telemetry::snapshot(town.rules(), town.state(), None, &status, tail);
    let expected = hidden_as_a_value(&names, &state);
    assert!(leaks(&state.to_json()).len() > 20 && leaks(&expected.to_json()).is_empty());
    assert!(names.apply(state).to_json() == expected.to_json(), "another text");
    let events: Vec<_> = status.feed.events.iter().map(|event| townlet_wire::telemetry::Event::clone(event)).collect();
    let expected = hidden_as_a_value(&names, &events);
    assert_eq!(names.apply(events), expected);
}
