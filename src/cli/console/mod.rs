//! `townlet console`: commands to a shard over the network; one from the command line, many from a pipe, or a prompt.
//!
//! Owns what an exit status says: 0 done, 1 refused or failed, 2 bad input, 3 not reached. A command that changes something is
//! sent with a `cmd_id` until it is answered, so that a broken connection does not do it twice.

mod answer_table;
mod prompt;

use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::runtime::Runtime;

use super::connect::{ConnectArgs, runtime};
use super::{EXIT_BAD_INPUT, EXIT_CHECK_FAILED, EXIT_FAILED, output, user_config};
use townlet_source::remote::{Client, ClientError};
use townlet_wire::service::{ServiceInfo, is_newer};
use townlet_wire::text::escape;
use townlet_wire::{Answer, Request, SCHEMA_VERSION, Status, line};

/// Longest a command that changes something is tried again.
const RETRY_DEADLINE: Duration = Duration::from_secs(30);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// `townlet console`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The answer as one JSON object a line
    #[arg(long)]
    json: bool,
    /// The same checks, no effect: says what would happen
    #[arg(long)]
    dry_run: bool,
    /// The id of this command, to send it again safely; made up when absent
    #[arg(long, value_name = "ID", requires = "command")]
    cmd_id: Option<String>,
    /// The command, such as `employment_exit approve ada`; without one a prompt, or the lines of standard input
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// Bad input; nothing was sent.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let place = args.connect.single_target(&user_config::load()?)?;
    let mut desk = match Desk::open(runtime()?, place.client) {
        Ok(desk) => desk,
        Err(failure) => {
            output::stderr!("townlet: {}", escape(&failure.message()));
            return Ok(ExitCode::from(if matches!(failure, ClientError::Refused(_)) {
                EXIT_CHECK_FAILED
            } else {
                EXIT_FAILED
            }));
        }
    };
    if !args.command.is_empty() {
        let request = Request { cmd_id: args.cmd_id.clone(), ..asked(&joined(&args.command), args.dry_run) };
        return Ok(ExitCode::from(desk.tell(request, args.json)?));
    }
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        prompt::run(&mut desk, place.name.as_deref())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut worst = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            worst = worst.max(desk.tell(asked(&line, args.dry_run), args.json)?);
        }
    }
    Ok(ExitCode::from(worst))
}

fn asked(line: &str, dry_run: bool) -> Request {
    Request { dry_run, ..Request::line(line.trim()) }
}

/// Words of a shell as one line: what the shell kept together stays together.
fn joined(words: &[String]) -> String {
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

/// A shard, and what it said of itself.
pub(super) struct Desk {
    runtime: Runtime,
    client: Client,
    welcome: ServiceInfo,
}

impl Desk {
    fn open(runtime: Runtime, client: Client) -> Result<Self, ClientError> {
        let welcome = runtime.block_on(client.welcome())?;
        if is_newer(&welcome.schema_version) {
            let theirs = escape(&welcome.schema_version);
            output::stderr!(
                "warning: the shard speaks schema {theirs}, newer than {SCHEMA_VERSION}: looking only; upgrade to command."
            );
        }
        Ok(Self { runtime, client, welcome })
    }

    /// Sends one command and prints its answer; the exit status it stands for.
    fn tell(&mut self, request: Request, json: bool) -> Result<u8> {
        if request.command.contains("twn_") {
            bail!(
                "a token has no place in a command; give it by `--token-file` or TOWNLET_TOKEN, and revoke this one."
            );
        }
        let answer = match self.ask(request) {
            Ok(answer) => answer,
            Err(status) => return Ok(status),
        };
        if json {
            output::line(&serde_json::to_string(&answer)?)?;
        } else {
            output::line(&sentence(&answer))?;
            self.more(&answer).iter().try_for_each(|row| output::line(row))?;
        }
        Ok(if answer.status == Status::Error { EXIT_CHECK_FAILED } else { 0 })
    }

    /// Sends a command until it is answered; the exit status, said already, when it is not.
    fn ask(&self, mut request: Request) -> Result<Answer, u8> {
        let parsed = line::parse(&self.welcome.commands, &request.command);
        let changes = parsed.is_ok_and(|parsed| parsed.spec.mutating) && !request.dry_run;
        if changes && is_newer(&self.welcome.schema_version) {
            output::stderr!(
                "townlet: the shard speaks a newer schema: upgrade this program before you command. Nothing was sent."
            );
            return Err(EXIT_BAD_INPUT);
        }
        let cmd_id = request.cmd_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string()).clone();
        let started = Instant::now();
        loop {
            let undecided = |answer: &Answer| {
                answer.error.as_ref().is_some_and(|error| matches!(error.code.as_str(), "E_IN_FLIGHT" | "E_STOPPING"))
            };
            let (why, status) = match self.runtime.block_on(self.client.send_command(&request)) {
                Ok(answer) if !(changes && undecided(&answer)) => return Ok(answer),
                Ok(answer) => (answer.summary(), EXIT_FAILED),
                Err(failure @ ClientError::Lost(_)) => (failure.message(), EXIT_FAILED),
                Err(failure) => {
                    output::stderr!("townlet: {}", escape(&failure.message()));
                    return Err(EXIT_CHECK_FAILED);
                }
            };
            if !changes || started.elapsed() >= RETRY_DEADLINE {
                output::stderr!("townlet: {}", escape(&why));
                if changes {
                    output::stderr!(
                        "  whether it was done is not known; `--cmd-id {}` sends it again safely.",
                        escape(&cmd_id)
                    );
                }
                return Err(status);
            }
            output::stderr!("{}; sending it again.", escape(why.trim_end_matches('.')));
            std::thread::sleep(PAUSE);
        }
    }
}

impl Desk {
    /// Who one is there: `admin (token:1234abcd)`.
    fn who(&self) -> String {
        let session = &self.welcome.session;
        format!("{} ({})", session.role.word(), session.issuer)
    }

    /// What somebody who asked wants to see besides the sentence; what was done needs no more than that.
    fn more(&self, answer: &Answer) -> Vec<String> {
        let looked = line::parse(&self.welcome.commands, &answer.command).is_ok_and(|parsed| !parsed.spec.mutating);
        answer.result.as_ref().filter(|_| looked).map_or_else(Vec::new, answer_table::rows)
    }

    /// Becomes admin by a token, which every later request brings; what to say of it.
    fn escalate(&mut self, token: &str) -> String {
        let request = Request { secret: Some(token.to_owned()), ..Request::line("escalate") };
        match self.ask(request) {
            Ok(answer) => {
                if answer.status == Status::Ok {
                    self.renew_session(Some(token));
                }
                format!("{} You are {}.", sentence(&answer), escape(&self.who()))
            }
            Err(_) => format!("You are {}.", escape(&self.who())),
        }
    }

    /// From now on with this token, or without any.
    fn renew_session(&mut self, token: Option<&str>) {
        let Ok(client) = self.client.clone().with_token(token) else { return };
        if let Ok(welcome) = self.runtime.block_on(client.welcome()) {
            (self.client, self.welcome) = (client, welcome);
        }
    }
}

/// `✓ Ada leaves town on the next tick. · tick 3402 · 0192…`.
fn sentence(answer: &Answer) -> String {
    let sign = if answer.status == Status::Error { '✗' } else { '✓' };
    let again = if answer.replayed { " (done before)" } else { "" };
    let logged = if answer.audit.is_empty() { String::new() } else { format!(" · logged {}", answer.audit) };
    escape(&format!("{sign} {}{again} · tick {} · {}{logged}", answer.summary(), answer.tick, answer.cmd_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_kept_together_stays_together() {
        let words = |words: &[&str]| joined(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["employment_exit approve ada"]), "employment_exit approve ada");
        assert_eq!(
            words(&["employment_exit", "defer", "ada", "--reason", "she said \"no\""]),
            "employment_exit defer ada --reason \"she said \\\"no\\\"\""
        );
    }
}
