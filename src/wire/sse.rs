//! Server-sent events: one form for writing and reading them, whatever they carry.
//!
//! An event is a kind, an id from which a reader resumes after a lost connection, and one line of data.

/// Longest event read, in bytes: a whole state in its envelope.
pub const MAX_EVENT: usize = super::stream::MAX_STATE + 64 * 1024;
/// Capacity that the buffer keeps between events, in bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// The reason in the last event, `bye`, of a shard that stops in order.
pub const STOPPING: &str = "the shard is stopping";

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The id from which a reader resumes; may be empty.
    pub id: String,
    /// `snapshot`, `diff`, …
    pub kind: String,
    /// One line.
    pub data: String,
}

impl Event {
    /// The text sent over the connection.
    pub fn encoded(&self) -> String {
        let [head, tail] = event_frame(&self.id, &self.kind);
        format!("{head}{}{tail}", self.data)
    }
}

/// The text before and after the data of an event.
pub fn event_frame(id: &str, kind: &str) -> [String; 2] {
    let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
    [format!("{id}event: {kind}\ndata: "), "\n\n".into()]
}

/// Assembles events from pieces of a stream.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    /// Bytes of the buffer known to hold no end of a line.
    searched: usize,
    event: Event,
}

impl Reader {
    /// Adds a piece and returns the events completed by it.
    /// Fails when an event grows beyond [`MAX_EVENT`].
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<Event>, String> {
        self.buffer.extend_from_slice(piece);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + length;
            // Taken out for the call, so that a long line is not copied once more.
            let buffer = std::mem::take(&mut self.buffer);
            events.extend(self.line(String::from_utf8_lossy(&buffer[start..end]).trim_end_matches('\r')));
            self.buffer = buffer;
            start = end + 1;
            self.searched = start;
        }
        if start > 0 {
            self.buffer.drain(..start);
            // Not with every piece: a long line would be copied for each.
            self.buffer.shrink_to(KEPT_BYTES);
        }
        self.searched = self.buffer.len();
        if self.buffer.len() + self.event.data.len() + self.event.id.len() + self.event.kind.len() > MAX_EVENT {
            return Err(format!("an event has more than {MAX_EVENT} bytes"));
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment, or something newer than this reader.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let events = [
            Event { id: "1:2".into(), kind: "snapshot".into(), data: "{\"a\": 1}".into() },
            Event { id: String::new(), kind: "heartbeat".into(), data: "{}".into() },
        ];
        let text: String = events.iter().map(Event::encoded).collect();
        for size in 1..text.len() {
            let mut reader = Reader::default();
            let read: Vec<Event> = text.as_bytes().chunks(size).flat_map(|piece| reader.take(piece).unwrap()).collect();
            assert_eq!(read, events);
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; MAX_EVENT / 4];
        assert!((0..6).any(|_| reader.take(&piece).is_err()));
        let mut reader = Reader::default();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!((0..6).any(|_| reader.take(&line).is_err()));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20)) {
            let mut reader = Reader::default();
            for piece in pieces {
                prop_assert!(reader.take(&piece).is_ok());
            }
        }
    }
}
