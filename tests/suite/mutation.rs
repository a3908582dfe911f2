//! Random changes to valid input. Random bytes would fail at the first one, so a few places are changed at a time.

use townlet_learn::prng::Prng;

/// Pieces that parsers of text and of bytes trip over.
const PIECES: [&[u8]; 22] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\\u0000",
    b"\xff",
    b"\x1b[2J",
    b" --",
    b"\n",
    b":",
    b"\n  - ",
    b"&a [*a, *a]",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x04",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// One of `seeds`, changed in up to eight places.
pub(crate) fn changed(prng: &mut Prng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[prng.below(seeds.len())].clone();
    for _ in 0..=prng.below(8) {
        let at = prng.below(bytes.len() + 1);
        match prng.below(8) {
            0 | 1 if at < bytes.len() => bytes[at] = prng.next_u64() as u8,
            2 if at < bytes.len() => bytes[at] ^= 1 << prng.below(8),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => {
                let end = (at + prng.below(40)).min(bytes.len());
                let piece = bytes[at..end].repeat(1 + prng.below(4));
                let to = prng.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            6 => {
                // A part of another seed.
                let other = &seeds[prng.below(seeds.len())];
                let from = prng.below(other.len() + 1);
                let piece = &other[from..(from + prng.below(200)).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => {
                let piece = PIECES[prng.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}
