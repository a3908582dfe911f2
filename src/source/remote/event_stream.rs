//! The events of an open stream, decompressed within a bound of memory. Cancelling a wait loses nothing.

use std::io;

use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use townlet_wire::sse::{Event, Reader};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

/// Bytes that a part of a body decodes to at most.
const PART: usize = 64 * 1024;
/// Largest window of the compressed data, as a power of two: the memory of the decoder.
const MAX_WINDOW_LOG: u32 = 21;

/// The coding of a body.
pub(super) const ZSTD: &str = "zstd";

/// Decodes a body in parts of at most [`PART`] bytes, whatever a piece of it decodes to.
pub(super) struct BodyDecoder {
    zstd: Option<Decoder<'static>>,
    input: Vec<u8>,
    at: usize,
    /// Whether the decoder holds more than the last part had room for.
    more: bool,
}

impl BodyDecoder {
    /// For a body with the header `Content-Encoding` of the response.
    pub(super) fn of(response: &Response) -> Result<Self, String> {
        let coding = response.headers().get(CONTENT_ENCODING).map(|coding| coding.to_str().unwrap_or("?"));
        match coding {
            None | Some("identity") => Ok(Self::plain()),
            Some(ZSTD) => Self::zstd().map_err(|why| format!("cannot decompress: {why}")),
            Some(coding) => Err(format!("the answer has the unknown coding `{}`", townlet_wire::escape(coding))),
        }
    }

    const fn plain() -> Self {
        Self { zstd: None, input: Vec::new(), at: 0, more: false }
    }

    fn zstd() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
        Ok(Self { zstd: Some(decoder), ..Self::plain() })
    }

    /// Adds a piece of the body, once [`Self::part`] has no more of the piece before.
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.input.clear();
        self.input.extend_from_slice(piece);
        self.at = 0;
    }

    /// The next part of what the pieces decode to; `None` when another piece is needed.
    ///
    /// # Errors
    /// The data is damaged, or needs more memory.
    pub(super) fn part(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(decoder) = &mut self.zstd else {
            let whole = std::mem::take(&mut self.input);
            return Ok((!whole.is_empty()).then_some(whole));
        };
        if self.at == self.input.len() && !self.more {
            return Ok(None);
        }
        let mut part = vec![0; PART];
        let mut output = OutBuffer::around(part.as_mut_slice());
        let mut input = InBuffer::around(&self.input[self.at..]);
        decoder.run(&mut input, &mut output).map_err(|why| format!("the answer cannot be decompressed: {why}"))?;
        let length = output.pos();
        self.at += input.pos();
        self.more = length == PART;
        part.truncate(length);
        Ok(Some(part))
    }
}

/// A stream of events.
pub struct EventStream {
    response: Response,
    decoder: BodyDecoder,
    reader: Reader,
    /// Bytes received.
    bytes: u64,
}

impl EventStream {
    /// Reads the body of a response.
    pub(super) fn new(response: Response) -> Result<Self, String> {
        Ok(Self { decoder: BodyDecoder::of(&response)?, response, reader: Reader::default(), bytes: 0 })
    }

    /// The events that are complete after the next part of the stream, maybe none; `None` at its end.
    ///
    /// # Errors
    /// The connection broke, or what came cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, String> {
        loop {
            if let Some(part) = self.decoder.part()? {
                return self.reader.take(&part).map(Some);
            }
            match self.response.chunk().await {
                Ok(Some(piece)) => {
                    self.bytes += piece.len() as u64;
                    self.decoder.add(&piece);
                }
                Ok(None) => return Ok(None),
                Err(_) => return Err("the connection broke".into()),
            }
        }
    }

    /// Bytes received so far, as they came over the network.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(decoder: &mut BodyDecoder, pieces: &[&[u8]]) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        for piece in pieces {
            decoder.add(piece);
            while let Some(part) = decoder.part()? {
                assert!(part.len() <= PART.max(piece.len()));
                all.extend(part);
            }
        }
        Ok(all)
    }

    #[test]
    fn frames_are_decoded_however_they_are_cut() {
        let long = "The quick brown fox. ".repeat(10_000);
        let texts = [long.as_bytes(), b"", b"one", b"two"];
        let frames: Vec<u8> = texts.iter().flat_map(|text| zstd::bulk::compress(text, 1).unwrap()).collect();
        for size in [1, 2, 7, 1_000, frames.len()] {
            let mut decoder = BodyDecoder::zstd().unwrap();
            let pieces: Vec<&[u8]> = frames.chunks(size).collect();
            assert_eq!(decoded(&mut decoder, &pieces).unwrap(), texts.concat(), "{size}");
        }
        let pieces: [&[u8]; 2] = [b"as it", b" is"];
        assert_eq!(decoded(&mut BodyDecoder::plain(), &pieces).unwrap(), b"as it is");
    }

    #[test]
    fn a_small_piece_that_decodes_to_much_comes_in_parts() {
        let bomb = zstd::bulk::compress(&vec![b'x'; 64 * PART], 1).unwrap();
        assert!(bomb.len() < PART / 4);
        let mut decoder = BodyDecoder::zstd().unwrap();
        decoder.add(&bomb);
        let mut parts = 0;
        while let Some(part) = decoder.part().unwrap() {
            assert!(part.len() <= PART);
            parts += usize::from(!part.is_empty());
        }
        assert_eq!(parts, 64);
    }

    #[test]
    fn a_large_window_and_damage_are_refused() {
        let mut frame = zstd::bulk::compress(b"some words, and some words again", 1).unwrap();
        frame[6] ^= 0xff;
        frame.truncate(12);
        let damaged: [&[u8]; 2] = [&frame, &[0; 64]];
        assert!(decoded(&mut BodyDecoder::zstd().unwrap(), &damaged).is_err());
        // A frame header with a window of 2^31 bytes, and no content size.
        let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (31 - 10) << 3];
        let large: [&[u8]; 2] = [&window, &[0; 64]];
        let why = decoded(&mut BodyDecoder::zstd().unwrap(), &large).unwrap_err();
        assert!(why.contains("memory"), "{why}");
    }
}
