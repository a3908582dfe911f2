//! Event files of `TensorBoard`: the rows of a training as scalars with the tags of `CleanRL`.
//!
//! A file is a sequence of records (length, its checksum, an `Event` message, its checksum), each message in the protobuf
//! encoding. A resumed training starts another file, which tells `TensorBoard` to drop the events after the checkpoint.
//! Rule: "Event files".

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use townlet_learn::train::Row;

/// The version that `TensorBoard` expects.
const FILE_VERSION: &str = "brain.Event:2";

/// The event file of a training.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
    /// Length of the complete records in bytes.
    length: u64,
}

impl EventFile {
    /// A new file in `folder/run`. `resumed_at` is the steps of the checkpoint that a resumed training continues from.
    pub(super) fn create(folder: &Path, run: &str, seconds: f64, resumed_at: Option<u64>) -> io::Result<Self> {
        let folder = folder.join(run);
        std::fs::create_dir_all(&folder)?;
        let (path, file) = new_file(&folder, run, seconds as u64)?;
        let mut events = Self { path, file, length: 0 };
        // Events from the purge step on are dropped, and those of the checkpoint itself are kept.
        let purge_step = resumed_at.map(|steps| steps + 1);
        let mut records = record(&event(seconds, purge_step.unwrap_or(0), &Content::FileVersion));
        if let Some(step) = purge_step {
            records.extend(record(&event(seconds, step, &Content::SessionStart)));
        }
        events.append(&records)?;
        Ok(events)
    }

    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the scalars of a row. After an error the same row may be written again.
    pub(super) fn write(&mut self, row: &Row, seconds: f64) -> io::Result<()> {
        self.append(&record(&event(seconds, row.steps, &Content::Scalars(scalars(row)))))
    }

    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        // Removes what a failed write left.
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(records)?;
        self.length += records.len() as u64;
        Ok(())
    }
}

/// Opens a file whose name sorts after those of earlier sessions.
fn new_file(folder: &Path, run: &str, seconds: u64) -> io::Result<(PathBuf, File)> {
    for seconds in seconds.. {
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.{run}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
    unreachable!("some second has no file")
}

/// The scalars of a row: tag and value.
fn scalars(row: &Row) -> Vec<(String, f64)> {
    let fixed = [
        ("charts/learning_rate", Some(row.learning_rate)),
        ("charts/SPS", Some(row.steps_per_second)),
        ("charts/episodic_return", row.episodic_return),
        ("charts/return_per_day", row.return_per_day),
        ("charts/town_score", row.town_score),
        ("losses/policy_loss", Some(row.policy_loss)),
        ("losses/value_loss", Some(row.value_loss)),
        ("losses/entropy", Some(row.entropy)),
        ("losses/approx_kl", Some(row.approx_kl)),
        ("losses/clipfrac", Some(row.clip_frac)),
        ("losses/explained_variance", row.explained_variance),
        ("losses/grad_norm", Some(row.grad_norm)),
    ];
    let mut all: Vec<(String, f64)> =
        fixed.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?))).collect();
    all.extend(row.kpis.iter().filter_map(|kpi| Some((format!("kpis/{}", kpi.name), kpi.value?))));
    if let Some(evaluation) = &row.evaluation {
        all.extend(evaluation.score.map(|score| ("eval/score".to_owned(), score)));
        all.push(("eval/starvation_rate".into(), evaluation.starvation_rate));
        all.push(("eval/involuntary_exit_rate".into(), evaluation.involuntary_exit_rate));
        all.extend(evaluation.kpis.iter().filter_map(|kpi| Some((format!("eval/{}", kpi.name), kpi.value?))));
    }
    all
}

/// The content of an event.
enum Content {
    FileVersion,
    SessionStart,
    Scalars(Vec<(String, f64)>),
}

/// An `Event` message of `tensorflow/core/util/event.proto`; the numbers are those of its fields.
fn event(seconds: f64, step: u64, content: &Content) -> Vec<u8> {
    let mut message = Vec::new();
    key(&mut message, 1, FIXED_64);
    message.extend(seconds.to_le_bytes());
    if step > 0 {
        key(&mut message, 2, VARINT);
        varint(&mut message, step);
    }
    match content {
        Content::FileVersion => bytes(&mut message, 3, FILE_VERSION.as_bytes()),
        Content::SessionStart => {
            let mut session = Vec::new();
            key(&mut session, 1, VARINT);
            varint(&mut session, 1);
            bytes(&mut message, 7, &session);
        }
        Content::Scalars(scalars) => {
            let mut summary = Vec::new();
            for (tag, value) in scalars {
                let mut scalar = Vec::new();
                bytes(&mut scalar, 1, tag.as_bytes());
                key(&mut scalar, 2, FIXED_32);
                scalar.extend((*value as f32).to_le_bytes());
                bytes(&mut summary, 1, &scalar);
            }
            bytes(&mut message, 5, &summary);
        }
    }
    message
}

/// Wire types of protobuf.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED_32: u8 = 5;

fn key(out: &mut Vec<u8>, field: u8, wire_type: u8) {
    out.push(field << 3 | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    key(out, field, LENGTH);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A record of a `TFRecord` file.
fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    [&length, &masked_crc(&length).to_le_bytes()[..], content, &masked_crc(content).to_le_bytes()].concat()
}

/// The checksum of `TFRecord`: a rotated CRC-32C plus a constant.
fn masked_crc(content: &[u8]) -> u32 {
    crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), which the `crc32fast` crate does not have.
fn crc32c(content: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    !content.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { REVERSED_POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use townlet_learn::train::{Evaluation, KpiMean};

    use super::*;

    #[test]
    fn checksums_by_table() {
        // RFC 3720, appendix B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        // The first record of every event file has 24 bytes.
        assert_eq!(masked_crc(&24_u64.to_le_bytes()), u32::from_le_bytes(*b"\xa3\x7fK\""));
    }

    /// Splits a file into records and checks both checksums.
    fn records(mut content: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while !content.is_empty() {
            let (head, rest) = content.split_at(12);
            let length = u64::from_le_bytes(head[..8].try_into().expect("8 bytes")) as usize;
            let crc = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
            assert_eq!(crc(&head[8..]), masked_crc(&head[..8]));
            let (message, rest) = rest.split_at(length);
            assert_eq!(crc(&rest[..4]), masked_crc(message));
            found.push(message.to_vec());
            content = &rest[4..];
        }
        found
    }

    #[test]
    fn a_row_is_an_event_of_scalars_in_the_encoding_of_protobuf() {
        let scalars = vec![("eval/score".to_owned(), 0.5), ("a".to_owned(), -1.0)];
        let message = event(2.0, 300, &Content::Scalars(scalars));
        let mut wanted = vec![0x09, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 0xac, 0x02, 0x2a, 29, 0x0a, 17, 0x0a, 10];
        wanted.extend(b"eval/score");
        wanted.extend([0x15, 0, 0, 0, 0x3f, 0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0x80, 0xbf]);
        assert_eq!(message, wanted);
        assert_eq!(event(0.0, 7, &Content::SessionStart)[9..], [0x10, 7, 0x3a, 2, 0x08, 1]);
    }

    #[test]
    fn a_file_holds_its_version_and_a_record_per_row_and_a_resumed_one_purges() {
        let folder = tempfile::tempdir().expect("a folder");
        let evaluation = Evaluation { score: Some(0.75), ..Evaluation::default() };
        let kpi = KpiMean { name: "tenure".into(), value: Some(3.5), met: None, charter: true };
        let row = Row { steps: 100, kpis: vec![kpi], evaluation: Some(evaluation), ..Row::default() };
        let mut first = EventFile::create(folder.path(), "run", 1e9, None).expect("a file");
        first.write(&row, 1e9).expect("it is written");
        let mut second = EventFile::create(folder.path(), "run", 1e9, Some(100)).expect("another file");
        second.write(&Row { steps: 200, ..row }, 1e9).expect("it is written");
        assert!(first.path() < second.path(), "TensorBoard reads files in the order of their names");
        let read = |file: &EventFile| records(&std::fs::read(file.path()).expect("a file"));
        let [first, second] = [read(&first), read(&second)];
        let contains = |record: &[u8], text: &str| record.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(first.len() == 2 && contains(&first[0], FILE_VERSION));
        for tag in ["charts/SPS", "losses/clipfrac", "kpis/tenure", "eval/score", "eval/starvation_rate"] {
            assert!(contains(&first[1], tag), "{tag}");
        }
        assert!(!contains(&first[1], "charts/episodic_return"), "there is none yet");
        assert!(second.len() == 3 && contains(&second[0], FILE_VERSION));
        assert_eq!(second[1][9..], [0x10, 101, 0x3a, 2, 0x08, 1]);
    }
}
