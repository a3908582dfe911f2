//! Applies the events of a shard's stream to a mirror of its state. Does no I/O.

use serde_json::Value;

use super::client::parse;
use townlet_wire::sse::Event;
use townlet_wire::{Mirror, Snapshot};

/// Effect of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// The state changed.
    State,
    /// No change; the connection is alive.
    Heartbeat,
    /// The shard ends the stream, with the reason.
    Closed(String),
    /// A message is missing or invalid; a new snapshot is needed.
    OutOfSync(String),
}

/// Decodes one stream.
#[derive(Clone, Debug, Default)]
pub struct StreamDecoder {
    mirror: Mirror,
}

impl StreamDecoder {
    /// The state, after the first snapshot.
    pub const fn state(&self) -> Option<&Snapshot> {
        self.mirror.state()
    }

    /// Id of the last event, to resume after; `None` when a new snapshot is needed.
    pub fn last(&self) -> Option<String> {
        self.mirror.position().map(|position| position.to_string())
    }

    /// When the last message was made, in milliseconds of the shard's clock; 0 for shards that do not say so.
    pub const fn sent_ms(&self) -> u64 {
        self.mirror.sent_ms()
    }

    /// Applies an event.
    pub fn take(&mut self, event: &Event) -> StreamEvent {
        if event.kind == "bye" {
            let bye: Value = parse(event.data.as_bytes()).unwrap_or_default();
            return StreamEvent::Closed(bye["reason"].as_str().unwrap_or_default().to_owned());
        }
        match self.mirror.read(&event.data) {
            Ok(true) => StreamEvent::State,
            Ok(false) => StreamEvent::Heartbeat,
            Err(why) => StreamEvent::OutOfSync(why.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use townlet_wire::stream::digest;
    use townlet_wire::{Body, Diff, Envelope, SCHEMA_VERSION};

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
        let mut decoder = StreamDecoder::default();
        assert!(
            matches!(decoder.take(&event(2, 1, diff(), None)), StreamEvent::OutOfSync(_)),
            "a diff before any snapshot"
        );
        let start = event(1, 0, Body::Snapshot(Arc::new(one.clone())), Some(&one));
        assert_eq!(decoder.take(&start), StreamEvent::State);
        assert_eq!(decoder.take(&event(2, 1, diff(), Some(&two))), StreamEvent::State);
        assert_eq!((decoder.state(), decoder.last().as_deref()), (Some(&two), Some("7:2")));
        assert_eq!(decoder.take(&event(2, 0, Body::Heartbeat, None)), StreamEvent::Heartbeat);
        assert!(matches!(decoder.take(&event(4, 3, Body::Diff(Box::default()), None)), StreamEvent::OutOfSync(_)));
        assert_eq!(decoder.last(), None, "a new snapshot is needed");
        decoder.take(&start);
        assert!(
            matches!(decoder.take(&event(2, 1, diff(), Some(&one))), StreamEvent::OutOfSync(why) if why.contains("the shard's was"))
        );
        decoder.take(&start);
        let nonsense = Event { data: "{\"kind\": 1}".into(), ..Event::default() };
        assert!(matches!(decoder.take(&nonsense), StreamEvent::OutOfSync(_)));
        let bye = Event { kind: "bye".into(), data: json!({ "reason": "so" }).to_string(), ..Event::default() };
        assert_eq!(decoder.take(&bye), StreamEvent::Closed("so".into()));
    }
}
