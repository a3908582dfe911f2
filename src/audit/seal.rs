//! Forward-secure seals: the arithmetic of keys and seals. The key file is in `seal_key`, the sealing of a live log in `sealer`.
//!
//! A home has one sequence of keys. Key 1 comes from the verification key, which only its owner keeps, and key n + 1 from key n by a
//! step that cannot be reversed. Seal n is made with key n, and then key n is erased: the files of a machine hold no key with
//! which an earlier seal can be made. A seal names a line of a run by number and hash, and so covers every line of that run up to
//! it. Seals are numbered through the home, so that a removed seal, and with it a removed line or run, leaves a gap.
//!
//! The method is symmetric: the verification key proves seals and can also make them. Keep it off the machine.

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use townlet_wire::sha256;

/// Begins the text form of a verification key.
const PREFIX: &str = "SEAL1";
/// Hex digits of the checksum at its end.
const CHECK_DIGITS: usize = 8;
/// Hex digits of a key id.
const ID_DIGITS: usize = 16;

townlet_wire::word_enum! {
    /// Why a line was sealed.
    pub enum Cause {
        /// The run was opened.
        Start = "start",
        /// The run was opened and had lines without a seal, which a crash left: nobody vouches for them before this seal.
        LeftOpen = "left_open",
        /// The interval of a live log is over.
        Interval = "interval",
        /// A new segment has begun.
        Rotation = "rotation",
        /// The run was stopped in order.
        Stop = "stop",
        /// The sealing key was made while the run was there already.
        Setup = "setup",
    }
}

/// A seal, as it stands in the arguments of a `seal` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The verification key that proves it.
    pub key_id: String,
    /// Number of the seal in the home, from 1, without gaps.
    pub number: u64,
    /// The run it covers.
    pub run_id: String,
    /// The first line that no earlier seal of this run covers.
    pub from: u64,
    /// The last line it covers.
    pub seq: u64,
    /// The hash of that line.
    pub hash: String,
    /// When it was made, in the form of a record's time.
    pub at: String,
    /// Why it was made.
    pub cause: Cause,
    /// HMAC-SHA256 over all of it, in hex.
    pub mac: String,
}

impl Seal {
    pub(crate) fn of_args(args: &Value) -> Option<Self> {
        serde_json::from_value(args.clone()).ok()
    }

    pub(crate) fn args(&self) -> Value {
        serde_json::to_value(self).expect("a seal holds only strings and numbers")
    }

    fn message(&self) -> String {
        let Self { key_id, number, run_id, from, seq, hash, at, cause, .. } = self;
        format!("townlet seal 1\n{key_id}\n{number}\n{run_id}\n{from}\n{seq}\n{hash}\n{at}\n{}\n", cause.word())
    }
}

/// One key of the sequence.
#[derive(Clone)]
pub(crate) struct StepKey([u8; 32]);

impl StepKey {
    fn derive(key: &[u8; 32], purpose: &str) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), purpose.as_bytes());
        let mut next = [0; 32];
        next.copy_from_slice(tag.as_ref());
        Self(next)
    }

    /// The key of the next seal. This one cannot be computed from it.
    #[must_use]
    pub(crate) fn next(&self) -> Self {
        Self::derive(&self.0, "townlet seal: next key")
    }

    fn mac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &Self::derive(&self.0, "townlet seal: line").0)
    }

    /// The seal with its HMAC.
    pub(crate) fn seal(&self, seal: Seal) -> Seal {
        let mac = hex(hmac::sign(&self.mac_key(), seal.message().as_bytes()).as_ref());
        Seal { mac, ..seal }
    }

    /// Whether the seal was made with this key and has not changed since.
    pub(crate) fn fits(&self, seal: &Seal) -> bool {
        let mac = unhex(&seal.mac);
        mac.is_some_and(|mac| hmac::verify(&self.mac_key(), seal.message().as_bytes(), &mac).is_ok())
    }

    pub(crate) fn to_hex(&self) -> String {
        hex(&self.0)
    }

    pub(crate) fn of_hex(text: &str) -> Option<Self> {
        unhex(text)?.try_into().ok().map(Self)
    }
}

impl PartialEq for StepKey {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The key that proves the seals of a home. It can also make them, so it is kept off the machine.
#[derive(Clone, PartialEq, Eq)]
pub struct VerificationKey([u8; 32]);

impl VerificationKey {
    /// A new random key.
    pub fn new() -> Result<Self, String> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random numbers".to_owned())?;
        Ok(Self(bytes))
    }

    /// Names the key without giving it away.
    pub fn id(&self) -> String {
        sha256(&[b"townlet seal: id", self.0.as_slice()].concat())[..ID_DIGITS].to_owned()
    }

    pub(crate) fn first(&self) -> StepKey {
        StepKey::derive(&self.0, "townlet seal: first key")
    }

    fn check(&self) -> String {
        sha256(&[b"townlet seal: check", self.0.as_slice()].concat())[..CHECK_DIGITS].to_uppercase()
    }

    /// Parses the text form; case, spaces and dashes do not matter. The error is a sentence without the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text: String = text.chars().filter(|it| !it.is_whitespace() && *it != '-').collect();
        let text = text.to_uppercase();
        let digits = text.strip_prefix(PREFIX).ok_or_else(|| format!("a verification key begins with `{PREFIX}-`."))?;
        let wanted = 64 + CHECK_DIGITS;
        if digits.len() != wanted || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("a verification key has {wanted} hex digits behind `{PREFIX}-`."));
        }
        let bytes = unhex(&digits[..64]).and_then(|bytes| bytes.try_into().ok());
        let key = Self(bytes.ok_or("a verification key has 32 bytes.")?);
        if key.check() != digits[64..] {
            return Err("the verification key has a typing error: its checksum does not fit.".into());
        }
        Ok(key)
    }
}

/// The text form: groups of eight hex digits, the last one a checksum.
impl std::fmt::Display for VerificationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = hex(&self.0).to_uppercase() + &self.check();
        write!(f, "{PREFIX}")?;
        for group in digits.as_bytes().chunks(8) {
            write!(f, "-{}", String::from_utf8_lossy(group))?;
        }
        Ok(())
    }
}

/// Shows the id only.
impl std::fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerificationKey({})", self.id())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let valid = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    let value = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    valid.then(|| digits.chunks(2).filter_map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(number: u64) -> Seal {
        Seal {
            key_id: "id".into(),
            number,
            run_id: "r".into(),
            from: 1,
            seq: 4,
            hash: "00ff".into(),
            at: "2027-01-15T08:00:00.000Z".into(),
            cause: Cause::Stop,
            mac: String::new(),
        }
    }

    #[test]
    fn a_seal_fits_its_own_key_and_no_change_of_it_does() {
        let key = VerificationKey::new().unwrap().first();
        let made = key.seal(seal(1));
        assert!(key.fits(&made) && !key.next().fits(&made));
        let changed: [fn(&mut Seal); 9] = [
            |it| it.key_id.push('0'),
            |it| it.number += 1,
            |it| it.run_id.push('0'),
            |it| it.from += 1,
            |it| it.seq += 1,
            |it| it.hash.push('0'),
            |it| it.at.push('0'),
            |it| it.cause = Cause::Start,
            |it| it.mac = it.mac.replace(['0', '1', '2', '3', '4', '5', '6', '7'], "8"),
        ];
        for change in changed {
            let mut other = made.clone();
            change(&mut other);
            assert!(!key.fits(&other), "{other:?}");
        }
    }

    #[test]
    fn a_typed_key_is_read_and_a_mistyped_one_is_refused() {
        let key = VerificationKey::new().unwrap();
        let text = key.to_string();
        assert_eq!(VerificationKey::parse(&text.to_lowercase().replace('-', " - ")), Ok(key.clone()));
        assert!(!format!("{key:?}").contains(&text[6..14]));
        let last = if text.ends_with('0') { "1" } else { "0" };
        for (wrong, words) in [
            (format!("{}{last}", &text[..text.len() - 1]), "typing error"),
            (text[..text.len() - 1].to_owned(), "72 hex digits"),
            (text.replace("SEAL1", "SEAL2"), "begins with"),
            (String::new(), "begins with"),
            (format!("SEAL1-{}", "é".repeat(36)), "72 hex digits"),
        ] {
            let said = VerificationKey::parse(&wrong).unwrap_err();
            assert!(said.contains(words) && !said.contains(&text[6..14]), "{said}");
        }
    }
}
