//! `townlet console`: sends commands to a shard: one from the command line, many from a pipe, or from an interactive prompt.
//!
//! Exit status: 0 done, 1 refused or failed, 2 invalid input, 3 not reached. A mutating command is sent with the same
//! `cmd_id` until it is answered, so it runs once even if the connection breaks.

mod option_order;
mod prompt;

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

pub(super) use option_order::options_first;

use super::connect::{ConnectArgs, runtime, warn_if_newer};
use super::{EXIT_BAD_INPUT, EXIT_CHECK_FAILED, EXIT_FAILED, output, user_config};
use townlet_source::remote::{Client, ClientError, KnownShards};
use townlet_tui::answer_table;
use townlet_tui::format::thousands;
use townlet_wire::service::{ServiceInfo, is_newer};
use townlet_wire::{Answer, Request, Status, command_line, escape, holds_token};

/// How long a mutating command is retried.
const RETRY_DEADLINE: Duration = Duration::from_secs(30);
/// Interval between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum number of printed rows of an answer.
const MAX_ROWS: usize = 120;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Print each answer as a JSON object on one line
    #[arg(long)]
    json: bool,
    /// Check the command and show its effect without running it
    #[arg(long)]
    dry_run: bool,
    /// Id of the command, to retry it safely [default: generated]
    #[arg(long, value_name = "ID", requires = "command")]
    cmd_id: Option<String>,
    /// The command, such as `employment_exit approve ada` [default: an interactive prompt, or lines of standard input]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let target = args.connect.single_target(&user_config::load()?)?;
    let mut console = match ConsoleClient::open(runtime()?, target.client) {
        Ok(console) => console,
        Err(failure) => {
            output::stderr!("townlet: {}", escape(&failure.message()));
            let refused = matches!(failure, ClientError::Refused(_));
            return Ok(ExitCode::from(if refused { EXIT_CHECK_FAILED } else { EXIT_FAILED }));
        }
    };
    // A person at a prompt decides; a script stops.
    let interactive = args.command.is_empty() && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if console.warn_of_history() && !interactive {
        output::stderr!("Nothing was sent.");
        return Ok(ExitCode::from(EXIT_CHECK_FAILED));
    }
    if !args.command.is_empty() {
        let request = Request { cmd_id: args.cmd_id.clone(), ..new_request(&join_words(&args.command), args.dry_run) };
        return Ok(ExitCode::from(console.send(request, args.json)?));
    }
    if interactive {
        prompt::run(&mut console, target.name.as_deref(), args.dry_run)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut worst = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let line = townlet_files::without_bom(&line);
        if !line.trim().is_empty() {
            worst = worst.max(console.send(new_request(line, args.dry_run), args.json)?);
        }
    }
    Ok(ExitCode::from(worst))
}

fn new_request(line: &str, dry_run: bool) -> Request {
    Request { dry_run, ..Request::line(line.trim()) }
}

/// Joins shell words into a command line, quoting words that contain spaces.
fn join_words(words: &[String]) -> String {
    if let [line] = words {
        return line.clone();
    }
    let word = |word: &String| {
        if word.is_empty() || word.contains([' ', '"', '\t']) {
            format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
        } else {
            word.clone()
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A connection to a shard with its command table.
pub(super) struct ConsoleClient {
    runtime: Runtime,
    client: Client,
    welcome: ServiceInfo,
}

impl ConsoleClient {
    fn open(runtime: Runtime, client: Client) -> Result<Self, ClientError> {
        let started = Instant::now();
        let welcome = loop {
            match runtime.block_on(client.welcome()) {
                Err(ClientError::Busy(_, wait)) if started.elapsed() < RETRY_DEADLINE => std::thread::sleep(wait),
                welcome => break welcome?,
            }
        };
        warn_if_newer(&welcome.schema_version);
        Ok(Self { runtime, client, welcome })
    }

    /// Holds the shard's audit log to what this user has seen of it earlier. Says what contradicts it, and whether anything does.
    fn warn_of_history(&self) -> bool {
        let Some(known) = townlet_tui::files::known_shards_file().map(KnownShards::at) else { return false };
        match self.runtime.block_on(known.check(&self.client)) {
            Ok(alarms) => {
                for alarm in &alarms {
                    output::stderr!("WARNING: {alarm}");
                }
                !alarms.is_empty()
            }
            Err(why) => {
                output::stderr!("warning: the checkpoints of this shard cannot be remembered: {}", escape(&why));
                false
            }
        }
    }

    /// Sends a command and prints its answer. Returns the exit status.
    fn send(&mut self, request: Request, json: bool) -> Result<u8> {
        ensure!(
            !holds_token(&request.command) && !holds_token(request.cmd_id.as_deref().unwrap_or_default()),
            "the command contains a token. Pass it with `--token-file` or TOWNLET_TOKEN, and revoke this one."
        );
        let answer = match self.ask(request) {
            Ok(answer) => answer,
            Err(failure) => {
                output::stderr!("townlet: {}", failure.message);
                return Ok(failure.status);
            }
        };
        if json {
            output::line(&serde_json::to_string(&answer)?)?;
        } else {
            output::line(&summary_line(&answer))?;
            self.result_rows(&answer).iter().try_for_each(|row| output::line(row))?;
        }
        Ok(if answer.status == Status::Error { EXIT_CHECK_FAILED } else { 0 })
    }

    /// Sends a command, meant for the run that this console was opened on, until it is answered.
    fn ask(&self, mut request: Request) -> Result<Answer, Unanswered> {
        // An older shard does not know the field.
        request.run_id = request.run_id.or_else(|| Some(self.welcome.run_id.clone()).filter(|run| !run.is_empty()));
        let parsed = command_line::parse(&self.welcome.commands, &request.command);
        let changes = parsed.is_ok_and(|parsed| parsed.spec.mutating) && !request.dry_run;
        if changes && is_newer(&self.welcome.schema_version) {
            let message = "the shard has a newer schema. Upgrade this program to send commands. Nothing was sent.";
            return Err(Unanswered { message: message.into(), status: EXIT_BAD_INPUT });
        }
        let cmd_id = request.cmd_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string()).clone();
        let started = Instant::now();
        // Whether the shard may have received it, and whether sending it again was announced.
        let (mut maybe_received, mut announced) = (false, false);
        loop {
            let undecided = |answer: &Answer| {
                answer.error.as_ref().is_some_and(|error| matches!(error.code.as_str(), "E_IN_FLIGHT" | "E_STOPPING"))
            };
            let why = match self.runtime.block_on(self.client.send_command(&request)) {
                Ok(answer) if !(changes && undecided(&answer)) => return Ok(answer),
                Ok(answer) => {
                    maybe_received = true;
                    answer.summary()
                }
                Err(ClientError::Busy(error, wait)) if started.elapsed() < RETRY_DEADLINE => {
                    output::stderr!("{} Sending it again in {} s.", escape(&error.message), wait.as_secs());
                    std::thread::sleep(wait);
                    continue;
                }
                Err(failure @ (ClientError::Lost(_) | ClientError::Unreachable(_))) => {
                    maybe_received |= matches!(failure, ClientError::Lost(_));
                    failure.message()
                }
                Err(failure) => {
                    return Err(Unanswered { message: escape(&failure.message()), status: EXIT_CHECK_FAILED });
                }
            };
            if !changes || started.elapsed() >= RETRY_DEADLINE {
                let mut message = escape(&why);
                if changes && maybe_received {
                    let retry = format!("The outcome is unknown. Retry safely with `--cmd-id {}`.", escape(&cmd_id));
                    message = format!("{message}\n  {retry}");
                } else if changes {
                    message = format!("{message}\n  It has not reached the shard, so it was not executed.");
                }
                return Err(Unanswered { message, status: EXIT_FAILED });
            }
            if !announced {
                let time = RETRY_DEADLINE.as_secs();
                let (why, cmd_id) = (escape(why.trim_end_matches('.')), escape(&cmd_id));
                output::stderr!("{why}; sending it again for {time} s as {cmd_id}.");
                output::stderr!(
                    "If you leave before its answer, the audit log says under this id whether it was executed."
                );
                announced = true;
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
    }

    /// Role and issuer, such as `admin (token:1234abcd)`.
    fn identity(&self) -> String {
        let session = &self.welcome.session;
        format!("{} ({})", session.role.word(), session.issuer)
    }

    /// The result of a read-only command as rows.
    fn result_rows(&self, answer: &Answer) -> Vec<String> {
        let read_only =
            command_line::parse(&self.welcome.commands, &answer.command).is_ok_and(|parsed| !parsed.spec.mutating);
        shortened(answer.result.as_ref().filter(|_| read_only).map_or_else(Vec::new, answer_table::rows))
    }

    /// Switches to the role of a token, which later requests send. Returns the line to print.
    fn escalate(&mut self, token: &str) -> String {
        let request = Request { secret: Some(token.to_owned()), ..Request::line("escalate") };
        match self.ask(request) {
            Ok(answer) => {
                if answer.status == Status::Ok {
                    self.renew_session(Some(token));
                }
                format!("{} Role: {}.", summary_line(&answer), escape(&self.identity()))
            }
            Err(failure) => format!("✗ {} Role: {}.", failure.message, escape(&self.identity())),
        }
    }

    /// Turns to the run that the shard has now, if it is another one. Returns the line to print.
    fn adopt_run(&mut self) -> Option<String> {
        let welcome = self.runtime.block_on(self.client.welcome()).ok()?;
        let other = welcome.run_id != self.welcome.run_id;
        self.welcome = welcome;
        other.then(|| escape(&format!("Commands go to the run {} from now on.", self.welcome.run_id)))
    }

    /// Sets the token of later requests and reads the session again.
    fn renew_session(&mut self, token: Option<&str>) {
        let Ok(client) = self.client.clone().with_token(token) else { return };
        if let Ok(welcome) = self.runtime.block_on(client.welcome()) {
            (self.client, self.welcome) = (client, welcome);
        }
    }
}

/// Why a command has no answer, for the terminal, and the exit status.
struct Unanswered {
    message: String,
    status: u8,
}

/// `✓ Ada leaves town on the next tick. · tick 3402 · 0192…`.
fn summary_line(answer: &Answer) -> String {
    let sign = output::status_sign(answer.status);
    let again = if answer.replayed { " (replayed)" } else { "" };
    let logged = if answer.audit.is_empty() { String::new() } else { format!(" · logged {}", answer.audit) };
    escape(&format!("{sign} {}{again} · tick {} · {}{logged}", answer.summary(), answer.tick, answer.cmd_id))
}

/// At most [`MAX_ROWS`] rows, and the number of the others.
fn shortened(mut rows: Vec<String>) -> Vec<String> {
    let more = rows.len().saturating_sub(MAX_ROWS);
    if more > 0 {
        rows.truncate(MAX_ROWS);
        rows.push(format!("… {} more lines; use `--json` for all", thousands(more as u64)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_results_are_cut_with_a_note() {
        let rows = shortened(vec![String::from("x"); 502]);
        assert_eq!((rows.len(), rows[MAX_ROWS].as_str()), (MAX_ROWS + 1, "… 382 more lines; use `--json` for all"));
        assert_eq!(shortened(vec![String::from("x")]), ["x"]);
    }

    #[test]
    fn a_dry_run_is_marked_as_one() {
        let line = |status| {
            let answer = Answer::new("7", "kill ben", 5, Ok(serde_json::json!({ "summary": "Ben leaves town." })));
            summary_line(&Answer { status, ..answer })
        };
        assert_eq!(line(Status::Ok), "✓ Ben leaves town. · tick 5 · 7");
        assert_eq!(line(Status::DryRun), "≈ dry run: Ben leaves town. · tick 5 · 7");
    }

    #[test]
    fn words_with_spaces_are_quoted() {
        let words = |words: &[&str]| join_words(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["employment_exit approve ada"]), "employment_exit approve ada");
        assert_eq!(
            words(&["employment_exit", "defer", "ada", "--reason", "she said \"no\""]),
            "employment_exit defer ada --reason \"she said \\\"no\\\"\""
        );
    }
}
