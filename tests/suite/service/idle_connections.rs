//! How long the client of a shard uses a connection again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

use townlet_source::remote::{Client, Target};

use crate::kit::stands_still;

/// A server closes idle connections after 5 s. A request on one that is being closed would be lost, so the client opens a new
/// connection after 2 s.
#[test]
fn an_idle_connection_is_not_used_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (opened, connections) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = opened.send(());
            std::thread::spawn(move || answer_requests(&stream));
        }
    });
    let client = Client::new(&Target { url, token: None, ca: None }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = || assert_eq!(runtime.block_on(client.snapshot()), Ok(b"{}".to_vec()));
    request();
    request();
    assert_eq!(connections.try_iter().count(), 1, "the second request used the connection of the first");
    stands_still(Duration::from_millis(2_200));
    request();
    assert_eq!(connections.try_iter().count(), 1, "a new connection after a pause");
}

/// Answers every request of a connection with an empty object.
fn answer_requests(stream: &std::net::TcpStream) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while lines.by_ref().find(String::is_empty).is_some() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
