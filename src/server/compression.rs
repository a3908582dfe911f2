//! Compression of responses with Zstandard (RFC 8878), for clients that accept it (RFC 9110, 12.5.3).

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// The name of the coding.
pub(super) const ZSTD: &str = "zstd";
/// Smaller bodies are sent as they are.
const SMALLEST: u64 = 1024;
/// Larger bodies are compressed on a thread of their own.
const LONG: usize = 64 * 1024;
/// The fastest level.
const LEVEL: i32 = 1;

/// Whether a client accepts Zstandard.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let mut accepted = None;
    for coding in lines.flat_map(|line| line.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let wanted = quality.is_none_or(|quality| quality.trim().parse::<f32>().is_ok_and(|quality| quality > 0.0));
        if name.eq_ignore_ascii_case(ZSTD) {
            return wanted;
        }
        if name == "*" {
            accepted = Some(wanted);
        }
    }
    accepted.unwrap_or(false)
}

/// Some bytes as a frame of their own. Frames may follow each other.
pub(super) fn compressed(bytes: &[u8]) -> std::io::Result<Bytes> {
    zstd::bulk::compress(bytes, LEVEL).map(Bytes::from)
}

/// Compresses the body of a response if that is worth it. A stream compresses its own messages.
pub(super) async fn compress(response: Response) -> Response {
    let size = response.body().size_hint().exact().unwrap_or(0);
    if size < SMALLEST || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A body of a known size is in memory already.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let short = if body.len() < LONG {
        compressed(&body).ok()
    } else {
        let body = body.clone();
        tokio::task::spawn_blocking(move || compressed(&body).ok()).await.ok().flatten()
    };
    let Some(short) = short else { return Response::from_parts(parts, Body::from(body)) };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(ZSTD));
    Response::from_parts(parts, Body::from(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_is_used_only_if_it_is_accepted() {
        for (lines, expected) in [
            (&[][..], false),
            (&["zstd"], true),
            (&["gzip, deflate, br, zstd"], true),
            (&["gzip", "ZSTD;q=0.5"], true),
            (&["gzip, zstd;q=0"], false),
            (&["zstd; Q=0.000"], false),
            (&["*"], true),
            (&["*, zstd;q=0"], false),
            (&["*;q=0"], false),
            (&["zstd;q=much"], false),
            (&["identity"], false),
            (&["zstandard"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::ACCEPT_ENCODING, line.parse().expect("a header"));
            }
            assert_eq!(is_accepted(&headers), expected, "{lines:?}");
        }
    }
}
