//! Content negotiation: which of the offered media types a client prefers, by its `Accept` header (RFC 9110, 12.5.1).

use axum::http::{HeaderMap, header};

/// The offered media type with the highest quality; the first of equals, and the first when the client accepts none of them,
/// because an answer in another form is more use than a refusal.
pub(super) fn preferred(headers: &HeaderMap, offered: &[&'static str]) -> &'static str {
    let lines: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
    let accept = if lines.is_empty() { "*/*".to_owned() } else { lines.join(",") };
    let mut best = ("", 0.0);
    for media_type in offered {
        let quality = quality(&accept, media_type);
        if quality > best.1 {
            best = (media_type, quality);
        }
    }
    if best.0.is_empty() { offered.first().copied().unwrap_or_default() } else { best.0 }
}

/// The quality of a media type: that of the most specific range that includes it, and of equally specific ones the highest.
fn quality(accept: &str, media_type: &str) -> f32 {
    let mut found = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let specific = match name.split_once('/') {
            Some(("*", "*")) => 1,
            Some((kind, "*")) if media_type.split('/').next() == Some(kind) => 2,
            _ if name == media_type => 3,
            _ => continue,
        };
        let given = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = given.map_or(1.0, |text| text.trim().parse().unwrap_or(0.0_f32).clamp(0.0, 1.0));
        if (specific, quality) > found {
            found = (specific, quality);
        }
    }
    found.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_type_is_chosen() {
        const OFFERED: [&str; 2] = ["text/plain", "application/openmetrics-text"];
        let chosen = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::ACCEPT, line.parse().expect("a header"));
            }
            preferred(&headers, &OFFERED)
        };
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (lines, expected) in [
            (&[][..], OFFERED[0]),
            (&["*/*"], OFFERED[0]),
            (&[prometheus], OFFERED[1]),
            (&["text/plain;version=0.0.4"], OFFERED[0]),
            (&["application/openmetrics-text; version=1.0.0"], OFFERED[1]),
            (&["APPLICATION/OpenMetrics-Text"], OFFERED[1]),
            (&["text/plain;q=0.2", "application/openmetrics-text;q=0.3"], OFFERED[1]),
            (&["application/*, text/plain;q=0.9"], OFFERED[1]),
            (&["text/*;q=0, */*;q=0.1"], OFFERED[1]),
            (&["application/openmetrics-text;q=0, */*"], OFFERED[0]),
            (&["application/json"], OFFERED[0]),
            (&["application/openmetrics-text;q=many"], OFFERED[0]),
            (&[";;,,/"], OFFERED[0]),
        ] {
            assert_eq!(chosen(lines), expected, "{lines:?}");
        }
    }
}
