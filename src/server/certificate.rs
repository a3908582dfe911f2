//! The expiry of a certificate, read from its DER form. `rustls` checks the key but has no access to the dates.

use std::path::Path;

use jiff::Timestamp;

use super::tls;

/// Checks that certificate and key can be used together, as the service does. The end of the certificate's validity, if it can
/// be read.
pub fn check_certificate(cert: &Path, key: &Path) -> Result<Option<Timestamp>, String> {
    let (first, _) = tls::read(cert, key)?;
    Ok(expiry(&first))
}

/// The end of a certificate's validity: of `Certificate { tbsCertificate { version, serial, algorithm, issuer, validity …`.
fn expiry(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, mut body, _) = element(certificate)?;
    if let Some((VERSION, _, rest)) = element(body) {
        body = rest;
    }
    for _serial_algorithm_issuer in 0..3 {
        body = element(body)?.2;
    }
    let (_, validity, _) = element(body)?;
    let (_, _, rest) = element(validity)?;
    let (kind, end, _) = element(rest)?;
    time(kind, std::str::from_utf8(end).ok()?)
}

/// Tags of the optional version and of the two forms of a time.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The first element of some DER: its tag, its content and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (digits, after) = rest.split_at_checked(length & 0x7f)?;
        if digits.len() > 4 {
            return None;
        }
        length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((*tag, content, after))
}

/// `YYMMDDHHMMSSZ`, or the same with a year of four digits.
fn time(kind: u8, text: &str) -> Option<Timestamp> {
    let text = match kind {
        // Years from 50 on are of the last century.
        UTC_TIME => format!("{}{text}", if text.get(..2)? >= "50" { "19" } else { "20" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let date = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    format!("{date}T{}:{}:{}Z", part(8, 10)?, part(10, 12)?, part(12, 14)?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_time_are_read() {
        let shown = |kind, text: &str| time(kind, text).map(|time| time.to_string());
        assert_eq!(shown(UTC_TIME, "260131235959Z").as_deref(), Some("2026-01-31T23:59:59Z"));
        assert_eq!(shown(UTC_TIME, "991231235959Z").as_deref(), Some("1999-12-31T23:59:59Z"));
        assert_eq!(shown(GENERALIZED_TIME, "40960101000000Z").as_deref(), Some("4096-01-01T00:00:00Z"));
        for (kind, text) in [(UTC_TIME, ""), (UTC_TIME, "26013"), (UTC_TIME, "üüüüüüü"), (2, "260131235959Z")] {
            assert_eq!(shown(kind, text), None, "{text}");
        }
    }

    #[test]
    fn damaged_certificates_have_no_expiry() {
        for der in [&[][..], &[0x30], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x02, 0x30, 0x00], &[0x30; 64]] {
            assert_eq!(expiry(der), None, "{der:?}");
        }
    }
}
