//! Follows the telemetry stream, detects silence and loss, and reconnects.

use std::time::Duration;

use tokio::time::{Instant, interval_at, sleep, timeout};

use super::{Client, ClientError, EventStream, HistoryState, Loss, Shared, StreamDecoder, StreamEvent};
use crate::{Link, SourceEvent};
use townlet_wire::service::SCREEN_RATE;
use townlet_wire::sse::STOPPING;

use std::sync::Arc;

const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Silence after which the link is stale. The shard sends a heartbeat every second.
const STALE_AFTER: Duration = Duration::from_millis(1_500);
/// Silence after which the connection counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(8);
/// Age from which messages count as late.
const BEHIND_AFTER: Duration = Duration::from_secs(2);
/// First and longest wait before an attempt.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

/// Follows the stream and reconnects, until the shard refuses access; then there must be another token first.
pub(super) async fn watch(shared: &Arc<Shared>) {
    let mut decoder = StreamDecoder::default();
    let mut attempt = 0_u32;
    loop {
        let before = decoder.last();
        let loss = follow(shared, &mut decoder).await;
        let denied = loss.denied.is_some();
        shared.view.closed();
        shared.with(|info| (info.live, info.history, info.loss) = (false, HistoryState::Unchecked, Some(loss)));
        shared.outbox.unheard.notify_one();
        if denied {
            attempt = 0;
            wait_for_token(shared).await;
            continue;
        }
        // Data arrived, so the next loss starts with short waits.
        attempt = if decoder.last() == before { attempt + 1 } else { 0 };
        count_down(shared, wait(attempt)).await;
    }
}

/// Exponential backoff with jitter.
fn wait(attempt: u32) -> Duration {
    let longest = LONGEST_WAIT.min(FIRST_WAIT * 2_u32.saturating_pow(attempt.min(10)));
    let chance = u32::from(uuid::Uuid::now_v7().as_bytes()[15]);
    longest / 2 + longest / 512 * chance
}

/// Waits for another token; the age of what is shown goes on.
async fn wait_for_token(shared: &Shared) {
    let mut second = interval_at(Instant::now(), SECOND);
    loop {
        tokio::select! {
            () = shared.token_changed.notified() => return,
            _ = second.tick() => shared.emit_loss(0),
        }
    }
}

/// Waits, publishing the remaining seconds every second.
async fn count_down(shared: &Shared, wait: Duration) {
    let mut left = wait;
    loop {
        shared.emit_loss(left.as_millis().div_ceil(1_000) as u64);
        let step = left.min(SECOND);
        sleep(step).await;
        left -= step;
        if left.is_zero() {
            return;
        }
    }
}

/// Follows the stream until it is lost. Returns the reason.
async fn follow(shared: &Arc<Shared>, decoder: &mut StreamDecoder) -> Loss {
    let client = shared.client();
    let (started, mut delay) = (Instant::now(), Delay::default());
    let opened = {
        let opening = open(shared, &client, started, &mut delay);
        tokio::pin!(opening);
        // An attempt takes seconds when nothing answers; the age of what is shown goes on.
        let mut second = interval_at(Instant::now() + SECOND, SECOND);
        loop {
            tokio::select! {
                opened = &mut opening => break opened,
                _ = second.tick() => shared.emit_loss(0),
            }
        }
    };
    match opened {
        Ok(response) => {
            let why = read(shared, &client, decoder, response, (started, delay)).await;
            Loss { stopped: why == STOPPING, why, denied: None }
        }
        Err(failure) => shared.with(|info| Loss::of(&failure, client.url(), info.loss.as_ref())),
    }
}

async fn open(
    shared: &Shared,
    client: &Client,
    started: Instant,
    delay: &mut Delay,
) -> Result<EventStream, ClientError> {
    let welcome = client.welcome().await?;
    // This answer is short; the first message of the stream may be long.
    delay.of(started.elapsed(), welcome.sent_ms);
    shared.apply_welcome(welcome, client.url());
    // The shard does not keep what this stream had when its connection is lost, so it begins with the whole state again.
    let view = uuid::Uuid::now_v7().to_string();
    match client.stream_view(&view, SCREEN_RATE).await {
        Ok(response) => {
            shared.view.opened(view);
            Ok(response)
        }
        // Too many look at parts of it; everybody may read everything.
        Err(ClientError::Refused(error)) if error.code == "E_TOO_MANY" => client.stream(None).await,
        Err(failure) => Err(failure),
    }
}

async fn read(
    shared: &Shared,
    client: &Client,
    decoder: &mut StreamDecoder,
    mut stream: EventStream,
    (started, mut delay): (Instant, Delay),
) -> String {
    let mut silent = Duration::ZERO;
    let url = client.url().to_owned();
    let mut shown = None;
    loop {
        let events = match timeout(POLL_INTERVAL, stream.next()).await {
            Ok(Ok(Some(events))) => events,
            Ok(Ok(None)) => return "the shard closed the stream".into(),
            Ok(Err(why)) => return why,
            Err(_) => {
                silent += POLL_INTERVAL;
                if silent >= LOST_AFTER {
                    return format!("no data for {} s", LOST_AFTER.as_secs());
                }
                if silent >= STALE_AFTER {
                    shared.emit(SourceEvent::Link(Link::Stale { url: url.clone(), seconds: silent.as_secs() }));
                    shared.with(|info| info.live = false);
                    shared.outbox.unheard.notify_one();
                }
                continue;
            }
        };
        silent = Duration::ZERO;
        shared.with(|info| info.last_data = Some(std::time::Instant::now()));
        for event in &events {
            match decoder.take(event) {
                StreamEvent::State => {
                    if let Some(state) = decoder.state() {
                        shared.with(|info| {
                            info.schema.clone_from(&state.schema_version);
                            info.run_id.clone_from(&state.run_id);
                        });
                        shared.emit(SourceEvent::View(Arc::new(state.clone())));
                    }
                }
                StreamEvent::Heartbeat => {}
                StreamEvent::Closed(why) | StreamEvent::OutOfSync(why) => return why,
            }
        }
        if events.is_empty() {
            continue;
        }
        if !shared.with(|info| std::mem::replace(&mut info.live, true)) {
            shared.with(|info| info.loss = None);
            shown = None;
        }
        let behind = delay.of(started.elapsed(), decoder.sent_ms());
        let seconds = if behind < BEHIND_AFTER { 0 } else { behind.as_secs() };
        if shown.replace(seconds) != Some(seconds) {
            let url = url.clone();
            let link = if seconds == 0 { Link::Live { url } } else { Link::Behind { url, seconds } };
            shared.emit(SourceEvent::Link(link));
        }
    }
}

/// How much longer messages take than the fastest one of the connection, the answer that came before the stream included. The clocks of both sides need not agree.
#[derive(Default)]
struct Delay {
    /// The shortest time from the shard's clock to this one's, in milliseconds.
    shortest: Option<i128>,
}

impl Delay {
    /// The delay of a message that arrives at a time and was sent at `sent_ms` of the shard's clock; none if the shard does not say.
    fn of(&mut self, arrived: Duration, sent_ms: u64) -> Duration {
        if sent_ms == 0 {
            return Duration::ZERO;
        }
        let taken = arrived.as_millis() as i128 - i128::from(sent_ms);
        let shortest = self.shortest.map_or(taken, |shortest| shortest.min(taken));
        self.shortest = Some(shortest);
        Duration::from_millis((taken - shortest).try_into().unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_what_exceeds_the_shortest_one() {
        let mut delay = Delay::default();
        let mut of = |arrived: u64, sent: u64| delay.of(Duration::from_millis(arrived), sent).as_millis();
        assert_eq!([of(1_000, 90_000), of(1_100, 90_500), of(3_000, 90_600)], [0, 0, 1_800]);
        assert_eq!(of(20_000, 96_000), 13_400, "what is slow falls further behind");
        assert_eq!(of(20_010, 109_410), 0, "and is in time again");
        assert_eq!(
            [of(20_010, u64::MAX), of(20_010, 1)],
            [0, u128::from(u64::MAX) - 1],
            "a clock that lies harms nobody"
        );
        assert_eq!(of(90_000, 0), 0, "an older shard");
    }

    #[test]
    fn waits_grow_to_a_limit_and_differ() {
        for attempt in 0..40 {
            let wait = wait(attempt);
            assert!(wait >= FIRST_WAIT / 2 && wait <= LONGEST_WAIT, "{attempt}: {wait:?}");
        }
        assert!(wait(0) < Duration::from_millis(260) && wait(30) > Duration::from_secs(7));
        let waits: std::collections::BTreeSet<Duration> = (0..50).map(|_| wait(30)).collect();
        assert!(waits.len() > 1);
    }
}
