//! `townlet console`: sends commands to a shard: one from the command line, many from a pipe, or from an interactive prompt.
//!
//! Exit status: 0 done, 1 refused or failed, 2 invalid input, 3 not reached or its outcome is unknown, 130 a read was
//! interrupted. A mutating command is sent with the same `cmd_id` until it is answered, so it runs once even if the connection
//! breaks.

mod attendant;
mod option_order;
mod prompt;
mod prompt_terminal;

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::runtime::Runtime;

pub(super) use option_order::options_first;

use self::attendant::{Attendant, Interrupts, POLL};
use super::connect::{ConnectArgs, runtime, warn_if_newer};
use super::{EXIT_BAD_INPUT, EXIT_CHECK_FAILED, EXIT_FAILED, EXIT_INTERRUPTED, output, user_config};
use townlet_source::remote::{Client, ClientError, KnownShards, ShardClock};
use townlet_tui::answer_table;
use townlet_tui::capabilities::Capabilities;
use townlet_tui::format::thousands;
use townlet_wire::service::{ServiceInfo, is_newer};
use townlet_wire::{Answer, CommandSpec, Request, Status, command_line, escape, holds_token};

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
    // A person at a prompt decides; a script stops.
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    // One that cannot move its cursor has no prompt, and lines are read as from a pipe.
    let capabilities = Capabilities::detect().ok().filter(|_| terminal && args.command.is_empty());
    let interactive = capabilities.is_some();
    // A script that was started with `nohup` goes on when its terminal is closed.
    let interrupts = Interrupts::watch(if interactive { &[SIGINT, SIGTERM, SIGHUP] } else { &[SIGINT, SIGTERM] })?;
    let mut attended = interrupts.attend();
    let mut console = match ConsoleClient::open(runtime()?, target.client, &mut attended) {
        Ok(Some(console)) => console,
        Ok(None) => return Ok(interrupted_at_once()),
        Err(failure) => {
            output::stderr!("townlet: {}", escape(&failure.message()));
            let refused = matches!(failure, ClientError::Refused(_));
            return Ok(ExitCode::from(if refused { EXIT_CHECK_FAILED } else { EXIT_FAILED }));
        }
    };
    match console.warn_of_history(&mut attended) {
        None => return Ok(interrupted_at_once()),
        Some(true) if !interactive => {
            output::stderr!("Nothing was sent.");
            return Ok(ExitCode::from(EXIT_CHECK_FAILED));
        }
        Some(_) => {}
    }
    drop(attended);
    if !args.command.is_empty() {
        let request = Request { cmd_id: args.cmd_id.clone(), ..new_request(&join_words(&args.command), args.dry_run) };
        return Ok(ExitCode::from(console.send(request, args.json, &interrupts)?));
    }
    if let Some(capabilities) = capabilities {
        let status = prompt::run(&mut console, target.name.as_deref(), args.dry_run, capabilities, &interrupts)?;
        return Ok(ExitCode::from(status));
    }
    let mut worst = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let line = townlet_files::without_bom(&line);
        if !line.trim().is_empty() {
            worst = worst.max(console.send(new_request(line, args.dry_run), args.json, &interrupts)?);
        }
        if interrupts.raised() {
            output::stderr!("Interrupted: no further line was sent.");
            return Ok(ExitCode::from(if worst == EXIT_FAILED { EXIT_FAILED } else { EXIT_INTERRUPTED }));
        }
    }
    Ok(ExitCode::from(worst))
}

/// Of an interrupt before any command.
fn interrupted_at_once() -> ExitCode {
    output::stderr!("townlet: interrupted before the shard answered. Nothing was sent.");
    ExitCode::from(EXIT_INTERRUPTED)
}

/// The result of a request. `None` when the attendant leaves before it.
async fn unless_left<T>(attendant: &mut dyn Attendant, request: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(request);
    let mut poll = tokio::time::interval(POLL);
    loop {
        tokio::select! {
            answer = &mut request => return Some(answer),
            _ = poll.tick() => if attendant.leaves() { return None },
        }
    }
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
    /// The shard's clock, if it refuses requests that have expired.
    clock: Option<ShardClock>,
}

impl ConsoleClient {
    /// `None` when the attendant leaves before the shard answers.
    fn open(runtime: Runtime, client: Client, attendant: &mut dyn Attendant) -> Result<Option<Self>, ClientError> {
        let started = Instant::now();
        let welcome = loop {
            match runtime.block_on(unless_left(attendant, client.welcome())) {
                None => return Ok(None),
                Some(Err(ClientError::Busy(_, wait))) if started.elapsed() < RETRY_DEADLINE => {
                    if attendant.wait(wait) {
                        return Ok(None);
                    }
                }
                Some(welcome) => break welcome?,
            }
        };
        warn_if_newer(&welcome.schema_version);
        let clock = ShardClock::read(welcome.now_ms);
        Ok(Some(Self { runtime, client, welcome, clock }))
    }

    /// Holds the shard's audit log to what this user has seen of it earlier. Says what contradicts it, and that another shard
    /// answers than before. Returns whether anything contradicts; `None` when the attendant leaves before.
    fn warn_of_history(&self, attendant: &mut dyn Attendant) -> Option<bool> {
        let Some(known) = townlet_tui::files::known_shards_file().map(KnownShards::at) else { return Some(false) };
        let contradicts = match self.runtime.block_on(unless_left(attendant, known.check(&self.client)))? {
            Ok(check) => {
                for alarm in &check.alarms {
                    output::stderr!("WARNING: {alarm}");
                }
                if let Some(note) = check.note(self.client.url()) {
                    output::stderr!("{note}");
                }
                !check.alarms.is_empty()
            }
            Err(why) => {
                output::stderr!("warning: the checkpoints of this shard cannot be remembered: {}", escape(&why));
                false
            }
        };
        Some(contradicts)
    }

    /// Sends a command and prints its answer. Returns the exit status.
    fn send(&mut self, request: Request, json: bool, interrupts: &Interrupts) -> Result<u8> {
        ensure!(
            !holds_token(&request.command) && !holds_token(request.cmd_id.as_deref().unwrap_or_default()),
            "the command contains a token. Pass it with `--token-file` or TOWNLET_TOKEN, and revoke this one."
        );
        let answer = match self.ask(request, &mut interrupts.attend()) {
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

    /// Sends a command, meant for the run that this console was opened on, until it is answered or the attendant leaves.
    fn ask(&self, mut request: Request, attendant: &mut dyn Attendant) -> Result<Answer, Unanswered> {
        // An older shard does not know the field.
        request.run_id = request.run_id.or_else(|| Some(self.welcome.run_id.clone()).filter(|run| !run.is_empty()));
        let parsed = command_line::parse(&self.welcome.commands, &request.command);
        let spec = parsed.ok().map(|parsed| parsed.spec).filter(|_| !request.dry_run);
        let changes = spec.is_some_and(|spec| spec.mutating);
        if spec.is_some_and(CommandSpec::acts) && is_newer(&self.welcome.schema_version) {
            let message = "the shard has a newer schema. Upgrade this program to send commands. Nothing was sent.";
            return Err(Unanswered { status: EXIT_BAD_INPUT, ..Unanswered::because(message) });
        }
        let cmd_id = request.cmd_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string()).clone();
        let started = Instant::now();
        request.expires_ms = self.clock.filter(|_| changes).map(|clock| clock.ms_at(started + RETRY_DEADLINE));
        // Whether the shard may have received it, and whether sending it again was announced.
        let (mut maybe_received, mut announced) = (false, false);
        loop {
            let undecided = |answer: &Answer| {
                answer.error.as_ref().is_some_and(|error| matches!(error.code.as_str(), "E_IN_FLIGHT" | "E_STOPPING"))
            };
            let attempt = self.runtime.block_on(self.attempt(&request, attendant));
            let why = match attempt {
                None => return Err(self.interrupted(&request, changes, true)),
                Some(Ok(answer)) if !(changes && undecided(&answer)) => return Ok(answer),
                Some(Ok(answer)) => {
                    maybe_received = true;
                    answer.summary()
                }
                Some(Err(ClientError::Busy(error, wait))) if started.elapsed() < RETRY_DEADLINE => {
                    attendant.say(&format!("{} Sending it again in {} s.", escape(&error.message), wait.as_secs()));
                    if attendant.wait(wait) {
                        return Err(self.interrupted(&request, changes, maybe_received));
                    }
                    continue;
                }
                Some(Err(failure @ (ClientError::Lost(_) | ClientError::Unreachable(_)))) => {
                    maybe_received |= matches!(failure, ClientError::Lost(_));
                    failure.message()
                }
                Some(Err(failure)) => {
                    let status = EXIT_CHECK_FAILED;
                    return Err(Unanswered { status, ..Unanswered::because(&escape(&failure.message())) });
                }
            };
            if !changes {
                return Err(Unanswered::because(&escape(&why)));
            }
            if started.elapsed() >= RETRY_DEADLINE {
                return Err(self.fate(&request, &escape(&why), maybe_received));
            }
            if !announced {
                let time = RETRY_DEADLINE.as_secs();
                let (why, cmd_id) = (escape(why.trim_end_matches('.')), escape(&cmd_id));
                attendant.say(&format!("{why}; sending it again for {time} s as {cmd_id}."));
                announced = true;
            }
            if attendant.wait(RETRY_INTERVAL) {
                return Err(self.interrupted(&request, changes, maybe_received));
            }
        }
    }

    /// Sends a request once. `None` when the attendant leaves before the answer.
    async fn attempt(&self, request: &Request, attendant: &mut dyn Attendant) -> Option<Result<Answer, ClientError>> {
        unless_left(attendant, self.client.send_command(request)).await
    }

    /// Of a command whose attendant left before the answer.
    fn interrupted(&self, request: &Request, changes: bool, maybe_received: bool) -> Unanswered {
        let why = "interrupted before the answer.";
        let unanswered = if changes {
            self.fate(request, why, maybe_received)
        } else {
            Unanswered { status: EXIT_INTERRUPTED, ..Unanswered::because(&format!("{why} It changes nothing.")) }
        };
        Unanswered { left: true, ..unanswered }
    }

    /// Of a command that changes something and has no answer: what may have become of it, and what to do.
    fn fate(&self, request: &Request, why: &str, maybe_received: bool) -> Unanswered {
        if !maybe_received {
            let message = format!("{why}\n  It has not reached the shard, so it was not executed.");
            return Unanswered::because(&message);
        }
        let cmd_id = request.cmd_id.clone().unwrap_or_default();
        let line = escape(&request.command);
        let again = format!(
            "townlet console --connect {} --cmd-id {} {}",
            self.client.url(),
            escape(&cmd_id),
            shell_word(&line)
        );
        let left =
            |at: u64| at.saturating_sub(self.clock.map_or(at, |clock| clock.ms_at(Instant::now()))).div_ceil(1_000);
        let later = match request.expires_ms.map(left) {
            Some(0) => ", and will not be any more".to_owned(),
            Some(seconds) => format!(", or may be within {seconds} s"),
            None => String::new(),
        };
        let message = format!(
            "{why}\n  The outcome is unknown: `{line}` may have been executed{later}. The audit log says it under its cmd_id, {}.\n  To send \
             it again with the same token, which executes it at most once: {again}",
            escape(&cmd_id)
        );
        Unanswered { unknown: Some(cmd_id), ..Unanswered::because(&message) }
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
    fn escalate(&mut self, token: &str, attendant: &mut dyn Attendant) -> Result<String, Unanswered> {
        let request = Request { secret: Some(token.to_owned()), ..Request::line("escalate") };
        match self.ask(request, attendant) {
            Ok(answer) => {
                if answer.status == Status::Ok {
                    self.renew_session(Some(token));
                }
                Ok(format!("{} Role: {}.", summary_line(&answer), escape(&self.identity())))
            }
            Err(failure) if failure.left => Err(failure),
            Err(failure) => Ok(format!("✗ {} Role: {}.", failure.message, escape(&self.identity()))),
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

/// Why a command has no answer.
struct Unanswered {
    /// For the terminal.
    message: String,
    /// The exit status.
    status: u8,
    /// Whether the attendant left.
    left: bool,
    /// The `cmd_id` of a command that may have been executed.
    unknown: Option<String>,
}

impl Unanswered {
    /// The shard was not reached.
    fn because(message: &str) -> Self {
        Self { message: message.to_owned(), status: EXIT_FAILED, left: false, unknown: None }
    }
}

/// A word for a shell.
fn shell_word(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@%+=,".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
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
    fn a_line_for_a_shell_is_one_word() {
        let line = r#"employment_exit defer ada --reason "it's far""#;
        assert_eq!(shell_word(line), r#"'employment_exit defer ada --reason "it'\''s far"'"#);
        assert_eq!([shell_word("pause"), shell_word("")], ["pause", "''"]);
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
