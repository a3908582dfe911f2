//! The webhook: posts changes of alerts to an address, on a thread of its own.
//!
//! `WebhookSender::post` never waits: the queue is bounded, and the oldest message makes room. Errors name the host only,
//! because path and headers of a webhook may be secret.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url, redirect};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::format::count;
use townlet_source::remote::{install_tls_provider, root_cause};

/// Timeouts of connecting and of an answer.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);
/// Messages that wait at most.
const MAX_QUEUED: usize = 64;
/// Pause before the second attempt; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Attempts per message.
const ATTEMPTS: u32 = 5;
/// How long quitting waits for messages on the way.
pub(crate) const LAST_WAIT: Duration = Duration::from_secs(2);

/// A checked address with its headers.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    first_pause: Duration,
}

/// A mistake in the settings of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidWebhook {
    /// The setting: `url`, `headers` or `token`.
    pub key: &'static str,
    /// What is wrong and what would be right, as sentences. Does not quote secrets.
    pub message: String,
}

/// What the operator should know of the deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WebhookReport {
    /// A message could not be delivered.
    Failing(String),
    /// Messages arrive again; so many were lost in between.
    Restored(u64),
}

impl Webhook {
    /// Checks an address, further headers and a bearer token. Sends nothing.
    pub fn new<'a>(
        url: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        token: Option<&str>,
    ) -> Result<Self, InvalidWebhook> {
        let invalid = |key, message: String| InvalidWebhook { key, message };
        let example = "Example: https://hooks.example/alerts.";
        let url = Url::parse(url).map_err(|why| invalid("url", format!("invalid address: {why}. {example}")))?;
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()).unwrap_or_default();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(invalid("url", format!("the scheme must be http or https. {example}")));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("url", "the address has a password. Use `token_file` or `token_env`.".into()));
        }
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if url.scheme() == "http" && !here && token.is_some() {
            return Err(invalid("url", "tokens are not sent to another machine without TLS. Use https.".into()));
        }
        let mut map = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in headers {
            let invalid =
                || invalid("headers", format!("`{}` is not a header. Example: x-team: ops.", name.escape_debug()));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value =
                value.map_err(|_| invalid("token", "it has characters that a header cannot have.".into()))?;
            value.set_sensitive(true);
            map.insert(AUTHORIZATION, value);
        }
        install_tls_provider();
        let mut client = reqwest::Client::builder().connect_timeout(CONNECT).redirect(redirect::Policy::none());
        if here {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|why| invalid("url", format!("{}.", root_cause(&why.without_url()))))?;
        Ok(Self { client, url, headers: map, first_pause: FIRST_PAUSE })
    }

    /// Starts the thread. `report` is called on it: be quick.
    pub(crate) fn start(self, report: impl Fn(WebhookReport) + Send + 'static) -> std::io::Result<WebhookSender> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), added: Notify::new(), closing: watch::channel(false).0 });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (ended, end) = channel();
        let worker = Worker {
            webhook: self,
            shared: Arc::clone(&shared),
            report: Box::new(report),
            failing: false,
            reported: 0,
        };
        thread::Builder::new().name("webhook".into()).spawn(move || {
            runtime.block_on(worker.serve());
            drop(ended);
        })?;
        Ok(WebhookSender { shared, end })
    }

    /// Host and port, for messages.
    fn host(&self) -> String {
        let port = self.url.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}{port}", self.url.host_str().unwrap_or_default())
    }

    /// Posts a message once.
    async fn attempt(&self, body: &str) -> Result<(), Failure> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body.to_owned());
        match timeout(ANSWER, request.send()).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => {
                let status = response.status();
                let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                let retry = status.is_server_error() || later.contains(&status);
                Err(Failure { why: format!("it answered {status}"), retry })
            }
            Ok(Err(why)) => Err(Failure { why: root_cause(&why.without_url()), retry: true }),
            Err(_) => Err(Failure { why: format!("no answer within {} s", ANSWER.as_secs()), retry: true }),
        }
    }
}

/// Why an attempt failed, and whether another one may succeed.
struct Failure {
    why: String,
    retry: bool,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<String>,
    /// Whether a message is being delivered.
    busy: bool,
    /// Messages that were dropped or given up.
    lost: u64,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    added: Notify,
    closing: watch::Sender<bool>,
}

impl Shared {
    fn with<T>(&self, does: impl FnOnce(&mut Queue) -> T) -> T {
        does(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes messages for the webhook.
#[derive(Debug)]
pub(crate) struct WebhookSender {
    shared: Arc<Shared>,
    /// Closed by the end of the thread.
    end: Receiver<()>,
}

impl WebhookSender {
    /// Queues a message.
    pub(crate) fn post(&self, body: String) {
        self.shared.with(|queue| {
            if queue.messages.len() == MAX_QUEUED {
                queue.messages.pop_front();
                queue.lost += 1;
            }
            queue.messages.push_back(body);
        });
        self.shared.added.notify_one();
    }

    /// Ends the thread once everything is delivered or failed once more, or after `wait`. Returns the number of lost messages.
    pub(crate) fn close(self, wait: Duration) -> u64 {
        self.shared.closing.send_replace(true);
        // Nothing is ever sent: the thread drops the other end.
        let _ = self.end.recv_timeout(wait);
        self.shared.with(|queue| queue.lost + queue.messages.len() as u64 + u64::from(queue.busy))
    }
}

/// The thread's side.
struct Worker {
    webhook: Webhook,
    shared: Arc<Shared>,
    report: Box<dyn Fn(WebhookReport) + Send>,
    failing: bool,
    /// Lost messages that were reported as lost.
    reported: u64,
}

impl Worker {
    async fn serve(mut self) {
        let mut closing = self.shared.closing.subscribe();
        loop {
            let next = self.shared.with(|queue| {
                let next = queue.messages.pop_front();
                queue.busy = next.is_some();
                next
            });
            if let Some(body) = next {
                self.deliver(&body).await;
                self.shared.with(|queue| queue.busy = false);
            } else if *closing.borrow() {
                return;
            } else {
                tokio::select! {
                    () = self.shared.added.notified() => {}
                    _ = closing.changed() => {}
                }
            }
        }
    }

    /// Posts a message until it arrives or is given up.
    async fn deliver(&mut self, body: &str) {
        let mut closing = self.shared.closing.subscribe();
        let mut pause = self.webhook.first_pause;
        for attempt in 1..=ATTEMPTS {
            let Err(failure) = self.webhook.attempt(body).await else { return self.delivered() };
            let last = attempt == ATTEMPTS || !failure.retry || *closing.borrow();
            self.failed(&failure, last);
            if last {
                return;
            }
            // Closing interrupts the pause for a last attempt.
            let _ = timeout(pause, closing.wait_for(|closing| *closing)).await;
            pause *= 2;
        }
    }

    fn delivered(&mut self) {
        let lost = self.shared.with(|queue| queue.lost);
        if std::mem::take(&mut self.failing) || lost > self.reported {
            (self.report)(WebhookReport::Restored(lost - self.reported));
            self.reported = lost;
        }
    }

    fn failed(&mut self, failure: &Failure, given_up: bool) {
        let lost = self.shared.with(|queue| {
            queue.lost += u64::from(given_up);
            queue.lost - self.reported
        });
        self.failing = true;
        let what = if lost > 0 { format!("{} lost", count(lost, "notification")) } else { "trying again".into() };
        let text = format!("webhook {}: {}; {what}", self.webhook.host(), failure.why);
        (self.report)(WebhookReport::Failing(text));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Turns a hang into a failure.
    const LONG: Duration = Duration::from_mins(1);

    /// The next request at a listener: its head in lower case, its body, and the connection to answer on.
    fn request(listener: &TcpListener) -> (String, String, TcpStream) {
        let (send, accepted) = channel();
        let listener = listener.try_clone().expect("a listener");
        thread::spawn(move || drop(send.send(listener.accept())));
        let (stream, _) = accepted.recv_timeout(LONG).expect("a request").expect("a connection");
        stream.set_read_timeout(Some(LONG)).expect("a time");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a line") > 0, "{head}");
        }
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        reader.read_exact(&mut body).expect("a body");
        (head, String::from_utf8(body).expect("text"), reader.into_inner())
    }

    fn answer(mut stream: &TcpStream, status: &str) {
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").expect("it is sent");
    }

    fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/secret-path", listener.local_addr().expect("an address"));
        (listener, url)
    }

    fn started(url: &str, token: Option<&str>) -> (WebhookSender, Receiver<WebhookReport>) {
        let mut webhook = Webhook::new(url, [("X-Team", "ops")], token).expect("it is valid");
        webhook.first_pause = Duration::from_millis(1);
        let (send, reports) = channel();
        (webhook.start(move |report| drop(send.send(report))).expect("it starts"), reports)
    }

    #[test]
    fn a_message_is_posted_with_its_headers_until_it_is_taken() {
        let (listener, url) = listener();
        let (sender, reports) = started(&url, Some("s3cret"));
        sender.post("{\"n\":1}".into());
        for status in ["503 Service Unavailable", "429 Too Many Requests", "204 No Content"] {
            let (head, body, stream) = request(&listener);
            assert!(head.starts_with("post /secret-path http/1.1"), "{head}");
            assert!(head.contains("x-team: ops") && head.contains("authorization: bearer s3cret"), "{head}");
            assert_eq!((head.contains("content-type: application/json"), body.as_str()), (true, "{\"n\":1}"));
            answer(&stream, status);
        }
        let said: Vec<_> = (0..3).map(|_| reports.recv_timeout(LONG).expect("a report")).collect();
        let failing = |text: &str| matches!(&said[0], WebhookReport::Failing(said) if said.contains(text));
        assert!(failing("it answered 503 Service Unavailable; trying again"), "{said:?}");
        assert!(!failing("secret") && !failing("s3cret"), "{said:?}");
        assert_eq!(said[2], WebhookReport::Restored(0));
        assert_eq!(sender.close(LONG), 0);
    }

    #[test]
    fn a_refused_message_is_given_up_at_once_and_a_failing_one_after_five_attempts() {
        let (listener, url) = listener();
        let (sender, reports) = started(&url, None);
        sender.post("first".into());
        sender.post("second".into());
        let mut bodies = Vec::new();
        for status in ["404 Not Found"].into_iter().chain(["500 Internal Server Error"; 5]) {
            let (_, body, stream) = request(&listener);
            bodies.push(body);
            answer(&stream, status);
        }
        assert_eq!(bodies, ["first", "second", "second", "second", "second", "second"]);
        let said: Vec<_> = (0..6).map(|_| reports.recv_timeout(LONG).expect("a report")).collect();
        let [.., WebhookReport::Failing(text)] = said.as_slice() else { panic!("{said:?}") };
        assert!(text.ends_with("it answered 500 Internal Server Error; 2 notifications lost"), "{text}");
        assert_eq!(sender.close(LONG), 2);
    }

    #[test]
    fn the_oldest_message_makes_room_and_is_counted() {
        let (listener, url) = listener();
        let (sender, reports) = started(&url, None);
        sender.post("0".into());
        // While the first one waits for its answer, the queue fills.
        let (_, _, stream) = request(&listener);
        for number in 1..=MAX_QUEUED + 3 {
            sender.post(number.to_string());
        }
        answer(&stream, "404 Not Found");
        let (_, body, stream) = request(&listener);
        assert_eq!(body, "4", "1, 2 and 3 made room");
        answer(&stream, "200 OK");
        assert!(matches!(reports.recv_timeout(LONG), Ok(WebhookReport::Failing(_))));
        assert_eq!(reports.recv_timeout(LONG), Ok(WebhookReport::Restored(4)));
        for expected in 5..=MAX_QUEUED + 3 {
            let (_, body, stream) = request(&listener);
            assert_eq!(body, expected.to_string());
            answer(&stream, "200 OK");
        }
        assert_eq!(sender.close(LONG), 4);
    }

    #[test]
    fn closing_delivers_what_is_queued() {
        let (listener, url) = listener();
        let (sender, _reports) = started(&url, None);
        sender.post("a".into());
        sender.post("b".into());
        let server = thread::spawn(move || {
            let take = |_| {
                let (_, body, stream) = request(&listener);
                answer(&stream, "200 OK");
                body
            };
            [0, 1].map(take)
        });
        assert_eq!(sender.close(LONG), 0);
        assert_eq!(server.join().expect("it ends"), ["a", "b"]);
    }

    #[test]
    fn mistakes_are_refused_without_their_secrets() {
        let invalid = |url: &str, headers: &[(&str, &str)], token| {
            let invalid = Webhook::new(url, headers.iter().copied(), token).expect_err("it is refused");
            assert!(!invalid.message.contains("s3cret"), "{invalid:?}");
            (invalid.key, invalid.message)
        };
        let (key, message) = invalid("hooks.example", &[], None);
        assert!(key == "url" && message.contains("Example: https://hooks.example/alerts."), "{message}");
        assert!(invalid("ftp://hooks.example/s3cret", &[], None).1.contains("http or https"));
        assert!(invalid("https://me:s3cret@hooks.example", &[], None).1.contains("token_file"));
        assert!(invalid("http://hooks.example", &[], Some("s3cret")).1.contains("without TLS"));
        assert_eq!(invalid("https://hooks.example", &[("X Team", "s3cret")], None).0, "headers");
        assert_eq!(invalid("https://hooks.example", &[], Some("s3cret\n")).0, "token");
        assert!(Webhook::new("http://[::1]:9/x", [], Some("s3cret")).is_ok());
    }
}
