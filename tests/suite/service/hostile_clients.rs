//! Requests of hostile clients are refused or dropped, and the town and other clients are not affected.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::json;
use townlet_source::remote::{Client, Target};
use townlet_wire::Answer;
use townlet_wire::service::{CONSOLE, HEALTH, METRICS, SNAPSHOT, STREAM};

use crate::kit::{TIMEOUT, soak};

use super::client::{Served, certificate, read, wait};

#[test]
fn malformed_requests_are_refused() {
    let served = Served::start();
    let before = served.digest();
    let huge = "x".repeat(10 * 1024 * 1024);
    assert_eq!(served.post(&served.admin(), &huge).status, 413);
    let chunked = format!(
        "POST {CONSOLE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{huge}",
        huge.len()
    );
    assert!(matches!(served.send(chunked.as_bytes()).status, 413 | 0));
    assert!(matches!(served.get(HEALTH, &format!("a: {}\r\n", "y".repeat(100_000))).status, 431 | 0));
    for path in [
        "/../../etc/passwd",
        "/v1/../ops/tokens.json",
        "/v1/audit/../../ops/tokens.json",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/telemetry/snapshot/..%2f..%2fops/tokens.json",
        "//ops/tokens.json",
        "/v1/audit?limit=../../x",
        "/v1/audit?file=../../ops/tokens.json",
        "/ops/tokens.json",
    ] {
        let reply = served.get(path, "");
        assert!(matches!(reply.status, 400 | 404), "{path}: {} {}", reply.status, reply.body);
        assert!(!reply.body.contains("sha256") && !reply.body.contains("root:"), "{path}");
    }
    for file in ["../../../ops/tokens.json", "/etc/passwd", "..", ".", "a\u{0}b", "%2e%2e/x"] {
        for command in ["snapshot inspect", "snapshot validate"] {
            let body = json!({ "command": format!("{command} \"{file}\"") }).to_string();
            let reply = served.post(&served.admin(), &body);
            assert_eq!(reply.code(), "E_NOT_FOUND", "{command} {file}: {}", reply.body);
        }
    }
    let escaped = served.post(&served.admin(), &json!({ "command": "explain \u{1b}[31mada\u{9b}" }).to_string());
    assert!(escaped.body.chars().all(|character| !character.is_control()), "{}", escaped.body);
    assert_eq!(served.send(b"\x00\xff\x13\x37 nonsense\r\n\r\n").status, 400);
    assert_eq!(
        served.send(format!("DELETE {SNAPSHOT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).status,
        405
    );
    let plain = format!("POST {CONSOLE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    assert_eq!(served.send(plain.as_bytes()).status, 415);
    assert_eq!((served.digest(), served.get(HEALTH, "").status), (before, 200));
}

#[test]
fn slow_and_excess_connections_are_dropped() {
    let served = Served::start();
    let mut slow = served.connect();
    slow.write_all(b"GET /v1/health HTTP/1.1\r\nx: ").unwrap();
    // Far more connections than allowed: old ones give way to new ones, and the town keeps answering.
    let attempts = if soak() { 10_000 } else { 1_500 };
    let mut kept = Vec::new();
    for _ in 0..attempts {
        if let Ok(stream) = TcpStream::connect(served.server.address()) {
            kept.push(stream);
        }
        if kept.len() > 700 {
            kept.remove(0);
        }
    }
    assert!(served.shard.view().is_some());
    drop(kept);
    let late = Instant::now() + TIMEOUT;
    while served.get(HEALTH, "").status != 200 {
        assert!(Instant::now() < late, "it does not recover");
    }
    let mut slow_body = served.connect();
    let head =
        format!("POST {CONSOLE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{{");
    slow_body.write_all(head.as_bytes()).unwrap();
    // Both are closed; neither was a complete request.
    assert!(matches!(read(&mut slow).status, 0 | 408));
    let slow_body = read(&mut slow_body);
    let answer: Result<Answer, _> = serde_json::from_str(&slow_body.body);
    assert!(
        slow_body.status == 408 && answer.is_ok_and(|it| it.error.is_some()),
        "{} {}",
        slow_body.head,
        slow_body.body
    );
    let figures = served.get(METRICS, "").body;
    let evicted =
        figures.lines().find(|line| line.starts_with("townlet_http_refused_total{") && line.contains("evicted"));
    assert!(evicted.is_some_and(|line| line.contains("level=\"anonymous\"")), "{figures}");
}

/// A request that a proxy could take for two is one or none here: a command hidden in its body is never executed.
#[test]
fn smuggled_requests_are_not_executed() {
    let served = Served::start();
    let before = served.digest();
    let body = json!({ "command": "setmoney ada 9", "cmd_id": "smuggled" }).to_string();
    let hidden = format!(
        "POST {CONSOLE} HTTP/1.1\r\nhost: x\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        served.admin(),
        body.len()
    );
    let length = hidden.len();
    let post = format!("POST {CONSOLE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    for head in [
        format!("{post}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n"),
        format!("{post}content-length: {length}\r\ncontent-length: 5\r\n\r\n"),
        format!("{post}content-length: +{length}\r\n\r\n"),
        format!("{post}content-length: -1\r\n\r\n"),
        format!("{post}content-length: 99999999999999999999\r\n\r\n"),
        format!("{post}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n"),
        format!("{post}transfer-encoding: xchunked\r\n\r\n"),
        format!("{post}transfer-encoding : chunked\r\n\r\n"),
        format!("{post}x: y\r\n folded: z\r\ncontent-length: {length}\r\n\r\n"),
        format!("{post}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"),
        format!("GET {HEALTH} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"),
    ] {
        let mut stream = served.connect();
        let _ = stream.write_all(format!("{head}{hidden}").as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let said = String::from_utf8_lossy(&bytes);
        assert!(!said.contains("smuggled"), "{head}: {said}");
        assert_eq!(served.digest(), before, "{head}: {said}");
    }
    assert!(served.log().iter().all(|record| record.cmd_id != "smuggled"));
    for odd in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("GET {HEALTH}\r\n\r\n"),
        format!("GET {HEALTH} HTTP/1.1\nhost: x\nconnection: close\n\n"),
        "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
        "GET http://127.0.0.1:22/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "a".repeat(60_000)),
        format!("GET {HEALTH} HTTP/1.1\r\n{}connection: close\r\n\r\n", "a: b\r\n".repeat(500)),
        format!("GET {HEALTH} HTTP/1.1\r\nhost: a\r\nx: \u{1b}[31m\r\nconnection: close\r\n\r\n"),
    ] {
        let reply = served.send(odd.as_bytes());
        let short: String = odd.chars().take(60).collect();
        assert!(matches!(reply.status, 0 | 200 | 400..=431), "{short}: {}", reply.status);
    }
    assert_eq!((served.digest(), served.get(HEALTH, "").status), (before, 200));
}

/// A reader with an unknown position gets the whole state.
#[test]
fn unknown_last_event_id_gets_a_full_state() {
    let served = Served::start();
    let long = "9".repeat(10_000);
    for id in [
        "",
        "7",
        ":",
        "1:1:1",
        "-1:-1",
        "0:0",
        "18446744073709551615:18446744073709551615",
        &long,
        "\u{fc}:1",
        "%00",
        "1:٣",
    ] {
        let mut stream = served.connect();
        let ask = format!("GET {STREAM} HTTP/1.1\r\nhost: x\r\nlast-event-id: {id}\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&said).contains("\"map\"") {
            let count = stream.read(&mut piece).expect("it speaks");
            assert!(count > 0, "{id}: {}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&piece[..count]);
        }
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.starts_with("HTTP/1.1 200") && (said.contains("event: snapshot") || said.contains("event: resync"))
        );
    }
    // A position of this epoch that lies in the future.
    let epoch = |text: &str| text.split("id: ").nth(1)?.split(':').next().map(str::to_owned);
    let mut stream = served.connect();
    write!(stream, "GET {STREAM} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let (mut said, mut piece) = (String::new(), [0; 4096]);
    while epoch(&said).is_none() || !said.contains("event: ") {
        let count = stream.read(&mut piece).expect("it speaks");
        said.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let ahead = format!("{}:18446744073709551615", epoch(&said).unwrap());
    let mut stream = served.connect();
    write!(stream, "GET {STREAM} HTTP/1.1\r\nhost: x\r\nlast-event-id: {ahead}\r\n\r\n").unwrap();
    let mut said = String::new();
    while !said.contains("event: ") {
        let count = stream.read(&mut piece).expect("it speaks");
        said.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    assert!(said.contains("event: resync"), "{said}");
}

#[test]
fn subscriptions_are_limited_and_some_are_reserved_for_tokens() {
    let served = Served::with_settings(&[
        ("server.limits.connections_per_address", "400"),
        ("server.limits.anonymous.requests", "1000"),
    ]);
    let mut streams = Vec::new();
    for (headers, seats) in [(String::new(), 180), (served.admin(), 20)] {
        let (mut taken, mut turned) = (0, 0);
        let from = streams.len();
        for _ in 0..seats + 10 {
            let mut stream = served.connect();
            write!(stream, "GET {STREAM} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").unwrap();
            streams.push(stream);
        }
        for stream in &mut streams[from..] {
            let mut head = [0; 12];
            stream.read_exact(&mut head).expect("it answers");
            match &head {
                b"HTTP/1.1 200" => taken += 1,
                b"HTTP/1.1 429" => turned += 1,
                other => panic!("{}", String::from_utf8_lossy(other)),
            }
        }
        assert_eq!((taken, turned), (seats, 10));
    }
    assert_eq!(served.get(HEALTH, "").status, 200, "who only looks is let in");
}

#[test]
fn foreign_host_headers_are_refused() {
    let served = Served::start();
    let asks = |path: &str, host: &str| {
        served.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())
    };
    let here = served.server.address().to_string();
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example.", "", "a b"] {
        for path in [HEALTH, SNAPSHOT, STREAM, METRICS] {
            let reply = asks(path, host);
            assert!(matches!(reply.status, 400 | 403), "{path} {host}: {} {}", reply.status, reply.body);
        }
    }
    let twice = format!("GET {HEALTH} HTTP/1.1\r\nhost: {here}\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert_eq!(served.send(twice.as_bytes()).code(), "E_FORBIDDEN");
    let whole = format!("GET http://evil.example{HEALTH} HTTP/1.1\r\nhost: {here}\r\nconnection: close\r\n\r\n");
    assert_eq!(served.send(whole.as_bytes()).code(), "E_FORBIDDEN");
    for host in [here.as_str(), "127.0.0.1", "[::1]:80", "localhost:8080", "LOCALHOST", "town.localhost", "box"] {
        assert_eq!(asks(HEALTH, host).status, 200, "{host}");
    }
}

#[test]
fn unfinished_tls_handshakes_do_not_block_others() {
    let folder = crate::kit::temp_home();
    let (pair, authority) = certificate(&folder, "served");
    let served = Served::with(Some(pair));
    let greeting = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let mut halves: Vec<TcpStream> = (0..100).map(|_| served.connect()).collect();
    for (number, half) in halves.iter_mut().enumerate() {
        let _ = match number % 4 {
            0 => half.write_all(&greeting),
            1 => half.write_all(format!("GET {HEALTH} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()),
            2 => half.write_all(&vec![0xff; 40_000]),
            _ => Ok(()),
        };
    }
    let target = Target { url: served.server.url(), token: Some(served.admin.clone()), ca: Some(authority) };
    let client = Client::new(&target).expect("an address");
    assert!(wait(client.welcome()).is_ok(), "the others wait for nobody");
    for half in &mut halves {
        // Closed by the service, after a TLS alert at most.
        assert_eq!(read(half).status, 0);
    }
    assert!(wait(client.welcome()).is_ok());
}
