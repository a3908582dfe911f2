//! JSON without blanks, with the keys of every object in the order of their bytes, so that equal values have equal texts.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The text of a value.
///
/// # Errors
/// A value that is not plain data, such as a map whose keys are no texts.
pub(crate) fn to_vec(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let text = Text::default();
    value.serialize(&mut Serializer::with_formatter(text.clone(), text.clone()))?;
    let written = std::mem::take(&mut text.0.borrow_mut().written);
    Ok(written)
}

/// The text so far. The serializer writes to it, and tells it as a formatter where objects begin and end.
#[derive(Clone, Default)]
struct Text(Rc<RefCell<Written>>);

#[derive(Default)]
struct Written {
    /// The innermost open key or value.
    written: Vec<u8>,
    /// Open objects, the outermost first.
    objects: Vec<Object>,
}

struct Object {
    /// What stands before it.
    before: Vec<u8>,
    /// The key whose value is open.
    key: Vec<u8>,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Written {
    fn object(&mut self) -> io::Result<&mut Object> {
        self.objects.last_mut().ok_or_else(|| io::Error::other("there is no open object"))
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Formatter for Text {
    fn begin_object<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        let mut text = self.0.borrow_mut();
        let before = std::mem::take(&mut text.written);
        text.objects.push(Object { before, key: Vec::new(), entries: Vec::new() });
        Ok(())
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, _: &mut W, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn end_object_key<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        let mut text = self.0.borrow_mut();
        let key = std::mem::take(&mut text.written);
        text.object()?.key = key;
        Ok(())
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        Ok(())
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        let mut text = self.0.borrow_mut();
        let value = std::mem::take(&mut text.written);
        let object = text.object()?;
        object.entries.push((std::mem::take(&mut object.key), value));
        Ok(())
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        let mut text = self.0.borrow_mut();
        let Some(Object { before, mut entries, .. }) = text.objects.pop() else { return Ok(()) };
        entries.sort_by(|(a, _), (b, _)| name(a).cmp(&name(b)));
        let written = &mut text.written;
        *written = before;
        written.push(b'{');
        for (at, (key, value)) in entries.iter().enumerate() {
            if at > 0 {
                written.push(b',');
            }
            written.extend_from_slice(key);
            written.push(b':');
            written.extend_from_slice(value);
        }
        written.push(b'}');
        Ok(())
    }
}

/// The name of a key that is written as JSON.
fn name(key: &[u8]) -> Cow<'_, [u8]> {
    if key.contains(&b'\\') {
        let name: String = serde_json::from_slice(key).unwrap_or_default();
        return Cow::Owned(name.into_bytes());
    }
    Cow::Borrowed(key.get(1..key.len().saturating_sub(1)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = json!({
            "b": [{ "z": 1, "a": [] }, {}, 2.5, "x{,}:\"", null, [{ "k": { "j": true, "i": {} } }]],
            "a": { "a!": 1, "a": 2, "a\"": 3, "a\\": 4, "é": 5, "a\u{1}": 6, "": 7 },
        });
        let mut sorted = value.clone();
        sorted.sort_all_objects();
        assert_eq!(String::from_utf8(to_vec(&value).unwrap()).unwrap(), sorted.to_string());
        assert_ne!(value.to_string(), sorted.to_string());
        assert_eq!(to_vec(&[1_u8]).unwrap(), b"[1]");
        assert!(to_vec(&std::collections::BTreeMap::from([([1_u8], 1)])).is_err());
    }
}
