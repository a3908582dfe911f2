//! Bookmarks: ticks of a run that the operator has marked, with a note. The shell keeps those of all runs in a file of the user.

use serde_json::{Map, Value, json};

use super::format::count;

/// Bookmarks of a run at most.
const MAX_OF_RUN: usize = 200;
/// Bookmarks of all runs at most; those of the runs that were changed longest ago are dropped.
const MAX_ALL: usize = 2_000;
/// Characters of a note at most.
pub(crate) const MAX_NOTE: usize = 200;
/// Bytes of a file at most: the bookmarks, and room.
pub(crate) const MAX_BYTES: u64 = 4 * 1_024 * 1_024;

/// A bookmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Its tick.
    pub tick: u64,
    /// What the operator wrote; may be empty.
    pub note: String,
}

/// Sets or removes a bookmark in those of a run, which are in the order of ticks.
///
/// # Errors
/// Why it cannot be set, as a sentence.
pub(crate) fn change(bookmarks: &mut Vec<Bookmark>, tick: u64, note: Option<&str>) -> Result<(), String> {
    let place = bookmarks.binary_search_by_key(&tick, |bookmark| bookmark.tick);
    match (place, note) {
        (Ok(place), None) => drop(bookmarks.remove(place)),
        (Err(_), None) => {}
        (Err(_), Some(_)) if bookmarks.len() >= MAX_OF_RUN => {
            return Err(format!("a run has at most {}; remove one in the list", count(MAX_OF_RUN as u64, "bookmark")));
        }
        (place, Some(note)) => {
            let bookmark = Bookmark { tick, note: note.trim().chars().take(MAX_NOTE).collect() };
            match place {
                Ok(place) => bookmarks[place] = bookmark,
                Err(place) => bookmarks.insert(place, bookmark),
            }
        }
    }
    Ok(())
}

/// The bookmarks of all runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bookmarks {
    /// Run and its bookmarks; the run that was changed last is the last one.
    runs: Vec<(String, Vec<Bookmark>)>,
}

impl Bookmarks {
    /// Reads what [`Self::to_text`] writes. The error is what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let runs = value.get("runs").and_then(Value::as_array).ok_or("it has no list `runs`")?;
        let bookmark = |value: &Value| {
            let note = value.get("note")?.as_str()?.chars().take(MAX_NOTE).collect();
            Some(Bookmark { tick: value.get("tick")?.as_u64()?, note })
        };
        let run = |value: &Value| {
            let list = value.get("bookmarks")?.as_array()?;
            let mut list: Vec<Bookmark> = list.iter().map(bookmark).collect::<Option<_>>()?;
            list.sort_by_key(|bookmark| bookmark.tick);
            list.dedup_by_key(|bookmark| bookmark.tick);
            list.truncate(MAX_OF_RUN);
            Some((value.get("run")?.as_str()?.to_owned(), list))
        };
        let runs = runs.iter().map(run).collect::<Option<_>>().ok_or("a bookmark in it has no tick or no note")?;
        let mut read = Self { runs };
        read.bound();
        Ok(read)
    }

    /// JSON with a final line break.
    pub(crate) fn to_text(&self) -> String {
        let run = |(run, list): &(String, Vec<Bookmark>)| {
            let list: Vec<Value> =
                list.iter().map(|bookmark| json!({ "tick": bookmark.tick, "note": bookmark.note })).collect();
            Value::Object(Map::from_iter([("run".to_owned(), json!(run)), ("bookmarks".to_owned(), json!(list))]))
        };
        let runs: Vec<Value> = self.runs.iter().map(run).collect();
        format!("{:#}\n", json!({ "runs": runs }))
    }

    /// Those of a run, in the order of ticks.
    pub(crate) fn of(&self, run: &str) -> Vec<Bookmark> {
        self.runs.iter().find(|(known, _)| known == run).map(|(_, list)| list.clone()).unwrap_or_default()
    }

    /// Sets or removes a bookmark of a run; see [`change`].
    pub(crate) fn change(&mut self, run: &str, tick: u64, note: Option<&str>) -> Result<(), String> {
        let mut list = self.of(run);
        change(&mut list, tick, note)?;
        self.runs.retain(|(known, _)| known != run);
        if !list.is_empty() {
            self.runs.push((run.to_owned(), list));
        }
        self.bound();
        Ok(())
    }

    fn bound(&mut self) {
        while self.runs.len() > 1 && self.runs.iter().map(|(_, list)| list.len()).sum::<usize>() > MAX_ALL {
            self.runs.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_are_read_back_and_bounded() {
        let mut all = Bookmarks::default();
        all.change("run-1", 90, Some(" first alert ")).unwrap();
        all.change("run-1", 20, Some(&"é".repeat(300))).unwrap();
        all.change("run-2", 5, Some("")).unwrap();
        let read = Bookmarks::parse(&all.to_text()).unwrap();
        assert_eq!(read, all);
        let of_run = read.of("run-1");
        assert_eq!((of_run[0].tick, of_run[0].note.chars().count()), (20, MAX_NOTE));
        assert_eq!(of_run[1], Bookmark { tick: 90, note: "first alert".into() });
        all.change("run-1", 90, Some("again")).unwrap();
        all.change("run-1", 20, None).unwrap();
        assert_eq!(all.of("run-1"), [Bookmark { tick: 90, note: "again".into() }]);
        all.change("run-2", 5, None).unwrap();
        assert_eq!(all.runs.len(), 1, "a run without bookmarks is forgotten");
        for tick in 0..200 {
            drop(all.change("run-1", tick, Some("x")));
        }
        assert_eq!(all.of("run-1").len(), MAX_OF_RUN);
        let why = all.change("run-1", 500, Some("x")).unwrap_err();
        assert_eq!(why, "a run has at most 200 bookmarks; remove one in the list");
        for run in 0..30 {
            for tick in 0..100 {
                all.change(&format!("r{run}"), tick, Some("x")).unwrap();
            }
        }
        assert!(all.of("run-1").is_empty() && all.of("r29").len() == 100);
        assert!(all.runs.iter().map(|(_, list)| list.len()).sum::<usize>() <= MAX_ALL);
        let mut largest = Bookmarks::default();
        for run in 0..10 {
            for tick in 0..200 {
                largest.change(&format!("r{run}"), tick, Some(&"\u{1f600}".repeat(MAX_NOTE))).unwrap();
            }
        }
        assert!(largest.to_text().len() as u64 <= MAX_BYTES);
    }

    #[test]
    fn a_damaged_text_is_refused() {
        for (text, said) in [
            ("", "EOF"),
            ("{}", "no list `runs`"),
            (r#"{"runs": [{"run": "a", "bookmarks": [{"tick": -1, "note": ""}]}]}"#, "no tick or no note"),
            (r#"{"runs": [{"bookmarks": []}]}"#, "no tick or no note"),
        ] {
            let why = Bookmarks::parse(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }
}
