//! Requests and their answers: a preview on the console line, or an entry in the log and a status message.

use std::fmt::Write as _;

use super::{App, RequestPurpose, StatusMessage, Task, Tone, short_cmd_id};
use crate::console::input_history::given_up_line;
use crate::format::thousands;
use crate::pane::has_newer_schema;
use townlet_source::Link;
use townlet_wire::{Answer, ErrorBody, Request, SCHEMA_VERSION};

impl App {
    /// A preview holds for the connection that it came by: it is asked for again when the shard is lost or heard again.
    pub(super) fn set_link(&mut self, link: Link) {
        let was_heard = self.is_heard();
        self.link = link;
        if self.line_open && was_heard != self.is_heard() {
            let dry_run = self.line.renew_preview(&self.hello.commands);
            self.preview(dry_run);
        }
    }

    pub(super) fn send(&mut self, requests: Vec<Request>) {
        let refusal = requests.iter().find_map(|request| self.past_refusal_of(&request.command)).map(str::to_owned);
        if let Some(why) = refusal {
            return self.set_status(why);
        }
        self.batch = Batch::of(&requests);
        for request in requests {
            let request = self.for_this_run(request);
            self.tasks.push(Task::Send(request, RequestPurpose::Execute));
        }
    }

    pub(super) fn preview(&mut self, dry_run: Option<Request>) {
        if let Some(request) = dry_run {
            let text = request.command.clone();
            if let Some(why) = self.past_refusal_of(&text) {
                let error = ErrorBody::new("E_PAST", format!("{why}."), "Nothing is sent from there.");
                let answer = Answer::by_client("", &text, error);
                return self.line.set_preview(&text, Ok(answer));
            }
            // What would be refused here is not asked for: the preview says so.
            if let Some(view) = self.view.as_deref().filter(|view| has_newer_schema(view)) {
                let why = format!("the shard uses schema {}, this program {SCHEMA_VERSION}.", view.schema_version);
                let error = ErrorBody::new("E_SCHEMA_NEW", why, "Upgrade this program to send commands.");
                let answer = Answer::by_client("", &text, error);
                return self.line.set_preview(&text, Ok(answer));
            }
            self.tasks.push(Task::Send(self.for_this_run(request), RequestPurpose::Preview(text)));
        }
    }

    /// A request that only the run on screen carries out.
    pub(super) fn for_this_run(&self, request: Request) -> Request {
        let run_id = self.live_view().map(|view| view.run_id.clone()).filter(|run_id| !run_id.is_empty());
        Request { run_id, ..request }
    }

    pub(super) fn handle_answer(&mut self, answer: Answer) {
        // An answer in flight is followed by the final one.
        let waited = if is_in_flight(&answer) {
            self.waiting.get_mut(&answer.cmd_id).map(|waiting| {
                waiting.in_flight = true;
                waiting.clone()
            })
        } else {
            self.waiting.remove(&answer.cmd_id)
        };
        if answer.error.as_ref().is_some_and(|error| error.code == "E_GIVEN_UP") {
            let line = given_up_line(&answer.command, &answer.cmd_id);
            self.tasks.push(Task::Remember(line));
        }
        self.refresh_overlay();
        let together = waited.as_ref().and_then(|waiting| self.batch.take(&waiting.command, &answer));
        let (purpose, role) =
            waited.map_or((RequestPurpose::Execute, self.session.role), |waiting| (waiting.purpose, waiting.role));
        match purpose {
            RequestPurpose::Preview(text) => self.line.set_preview(&text, Ok(answer)),
            RequestPurpose::Question(line) => self.answer_question(&line, &answer),
            RequestPurpose::Execute => {
                if self.is_pace_command(&answer.command) {
                    self.pace_answered(&answer);
                }
                // The header shows the pace. That it is not logged is nowhere else.
                let logged = answer.result.as_ref().is_none_or(|result| result["logged"] != false);
                if !(answer.error.is_none() && logged && self.is_pace_command(&answer.command)) {
                    self.status = Some(together.unwrap_or_else(|| status(&answer, self.is_past())));
                }
                self.log.push(answer, role);
            }
        }
    }
}

/// Commands that were sent together. A failure among them stays on screen with how many are done.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Their lines, and how many they were.
    open: Vec<String>,
    all: usize,
    failed: Vec<String>,
}

impl Batch {
    fn of(requests: &[Request]) -> Self {
        let open: Vec<String> = requests.iter().map(|request| request.command.clone()).collect();
        Self { all: open.len(), open, failed: Vec::new() }
    }

    /// Takes the answer to one of several commands. Returns what to say of all, once one has failed.
    fn take(&mut self, line: &str, answer: &Answer) -> Option<StatusMessage> {
        let at = self.open.iter().position(|open| open == line).filter(|_| self.all > 1 && !is_in_flight(answer))?;
        let line = self.open.remove(at);
        if answer.error.is_some() {
            let command = line.split(" --reason ").next().unwrap_or_default();
            self.failed.push(format!("{command}: {}", answer.summary()));
        }
        let (first, rest) = self.failed.split_first()?;
        let done = self.all - self.open.len() - self.failed.len();
        let more = if rest.is_empty() { String::new() } else { format!(" (+{} more)", rest.len()) };
        Some(StatusMessage { text: format!("✗ {done} of {} done; {first}{more}", self.all), tone: Tone::Bad })
    }
}

/// Whether the command is neither executed nor refused yet.
fn is_in_flight(answer: &Answer) -> bool {
    answer.error.as_ref().is_some_and(|error| error.code == "E_IN_FLIGHT")
}

/// With a note that it is about the present while the past is on screen: `✓ Ada leaves on the next tick · tick 3,403 · cmd 0192…7c · logs/console/run-1-0001.jsonl:4`.
fn status(answer: &Answer, is_past: bool) -> StatusMessage {
    let (sign, tone) = match answer.error {
        Some(_) if is_in_flight(answer) => ("…", Tone::Plain),
        Some(_) => ("✗", Tone::Bad),
        None => ("✓", Tone::Good),
    };
    let mut text = format!("{sign} {}", answer.summary());
    if is_past && answer.error.is_none() {
        text.push_str(" · of the present");
    }
    if answer.replayed {
        text.push_str(" (already executed)");
    }
    if let Some(tick) = answer.shard_tick() {
        let _ = write!(text, " · tick {}", thousands(tick));
    }
    let _ = write!(text, " · {}", short_cmd_id(&answer.cmd_id));
    if !answer.audit.is_empty() {
        let _ = write!(text, " · logged {}", answer.audit);
    }
    StatusMessage { text, tone }
}
