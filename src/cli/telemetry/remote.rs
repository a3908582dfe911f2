//! `townlet telemetry snapshot` and `tail`: reads the telemetry of a shard over the network.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::cli::connect::{ConnectArgs, runtime, warn_if_newer};
use crate::cli::{EXIT_FAILED, output, user_config};
use townlet_source::remote::{Client, ClientError, StreamDecoder, StreamEvent};
use townlet_tui::format::count;
use townlet_wire::Snapshot;
use townlet_wire::escape;
use townlet_wire::json_text::JsonText;
use townlet_wire::sse::Event;

/// Interval between two attempts to reconnect.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct SnapshotArgs {
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct TailArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print each message as a JSON object on one line
    #[arg(long)]
    json: bool,
    /// Stop after N messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Prints the state of the shard.
pub(super) fn snapshot(args: &SnapshotArgs) -> Result<ExitCode> {
    let client = args.connect.single_target(&user_config::load()?)?.client;
    let body = runtime()?.block_on(client.snapshot()).map_err(|failure| anyhow!(failure.message()))?;
    let refused = |why: String| anyhow!("{}: the answer is not a snapshot: {why}.", client.url());
    let text = std::str::from_utf8(&body).map_err(|why| refused(why.to_string()))?;
    let state = JsonText::parse(text).map_err(|why| refused(why.to_string()))?;
    let version = state.find(["schema_version"])[0].and_then(JsonText::scalar);
    warn_if_newer(version.as_ref().and_then(Value::as_str).unwrap_or_default());
    output::parts_of_json(&state)?;
    Ok(ExitCode::SUCCESS)
}

/// Follows a shard. A lost connection is retried, except the first, and not after the shard refused the token.
pub(super) fn tail(args: &TailArgs) -> Result<ExitCode> {
    let client = args.connect.single_target(&user_config::load()?)?.client;
    let mut tail = Tail { json: args.json, left: args.count, ..Tail::default() };
    runtime()?.block_on(async {
        tail.follow(&client).await.map_err(|failure| anyhow!(failure.message()))?;
        while !tail.is_done() {
            output::stderr!("{}: connection lost; reconnecting.", client.url());
            tokio::time::sleep(RETRY_INTERVAL).await;
            match tail.follow(&client).await {
                Err(failure) if failure.is_denied() => {
                    output::stderr!("townlet: {}", escape(&failure.message()));
                    return Ok(ExitCode::from(EXIT_FAILED));
                }
                Err(failure) => output::stderr!("{}", escape(&failure.message())),
                Ok(()) => {}
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[derive(Default)]
struct Tail {
    json: bool,
    left: Option<u64>,
    decoder: StreamDecoder,
    warned: bool,
}

impl Tail {
    fn is_done(&self) -> bool {
        self.left == Some(0) || output::stdout_closed()
    }

    /// Reads the stream until the connection breaks.
    async fn follow(&mut self, client: &Client) -> Result<(), ClientError> {
        let mut stream = client.stream(self.decoder.last().as_deref()).await?;
        while let Some(events) = stream.next().await.map_err(ClientError::Lost)? {
            for event in events {
                self.take(&event).map_err(|why| ClientError::NotAShard(why.to_string()))?;
                if self.is_done() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &Event) -> Result<()> {
        match self.decoder.take(event) {
            StreamEvent::State => {}
            StreamEvent::Heartbeat => return Ok(()),
            StreamEvent::Closed(why) | StreamEvent::OutOfSync(why) => {
                output::stderr!("{}", escape(&why));
                return Ok(());
            }
        }
        let Some(state) = self.decoder.state() else { return Ok(()) };
        if !std::mem::replace(&mut self.warned, true) {
            warn_if_newer(&state.schema_version);
        }
        let line = if self.json { event.data.clone() } else { summary_line(state) };
        output::line(&line)?;
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(())
    }
}

fn summary_line(state: &Snapshot) -> String {
    let alerts = state.alerts.iter().map(|alert| alert.name.as_str()).collect::<Vec<_>>().join(" ");
    let employment = &state.employment;
    escape(&format!(
        "tick {:>8}  day {:>4}  {:<6}  {:>13}  exits {} of {}, {} pending (limit {})  {}",
        state.tick,
        state.day,
        state.clock.speed,
        count(state.agents.len() as u64, "resident"),
        employment.exits_today,
        employment.daily_exit_cap,
        employment.pending_count,
        employment.queue_limit,
        if alerts.is_empty() { "no alert" } else { alerts.as_str() },
    ))
}
