//! The events of a shard's stream, one by one: what each comes to for whoever watches.
//!
//! The state itself is kept by the wire's mirror. Pure: bytes are somebody else's.

use serde::Deserialize;

use townlet_wire::sse::Event;
use townlet_wire::{Envelope, Mirror, Snapshot};

/// What an event came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The state is another.
    State,
    /// Nothing new, but the line lives.
    Alive,
    /// The shard says that the stream ends, and why.
    Bye(String),
    /// The thread is lost: everything must be told anew.
    Lost(String),
}

/// What was heard so far.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    mirror: Mirror,
}

#[derive(Deserialize)]
struct Bye {
    reason: String,
}

impl Heard {
    /// The state, once there is one.
    pub const fn state(&self) -> Option<&Snapshot> {
        self.mirror.state()
    }

    /// What to say one had last; nothing when everything must be told anew.
    pub fn last(&self) -> Option<String> {
        self.mirror.position().map(|position| position.to_string())
    }

    /// Takes an event.
    pub fn take(&mut self, event: &Event) -> Told {
        if event.kind == "bye" {
            return Told::Bye(serde_json::from_str::<Bye>(&event.data).map(|bye| bye.reason).unwrap_or_default());
        }
        let message: Envelope = match serde_json::from_str(&event.data) {
            Ok(message) => message,
            Err(why) => {
                self.mirror = Mirror::default();
                return Told::Lost(format!("a message of the shard is not understood: {why}"));
            }
        };
        match self.mirror.take(message) {
            Ok(true) => Told::State,
            Ok(false) => Told::Alive,
            Err(why) => Told::Lost(why.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use townlet_wire::stream::digest;
    use townlet_wire::{Body, Diff, SCHEMA_VERSION};

    fn event(seq: u64, prev_seq: u64, body: Body, state: Option<&Snapshot>) -> Event {
        let nothing = Snapshot { schema_version: SCHEMA_VERSION.into(), ..Snapshot::default() };
        let mut message = Envelope::leading_to(state.unwrap_or(&nothing), 7, seq, prev_seq, body);
        message.digest = state.map(digest);
        let kind = message.body.kind().to_owned();
        Event { id: message.position().to_string(), kind, data: serde_json::to_string(&message).unwrap() }
    }

    #[test]
    fn a_gap_a_wrong_digest_and_nonsense_are_told_and_a_snapshot_mends_them() {
        let at = |tick| Snapshot { schema_version: SCHEMA_VERSION.into(), tick, ..Snapshot::default() };
        let (one, two) = (at(1), at(2));
        let diff = || Body::Diff(Box::new(Diff::between(&one, &two)));
        let mut heard = Heard::default();
        assert!(matches!(heard.take(&event(2, 1, diff(), None)), Told::Lost(_)), "a diff before any snapshot");
        let start = event(1, 0, Body::Snapshot(Box::new(one.clone())), Some(&one));
        assert_eq!(heard.take(&start), Told::State);
        assert_eq!(heard.take(&event(2, 1, diff(), Some(&two))), Told::State);
        assert_eq!((heard.state(), heard.last().as_deref()), (Some(&two), Some("7:2")));
        assert_eq!(heard.take(&event(2, 0, Body::Heartbeat, None)), Told::Alive);
        assert!(matches!(heard.take(&event(4, 3, Body::Diff(Box::default()), None)), Told::Lost(_)));
        assert_eq!(heard.last(), None, "everything is asked for anew");
        heard.take(&start);
        assert!(
            matches!(heard.take(&event(2, 1, diff(), Some(&one))), Told::Lost(why) if why.contains("the shard's was"))
        );
        heard.take(&start);
        let nonsense = Event { data: "{\"kind\": 1}".into(), ..Event::default() };
        assert!(matches!(heard.take(&nonsense), Told::Lost(_)));
        let bye = Event { kind: "bye".into(), data: json!({ "reason": "so" }).to_string(), ..Event::default() };
        assert_eq!(heard.take(&bye), Told::Bye("so".into()));
    }
}
