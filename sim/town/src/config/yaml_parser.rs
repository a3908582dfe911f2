//! Reads a YAML text into a tree. The parser is granit-parser; this module builds the tree from its events and decides what a plain
//! scalar is (YAML 1.2, core schema). Duplicate keys stay in the tree, so that the validation can report them with all other errors.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::error::{ConfigError, ConfigErrors};
use super::yaml_tree::{Entry, Node, Place, Source, Value};

/// Maximum depth of nested lists and maps.
const MAX_DEPTH: usize = 64;
/// Maximum number of values of a document, with those that aliases repeat.
const MAX_VALUES: usize = 250_000;

/// Parses one YAML document. An empty text is a null.
pub(super) fn parse(source: &Arc<Source>) -> Result<Node, ConfigErrors> {
    let options = granit_parser::options! { block_nesting_limit: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH };
    let parser = Parser::new_from_str_with_options(&source.text, options);
    TreeBuilder { parser, source, anchors: BTreeMap::new(), values: 0, depth: 0 }.document()
}

struct TreeBuilder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    source: &'a Arc<Source>,
    /// The complete value of each anchor and the number of values in it.
    anchors: BTreeMap<usize, (Node, usize)>,
    values: usize,
    /// Lists and maps that are open.
    depth: usize,
}

impl<'a> TreeBuilder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), ConfigErrors> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.syntax_error(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn syntax_error(&self, error: &ScanError) -> ConfigErrors {
        let place = self.place(*error.marker(), *error.marker());
        ConfigError::at(&place, "", error.info()).into()
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ConfigErrors {
        ConfigError::at(&self.place(span.start, span.end), "", message).into()
    }

    fn place(&self, start: Marker, end: Marker) -> Place {
        let length = end.index().saturating_sub(start.index()).max(1);
        Place { source: Arc::clone(self.source), line: start.line(), column: start.col() + 1, length }
    }

    fn document(mut self) -> Result<Node, ConfigErrors> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root.unwrap_or_else(|| self.empty())),
                (Event::DocumentStart(..), span) if root.is_some() => {
                    return Err(self.error(span, "a second document begins here; a file may hold only one"));
                }
                (Event::DocumentStart(..), _) => {
                    let first = self.next()?;
                    root = Some(self.node(first)?);
                }
                _ => {}
            }
        }
    }

    fn empty(&self) -> Node {
        let place = Place { source: Arc::clone(self.source), line: 1, column: 1, length: 1 };
        Node { value: Value::Null, place: Some(place) }
    }

    /// The value that begins with an event.
    fn node(&mut self, (event, span): (Event<'a>, Span)) -> Result<Node, ConfigErrors> {
        let before = self.values;
        self.count(1, span)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(_, anchor, _) => (self.nested(Self::list)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.nested(Self::map)?, anchor),
            Event::Alias(anchor) => {
                let Some((node, values)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.error(span, "the alias is part of the value that it repeats"));
                };
                self.count(values, span)?;
                if self.depth + depth(&node) > MAX_DEPTH {
                    return Err(
                        self.error(span, format!("values may be nested {MAX_DEPTH} deep, with what aliases repeat"))
                    );
                }
                (node.value, 0)
            }
            other => return Err(self.error(span, format!("unexpected {other:?}"))),
        };
        let node = Node { value, place: Some(self.place(span.start, span.end)) };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.values - before));
        }
        Ok(node)
    }

    fn count(&mut self, values: usize, span: Span) -> Result<(), ConfigErrors> {
        self.values += values;
        if self.values > MAX_VALUES {
            return Err(
                self.error(span, format!("a file may hold {MAX_VALUES} values, with those that aliases repeat"))
            );
        }
        Ok(())
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, ConfigErrors>) -> Result<Value, ConfigErrors> {
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn list(&mut self) -> Result<Value, ConfigErrors> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                item => items.push(self.node(item)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value, ConfigErrors> {
        let mut entries = Vec::new();
        loop {
            let (name, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(entries)),
                (Event::Scalar(name, ..), span) => (name.into_owned(), span),
                (_, span) => return Err(self.error(span, "a key has to be a word or a number")),
            };
            let value = self.next()?;
            let node = self.node(value)?;
            entries.push(Entry { name, place: Some(self.place(span.start, span.end)), node });
        }
    }

    fn scalar(
        &self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Value, ConfigErrors> {
        match tag {
            None if style == ScalarStyle::Plain => Ok(plain(&text)),
            None => Ok(Value::Text(text.into_owned())),
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Ok(Value::Text(text.into_owned())),
            Some(tag) if tag.is_yaml_core_schema() => Ok(plain(&text)),
            Some(tag) => Err(self.error(span, format!("the tag {tag} has no meaning here"))),
        }
    }
}

/// The number of lists and maps around the innermost value.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The value of a scalar without quotes.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    match digits {
        ".inf" | ".Inf" | ".INF" => {
            return Some(Value::Decimal(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }));
        }
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Decimal(f64::NAN)),
        _ => {}
    }
    if let Some(hex) = digits.strip_prefix("0x") {
        return i128::from_str_radix(hex, 16).ok().filter(|_| text.len() == digits.len()).map(Value::Whole);
    }
    if let Some(octal) = digits.strip_prefix("0o") {
        return i128::from_str_radix(octal, 8).ok().filter(|_| text.len() == digits.len()).map(Value::Whole);
    }
    if !digits.trim_start_matches('.').starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let whole = text.parse().ok().map(Value::Whole);
    whole.or_else(|| text.parse().ok().map(Value::Decimal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layer;

    fn read(text: &str) -> Result<Node, String> {
        let source = Source { layer: Layer::File, name: "town.yaml".into(), text: text.into() };
        parse(&Arc::new(source)).map_err(|errors| errors.one_line())
    }

    #[test]
    fn plain_scalars_are_those_of_the_core_schema() {
        let cases = [
            ("~", "null"),
            ("true", "true"),
            ("on", "\"on\""),
            ("-12", "-12"),
            ("007", "7"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("-0x1F", "\"-0x1F\""),
            ("1.5e3", "1500"),
            ("-.5", "-0.5"),
            ("1.2.3", "\"1.2.3\""),
            ("inf", "\"inf\""),
            ("-.inf", "-inf"),
            ("'12'", "\"12\""),
            ("!!str 12", "\"12\""),
            ("!!int '12'", "12"),
            ("[a, {b: }]", "[\"a\", {b: null}]"),
            ("- &x {a: 1}\n- *x", "[{a: 1}, {a: 1}]"),
            ("", "null"),
        ];
        for (text, value) in cases {
            assert_eq!(read(text).map(|node| node.value.to_string()), Ok(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        let levels = |count: usize| format!("{}1{}", "[".repeat(count), "]".repeat(count));
        let join = |lines: Vec<String>| lines.concat();
        let chain = join((1..80).map(|level| format!("- &a{level} [*a{}]\n", level - 1)).collect());
        let doubled = join((1..30).map(|level| format!("- &a{level} [*a{0}, *a{0}]\n", level - 1)).collect());
        let cases = [
            ("- &a [*a]".to_owned(), "town.yaml:1:7: the alias is part of the value that it repeats"),
            ("a: 1\n? [b]\n: 2".to_owned(), "town.yaml:2:3: a key has to be a word or a number"),
            ("a: !secret 1".to_owned(), "the tag !secret has no meaning here"),
            ("a: 1\n---\nb: 2".to_owned(), "town.yaml:2:1: a second document begins here; a file may hold only one"),
            (format!("- &a0 1\n{chain}"), "values may be nested 64 deep, with what aliases repeat"),
            (format!("- &a0 1\n{doubled}"), "a file may hold 250000 values, with those that aliases repeat"),
            (levels(65), "town.yaml:1:"),
            ("a: *b".to_owned(), "town.yaml:1:"),
        ];
        for (text, message) in cases {
            let error = read(&text).expect_err(message);
            assert!(error.contains(message), "{error}");
        }
        assert!(read(&levels(64)).is_ok());
    }
}
