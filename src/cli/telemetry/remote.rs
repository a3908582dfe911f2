//! `townlet telemetry snapshot|tail --connect URL`: a shard's telemetry over the network.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::cli::connect::{ConnectArgs, runtime};
use crate::cli::{output, user_config};
use townlet_source::remote::{Client, ClientError, StreamDecoder, StreamEvent};
use townlet_wire::service::is_newer;
use townlet_wire::sse::{Event, Reader};
use townlet_wire::text::escape;
use townlet_wire::{SCHEMA_VERSION, Snapshot};

/// Between two attempts after the line was lost.
const PAUSE: Duration = Duration::from_secs(1);

/// `townlet telemetry snapshot`.
#[derive(clap::Args, Debug)]
pub(super) struct SnapshotArgs {
    #[command(flatten)]
    connect: ConnectArgs,
}

/// `townlet telemetry tail`.
#[derive(clap::Args, Debug)]
pub(super) struct TailArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The messages as they come, a JSON object a line
    #[arg(long)]
    json: bool,
    /// Ends after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Prints the state.
///
/// # Errors
/// Why there is none.
pub(super) fn snapshot(args: &SnapshotArgs) -> Result<ExitCode> {
    let client = args.connect.single_target(&user_config::load()?)?.client;
    let body = runtime()?.block_on(client.snapshot()).map_err(|failure| anyhow!(failure.message()))?;
    let state: Value = serde_json::from_slice(&body)
        .map_err(|why| anyhow!("{}: whoever answers there sends no state: {why}.", client.url()))?;
    warn_of(state.get("schema_version").and_then(Value::as_str).unwrap_or_default());
    output::json(&state)?;
    Ok(ExitCode::SUCCESS)
}

/// Follows a shard. The first connection must come about; a later one that is lost is tried again.
///
/// # Errors
/// Why it cannot be followed.
pub(super) fn tail(args: &TailArgs) -> Result<ExitCode> {
    let client = args.connect.single_target(&user_config::load()?)?.client;
    let mut tail = Tail { json: args.json, left: args.count, ..Tail::default() };
    runtime()?.block_on(async {
        tail.follow(&client).await.map_err(|failure| anyhow!(failure.message()))?;
        while !tail.is_done() {
            output::stderr!("{}: the stream was lost; it is tried again.", client.url());
            tokio::time::sleep(PAUSE).await;
            if let Err(failure) = tail.follow(&client).await {
                output::stderr!("{}", escape(&failure.message()));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[derive(Default)]
struct Tail {
    json: bool,
    left: Option<u64>,
    heard: StreamDecoder,
    warned: bool,
}

impl Tail {
    fn is_done(&self) -> bool {
        self.left == Some(0) || output::is_gone()
    }

    /// Until the line breaks.
    async fn follow(&mut self, client: &Client) -> Result<(), ClientError> {
        let mut response = client.stream(self.heard.last().as_deref()).await?;
        let mut reader = Reader::default();
        while let Ok(Some(piece)) = response.chunk().await {
            for event in reader.take(&piece).map_err(ClientError::NotAShard)? {
                self.take(&event).map_err(|why| ClientError::NotAShard(why.to_string()))?;
                if self.is_done() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &Event) -> Result<()> {
        match self.heard.take(event) {
            StreamEvent::State => {}
            StreamEvent::Heartbeat => return Ok(()),
            StreamEvent::Closed(why) | StreamEvent::OutOfSync(why) => {
                output::stderr!("{}", escape(&why));
                return Ok(());
            }
        }
        let Some(state) = self.heard.state() else { return Ok(()) };
        if !std::mem::replace(&mut self.warned, true) {
            warn_of(&state.schema_version);
        }
        let line = if self.json { event.data.clone() } else { line_of(state) };
        output::line(&line)?;
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(())
    }
}

fn line_of(state: &Snapshot) -> String {
    let alerts = state.alerts.iter().map(|alert| alert.name.as_str()).collect::<Vec<_>>().join(" ");
    let employment = &state.employment;
    escape(&format!(
        "tick {:>8}  day {:>4}  {:<6}  {:>3} residents  exits {} of {}, {} pending (limit {})  {}",
        state.tick,
        state.day,
        state.clock.speed,
        state.agents.len(),
        employment.exits_today,
        employment.daily_exit_cap,
        employment.pending_count,
        employment.queue_limit,
        if alerts.is_empty() { "no alert" } else { alerts.as_str() },
    ))
}

/// Says that a shard speaks a newer schema.
pub(super) fn warn_of(theirs: &str) {
    if is_newer(theirs) {
        output::stderr!("warning: {}", escape(&newer(theirs)));
    }
}

/// One sentence.
fn newer(theirs: &str) -> String {
    format!("the shard speaks schema {theirs}, newer than {SCHEMA_VERSION}: looking only; upgrade to command.")
}
