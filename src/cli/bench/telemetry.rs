//! What telemetry costs a town of 8 and one of 1,000 residents: its tick rate with one subscriber and with an operator's screen, the
//! time of the town's thread, and the bytes of messages.
//!
//! Readers run in this process and share its cores, as on an operator's machine. Rule: "Performance targets".

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use townlet_town::Sources;

use super::service::{Subscribers, serve};
use super::shard::{read_all, start, stop, tick_rate};
use super::timing::{median, milliseconds};
use super::tui_frames::{LARGE, app, key_of, null_terminal, pass_on, watch};
use super::{Row, Target};
use crate::cli::config_sources;
use crate::cli::connect::runtime;
use townlet_shard::{Handle, Speed};
use townlet_source::remote::{Client, StreamDecoder, Target as Address};
use townlet_source::{Remote, Source as _};
use townlet_tui::pane::Screen;
use townlet_wire::Snapshot;
use townlet_wire::service::{Area, Focus, SCREEN_RATE, ViewRequest};

/// Rounds, each with and without a reader.
const ROUNDS: u32 = 5;
/// Time between two frames of a screen, and frames before the next of the interface's screens.
const FRAME: Duration = Duration::from_millis(33);
const FRAMES_PER_SCREEN: usize = 15;
/// Size of the part of the map that a large terminal shows, and residents in its lists.
const WINDOW: (u64, u64) = (90, 50);
const LISTED: usize = 50;

pub(super) fn rows(default: &Sources, folder: &TempDir, budget: Duration) -> Result<Vec<Row>> {
    let stress = config_sources::shipped("stress.yaml", include_str!("../../../configs/stress.yaml"))?;
    let mut rows = Vec::new();
    for sources in [default, &stress.sources] {
        rows.extend(of_town(sources, folder, budget / 2)?);
    }
    Ok(rows)
}

fn of_town(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Vec<Row>> {
    let costs = ReaderCosts::measure(sources, folder, budget)?;
    let named = |what: &str| format!("{what}, {} residents", costs.residents);
    let remaining = |what: &str, [middle, least]: [f64; 2]| {
        let note = format!("lowest of {ROUNDS} rounds {least:.1} %");
        Row::new(&named(what), middle, "%", Target::AtLeast(95.0), note)
    };
    let messages = format!("{} messages", costs.messages);
    Ok(vec![
        remaining("tick rate with one subscriber", costs.subscriber),
        remaining("tick rate with an operator's screen", costs.screen),
        Row::new(&named("town's thread per message"), costs.thread_ms, "ms", Target::None, messages),
        costs.everything.row(&named("stream of everything"), Target::None),
        costs.on_screen.row(&named("stream to an operator's screen"), Target::AtMost(1.0)),
    ])
}

/// What readers cost a town. Shares of the tick rate are in percent: the median and the lowest of the rounds.
pub(super) struct ReaderCosts {
    residents: usize,
    /// Share with one subscriber in this process, and with fifty over sockets of which ten read nothing.
    pub(super) subscriber: [f64; 2],
    pub(super) fifty: [f64; 2],
    /// Share with an operator's screen over a socket.
    pub(super) screen: [f64; 2],
    /// Messages to the one subscriber, and the time of the town's thread for each.
    messages: u64,
    pub(super) thread_ms: f64,
    /// What a stream of everything and one to an operator's screen carry.
    pub(super) everything: Traffic,
    pub(super) on_screen: Traffic,
}

impl ReaderCosts {
    /// Runs a town at full speed for about this time, in turn with and without readers.
    pub(super) fn measure(sources: &Sources, folder: &TempDir, budget: Duration) -> Result<Self> {
        let shard = Arc::new(start(sources, folder, false, Speed::Max, false)?);
        let server = serve(&shard)?;
        let address = server.address();
        let view = shard.view().context("the shard has stopped")?.0;
        let turn = budget / (6 * ROUNDS + 3);
        tick_rate(&shard, turn);
        let before = shard.publishing();
        let subscriber = share(&shard, turn, || Ok(subscriber(&shard)), Reader::stop)?;
        let after = shard.publishing();
        let close = |fifty: Subscribers| {
            fifty.disconnect();
            Ok(())
        };
        let fifty = share(&shard, turn, || over_sockets(address), close)?;
        let screen = share(&shard, turn, || Ok(operators_screen(address)), Reader::stop)?;
        let everything = Traffic::measure(address, None, turn)?;
        let on_screen = Traffic::measure(address, Some(focus(&view)), turn)?;
        drop(server);
        stop(&shard)?;
        let messages = after.0 - before.0;
        let thread_ms = milliseconds(after.1.saturating_sub(before.1)) / messages.max(1) as f64;
        let residents = view.agents.len();
        Ok(Self { residents, subscriber, fifty, screen, messages, thread_ms, everything, on_screen })
    }
}

/// A reader on a thread of its own.
struct Reader {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Reader {
    fn start(read: impl FnOnce(&AtomicBool) -> Result<()> + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&over);
        Self { over, thread: std::thread::spawn(move || read(&theirs)) }
    }

    fn stop(self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a reader has crashed"))?
    }
}

/// The share of the tick rate that remains with readers: the median and the lowest of the rounds.
fn share<R>(
    shard: &Handle,
    turn: Duration,
    open: impl Fn() -> Result<R>,
    close: impl Fn(R) -> Result<()>,
) -> Result<[f64; 2]> {
    let mut shares = Vec::new();
    for _ in 0..ROUNDS {
        let alone = tick_rate(shard, turn);
        let readers = open()?;
        let with = tick_rate(shard, turn);
        close(readers)?;
        shares.push(100.0 * with / alone);
    }
    let middle = median(&mut shares);
    Ok([middle, shares[0]])
}

/// Reads everything in this process.
fn subscriber(shard: &Arc<Handle>) -> Reader {
    let stream = shard.stream(None, || {});
    Reader::start(move |over| {
        read_all(&[stream], over);
        Ok(())
    })
}

/// Fifty subscribers over local sockets, ten of which read nothing.
fn over_sockets(address: SocketAddr) -> Result<Subscribers> {
    Subscribers::connect(address).context("the service accepts no subscribers")
}

/// The interface of `townlet observe` on a large terminal, over a local socket.
fn operators_screen(address: SocketAddr) -> Reader {
    Reader::start(move |over| {
        let mut source = Remote::new(client(address)?);
        let mut app = app(source.hello())?;
        let mut terminal = null_terminal(LARGE, &Arc::default())?;
        let (views, events) = watch(&mut source);
        let mut screens = Screen::all().cycle();
        for frame in 0_usize.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            if frame.is_multiple_of(FRAMES_PER_SCREEN)
                && let Some(screen) = screens.next()
            {
                app.update(key_of(screen));
            }
            let mut has_view = false;
            for event in events.try_iter() {
                has_view |= event.is_none();
                pass_on(event, &views, &mut app);
            }
            if has_view {
                terminal.draw(|frame| app.draw(frame))?;
                source.look_at(&app.focus());
            }
            std::thread::sleep(FRAME);
        }
        source.close();
        Ok(())
    })
}

fn client(address: SocketAddr) -> Result<Client> {
    let target = Address { url: format!("http://{address}"), ..Address::default() };
    Client::new(&target).map_err(|why| anyhow!(why))
}

/// What a large terminal shows: the middle of the map, and a list.
fn focus(view: &Snapshot) -> Focus {
    let middle = |size: u64, shown: u64| size.saturating_sub(shown) / 2;
    let (width, height) = WINDOW;
    let area = Area { x: middle(view.map.width, width), y: middle(view.map.height, height), width, height };
    let residents = view.agents.iter().take(LISTED).map(|agent| agent.id.clone()).collect();
    Focus { residents, area: Some(area), ..Focus::default() }
}

/// What a client receives after the first message.
pub(super) struct Traffic {
    messages: u64,
    /// Over the network, and after decompression.
    bytes: u64,
    text: u64,
    time: Duration,
}

impl Traffic {
    /// Bytes of a message over the network.
    pub(super) const fn message_bytes(&self) -> u64 {
        self.bytes / if self.messages == 0 { 1 } else { self.messages }
    }

    /// Bytes a second over the network.
    pub(super) fn rate(&self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64()
    }

    fn measure(address: SocketAddr, focus: Option<Focus>, time: Duration) -> Result<Self> {
        let client = client(address)?;
        let failed = |why: townlet_source::remote::ClientError| anyhow!(why.message());
        runtime()?.block_on(async {
            let view = uuid::Uuid::now_v7().to_string();
            let mut stream = match focus {
                None => client.stream(None).await.map_err(failed)?,
                Some(focus) => {
                    let stream = client.stream_view(&view, SCREEN_RATE).await.map_err(failed)?;
                    client.look_at(&ViewRequest { view, focus }).await.map_err(failed)?;
                    stream
                }
            };
            let mut decoder = StreamDecoder::default();
            let (mut begun, mut first) = (None, 0);
            let mut all = Self { messages: 0, bytes: 0, text: 0, time: Duration::ZERO };
            while all.time < time {
                let events = stream.next().await.map_err(|why| anyhow!(why))?.context("the stream has ended")?;
                for event in events {
                    decoder.take(&event);
                    if begun.is_some() {
                        (all.messages, all.text) = (all.messages + 1, all.text + event.data.len() as u64);
                    } else {
                        (begun, first) = (Some(Instant::now()), stream.bytes());
                    }
                }
                all.time = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
            }
            all.bytes = stream.bytes() - first;
            Ok(all)
        })
    }

    /// The row in MB/s.
    fn row(&self, name: &str, target: Target) -> Row {
        let seconds = self.time.as_secs_f64();
        let (each, text) = (self.message_bytes(), self.text / self.messages.max(1));
        let note = format!(
            "{:.1} messages/s of {each} bytes, {text} before compression ({:.2} MB/s)",
            self.messages as f64 / seconds,
            self.text as f64 / seconds / 1e6,
        );
        Row::new(name, self.rate() / 1e6, "MB/s", target, note)
    }
}
