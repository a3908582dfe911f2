//! Formats the result of a command as text: lists of objects as tables, other values as names and values.
//!
//! Works for any command, on screen and on paper. Rule: "Command table".

use serde_json::{Map, Value};

use super::format::{pad, plain as text, thousands, width};
use townlet_wire::escape;

/// Maximum padded width of a column. A longer cell shifts only its own row.
const MAX_COLUMN_WIDTH: usize = 48;

/// The rows of a result without its summary, escaped.
pub fn rows(result: &Value) -> Vec<String> {
    let mut facts = Vec::new();
    let mut tables = Vec::new();
    if let Value::Object(fields) = result {
        for (name, value) in fields.iter().filter(|(name, _)| *name != "summary") {
            collect(name, value, &mut facts, &mut tables);
        }
    }
    let mut lines: Vec<String> = columns(&facts).lines().map(str::to_owned).collect();
    for (name, table) in tables {
        lines.push(format!("{}:", escape(&name)));
        lines.extend(columns(&table).lines().map(|line| format!("  {line}")));
    }
    lines
}

/// Rows in aligned columns with control characters escaped. The first row is the heading.
pub fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let mut widths = vec![0; rows.first().map_or(0, |row| row.as_ref().len())];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row.as_ref()) {
            *widest = (*widest).max(width(&escape(cell)).min(MAX_COLUMN_WIDTH));
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells =
            row.as_ref().iter().zip(&widths).map(|(cell, columns)| pad(cell, (*columns).max(width(&escape(cell)))));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Adds a value to the facts or to the tables; nested objects become dotted names.
fn collect(name: &str, value: &Value, facts: &mut Vec<[String; 2]>, tables: &mut Vec<(String, Vec<Vec<String>>)>) {
    match value {
        Value::Null => {}
        Value::Array(items) if items.is_empty() => facts.push([name.to_owned(), "none".to_owned()]),
        Value::Array(items) if items.iter().all(Value::is_object) => tables.push((name.to_owned(), table(items))),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| collect(&format!("{name}.{key}"), value, facts, tables));
        }
        other => facts.push([name.to_owned(), cell(other)]),
    }
}

/// A heading and a row per item. The columns are the fields of any item.
fn table(items: &[Value]) -> Vec<Vec<String>> {
    let items: Vec<&Map<String, Value>> = items.iter().filter_map(Value::as_object).collect();
    let mut columns: Vec<&String> = Vec::new();
    for key in items.iter().flat_map(|item| item.keys()) {
        if !columns.contains(&key) {
            columns.push(key);
        }
    }
    let heading = columns.iter().map(|column| (*column).clone()).collect();
    let row =
        |item: &&Map<String, Value>| columns.iter().map(|key| item.get(*key).map_or_else(String::new, cell)).collect();
    std::iter::once(heading).chain(items.iter().map(row)).collect()
}

/// A value as one cell: booleans as yes or no, lists on one line, nested tables as their length.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) if items.iter().any(Value::is_object) => thousands(items.len() as u64),
        Value::Array(items) if items.is_empty() => "–".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(key, value)| format!("{key} {}", cell(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        Value::Number(number) if number.is_f64() => format!("{:.3}", number.as_f64().unwrap_or_default()),
        other => text(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_become_tables_after_other_values() {
        let lines = rows(&json!({
            "summary": "2 wait.",
            "queue": [{ "agent": "ada", "tick": 1200, "held": true }, { "agent": "ben", "tick": 7, "why": ["a", "b"] }],
            "limit": 4,
            "stage": { "name": "idle", "next": null, "steps": [] },
        }));
        assert_eq!(
            lines,
            [
                "limit        4",
                "stage.name   idle",
                "stage.steps  none",
                "queue:",
                "  agent  tick   held  why",
                "  ada    1,200  yes",
                "  ben    7            a, b",
            ]
        );
    }

    #[test]
    fn a_result_without_rows_has_none() {
        assert!(rows(&json!({ "summary": "done" })).is_empty() && rows(&Value::Null).is_empty());
    }

    #[test]
    fn columns_are_aligned_and_safe() {
        let rows = [["key".into(), "value".into()], ["seed".into(), "7\u{1b}[31m".into()], ["x".into(), String::new()]];
        assert_eq!(columns(&rows), "key   value\nseed  7\\u{1b}[31m\nx\n");
        let long = [["k".repeat(MAX_COLUMN_WIDTH + 5), "1".into()], ["s".into(), "2".into()]];
        let text = columns(&long);
        assert_eq!(text.lines().nth(1).map(|line| line.find('2')), Some(Some(MAX_COLUMN_WIDTH + 2)));
    }
}
