//! The keyframe file format: a saved town, and what an observer sees beside it that the town does not hold.
//!
//! A file is one frame of a journal: length (u32), CRC-32 of the body (u32), body (postcard). The town in it is a snapshot with
//! its own checksum; the feed is JSON, compressed with zstd. Rules: "Keyframes", "Files from strangers".

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use townlet_town::state::State;
use townlet_town::{Rules, Town, snapshot};

use crate::journal::{frame, only_body};
use crate::telemetry::{EventFeed, SavedFeed};

/// Version of the file format. It stays the first field in all versions.
const VERSION: u32 = 1;
/// Most bytes of a feed, uncompressed.
const MAX_FEED: usize = 1024 * 1024;
/// Most bytes of a file.
const MAX_BYTES: usize = snapshot::MAX_BYTES + MAX_FEED;
/// Most bytes of memory that the fields of a file, or of its feed, take beyond twice their length.
const MAX_FIELD_MEMORY: usize = 4 * 1024 * 1024;
/// Compression level of a feed, a fast one.
const LEVEL: i32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    run_id: String,
    /// The policy that chooses from this tick on.
    policy: String,
    feed: Vec<u8>,
    town: Vec<u8>,
}

/// A copy of all that a keyframe is made of, so that the town's thread only copies and another thread encodes.
pub(crate) struct Capture {
    pub run_id: String,
    pub policy: String,
    pub rules: Arc<Rules>,
    pub state: State,
    pub feed: EventFeed,
}

impl Capture {
    /// The bytes of the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let feed = serde_json::to_vec(&self.feed.save()).expect("a feed is plain data");
        frame(&Stored {
            version: VERSION,
            run_id: self.run_id.clone(),
            policy: self.policy.clone(),
            feed: zstd::bulk::compress(&feed, LEVEL).expect("compression in memory does not fail"),
            town: snapshot::save_state(&self.rules, &self.state),
        })
    }
}

/// A keyframe that was read.
pub(super) struct Keyframe {
    pub run_id: String,
    pub policy: String,
    pub feed: EventFeed,
    pub town: Town,
}

impl Keyframe {
    /// Reads a file. A town of the same sources as `rules` shares them. The error is a clause that follows the file's name.
    pub(super) fn read(path: &Path, rules: Option<&Arc<Rules>>) -> Result<Self, String> {
        let mut bytes = Vec::new();
        townlet_files::open(path)
            .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| error.to_string())?;
        Self::decode(&bytes, rules)
    }

    fn decode(bytes: &[u8], rules: Option<&Arc<Rules>>) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("it is larger than a keyframe may be ({MAX_BYTES} bytes)"));
        }
        let body = only_body(bytes).ok_or("it is damaged: its length or its checksum is wrong")?;
        let version = postcard::take_from_bytes::<u32>(body).map_err(|error| error.to_string())?.0;
        if version != VERSION {
            return Err(format!("it is version {version} of the keyframe; this program reads version {VERSION}"));
        }
        let mut input = postcard::Deserializer::from_bytes(body);
        let Stored { run_id, policy, feed, town, .. } =
            townlet_bounded::deserialize(&mut input, body.len() * 2 + MAX_FIELD_MEMORY)
                .map_err(|error| format!("its content is invalid: {error}"))?;
        let town = snapshot::load_with(&town, rules).map_err(|error| error.to_string())?;
        let feed =
            zstd::bulk::decompress(&feed, MAX_FEED).map_err(|error| format!("its events are invalid: {error}"))?;
        let mut input = serde_json::Deserializer::from_slice(&feed);
        let feed: SavedFeed = townlet_bounded::deserialize(&mut input, feed.len() * 2 + MAX_FIELD_MEMORY)
            .map_err(|error| format!("its events are invalid: {error}"))?;
        Ok(Self { run_id, policy, feed: EventFeed::restore(feed), town })
    }
}

/// What the fuzz targets read: whether these bytes are a keyframe.
pub fn is_keyframe(bytes: &[u8]) -> bool {
    Keyframe::decode(bytes, None).is_ok()
}
