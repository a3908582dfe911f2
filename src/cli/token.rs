//! `townlet token`: creates, rotates, lists and revokes access tokens. Rule: "Roles and identity".
//!
//! A token is printed once and never read from the command line. `townlet_shard::tokens` generates and stores tokens.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde_json::json;
use townlet_town::config::Config;

use super::run::{ROLES, token_file};
use super::{one_of, output};
use townlet_shard::tokens::{StoredToken, TokenStore, check_name};
use townlet_wire::Role;
use townlet_wire::command_line::nearest;
use townlet_wire::escape;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Subcommand,
    /// Home folder of the shard, with the token store ops/tokens.json
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    home: PathBuf,
    /// Token store, if the configuration sets `console_auth.token_file`
    #[arg(long, global = true, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(clap::Subcommand, Debug)]
enum Subcommand {
    /// Create a token and print it once
    #[command(visible_alias = "new")]
    Create {
        /// Role: `admin` may change the town and the shard, `viewer` is read-only
        #[arg(long, value_parser = one_of(&ROLES))]
        role: Role,
        /// Name of its principal, such as `ada-laptop`, which the audit log shows as `token:ada-laptop` [default: the token's id]
        #[arg(long, value_parser = name)]
        name: Option<String>,
        /// Time after which it is refused: a duration such as `90d` or `12h`, or a time in RFC 3339 [default: never]
        #[arg(long, value_name = "TIME", value_parser = expiry)]
        expires: Option<Expiry>,
        /// Write the token to a new file that only its owner can read [default: print it]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Create a second token of the same principal; commands keep their issuer and their retries
    Rotate {
        /// Name from `token list`
        #[arg(value_parser = name)]
        name: String,
        /// Time after which the new token is refused, as in `token create` [default: as long as the token before lived]
        #[arg(long, value_name = "TIME", value_parser = expiry)]
        expires: Option<Expiry>,
        /// Time for which the token before stays valid, such as `1h` [default: until it is revoked]
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        overlap: Option<SignedDuration>,
        /// Write the token to a new file that only its owner can read [default: print it]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the tokens without their secrets
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revoke the tokens of a name, or one token
    Revoke {
        /// Name or id from `token list`; the id is the part between `twn_` and the secret
        #[arg(value_name = "NAME_OR_ID")]
        id: String,
    },
}

/// When a new token expires.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    After(SignedDuration),
    At(Timestamp),
}

impl Expiry {
    fn lifetime(self, now: Timestamp) -> SignedDuration {
        match self {
            Self::After(duration) => duration,
            Self::At(time) => time.duration_since(now),
        }
    }

    fn time(self, now: Timestamp) -> Result<Timestamp> {
        let time = now.checked_add(self.lifetime(now)).context("--expires: the time is too far away")?;
        ensure!(time > now, "--expires: the time is over already.");
        Ok(time)
    }
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// Parses a duration of weeks, days, hours, minutes and seconds. A day has 24 hours.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<Span>().ok();
    let found = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    found.filter(SignedDuration::is_positive).ok_or_else(|| "expected a duration, such as 90d, 12h or 30m".to_owned())
}

fn expiry(text: &str) -> Result<Expiry, String> {
    let time = text.parse::<Timestamp>().ok().map(Expiry::At);
    time.or_else(|| duration(text).ok().map(Expiry::After))
        .ok_or_else(|| "expected a duration, such as 90d, or a time, such as 2027-01-31T00:00:00Z".to_owned())
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        _ if args.file.is_some() => {}
        command => output::require_usable_home(&args.home, !matches!(command, Subcommand::Create { .. }))?,
    }
    let file = args.file.clone().unwrap_or_else(|| token_file(&args.home, &Config::default()));
    if std::fs::symlink_metadata(&file).is_ok_and(|found| !found.is_file()) {
        bail!("{}: not a regular file; nothing was changed. Name a regular file or a new file.", file.display());
    }
    let now = Timestamp::now();
    match &args.command {
        Subcommand::Create { role, name, expires, out } => {
            let expires = expires.map(|expiry| expiry.time(now)).transpose()?;
            issue(&file, out.as_deref(), |tokens| match name {
                Some(name) => tokens.create_named(name, *role, expires),
                None => tokens.create_unnamed(*role, expires),
            })?;
        }
        Subcommand::Rotate { name, expires, overlap, out } => {
            let lifetime = expires.map(|expiry| expiry.time(now).map(|time| time.duration_since(now))).transpose()?;
            issue(&file, out.as_deref(), |tokens| tokens.rotate(name, now, lifetime, *overlap))?;
            let before = if overlap.is_some() {
                "The token before stays valid for the overlap."
            } else {
                "The token before stays valid until `townlet token revoke ID`; `token list` has its id."
            };
            output::stderr!("{before}");
        }
        Subcommand::List { json } => list(&file, *json, now)?,
        Subcommand::Revoke { id } => revoke(&file, id)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn load(file: &Path) -> Result<TokenStore> {
    TokenStore::load(file).map_err(|why| anyhow!(why))
}

/// Edits the store under a lock, so that concurrent edits are not lost.
fn change<T>(file: &Path, edit: impl FnOnce(&mut TokenStore) -> Result<T>) -> Result<T> {
    let lock = file.with_extension("lock");
    townlet_files::create_folder_of(file).with_context(|| file.display().to_string())?;
    let held = townlet_files::open_own(&lock, OpenOptions::new().write(true).create(true).truncate(false));
    let held = held.with_context(|| lock.display().to_string())?;
    held.lock().with_context(|| lock.display().to_string())?;
    let mut tokens = load(file)?;
    let done = edit(&mut tokens)?;
    tokens.save(file).map_err(|why| anyhow!(why))?;
    // A folder that others can write is found before the token is of any use.
    load(file)?;
    Ok(done)
}

/// Makes a token and writes it once: to the new file `out`, or to standard output.
fn issue(file: &Path, out: Option<&Path>, make: impl FnOnce(&mut TokenStore) -> Result<String, String>) -> Result<()> {
    if let Some(out) = out {
        output::require_new_file(out).context("--out")?;
    }
    let token = change(file, |tokens| make(tokens).map_err(|why| anyhow!(why)))?;
    let id = token.strip_prefix("twn_").and_then(|rest| rest.split('_').next()).unwrap_or_default();
    // A secret that nobody has seen is of no use and must not stay valid.
    let written = match out {
        Some(out) => townlet_files::write_private(out, format!("{token}\n").as_bytes())
            .with_context(|| output::OutputLost::file(out)),
        None => output::secret(&token),
    };
    if written.is_err() || (out.is_none() && output::stdout_closed()) {
        change(file, |tokens| Ok(tokens.revoke(id)))?;
        output::stderr!("townlet: the token could not be shown, so it was revoked.");
        return written;
    }
    let tokens = load(file)?;
    let Some(stored) = tokens.stored().iter().find(|stored| stored.id == id) else { return Ok(()) };
    let expires =
        stored.expires.as_ref().map_or_else(|| "it does not expire".to_owned(), |time| format!("it expires at {time}"));
    output::stderr!(
        "New {} token of `{}`, id {id}; {expires}; it is {}. Its hash is stored in {}.",
        stored.role.word(),
        stored.name,
        out.map_or_else(|| "not shown again".to_owned(), |out| format!("in {}", out.display())),
        file.display()
    );
    Ok(())
}

fn list(file: &Path, json: bool, now: Timestamp) -> Result<()> {
    let tokens = load(file)?;
    if json {
        let row = |token: &StoredToken| {
            json!({
                "id": token.id, "name": token.name, "role": token.role, "created": token.created,
                "expires": token.expires, "expired": token.is_expired(now),
            })
        };
        return output::json(&tokens.stored().iter().map(row).collect());
    }
    if tokens.stored().is_empty() {
        return output::line(&format!("No tokens in {}. Create one with `townlet token create`.", file.display()));
    }
    let mut rows = vec![["name", "role", "id", "created", "expires", ""].map(String::from)];
    rows.extend(tokens.stored().iter().map(|token| {
        let expires = token.expires.clone().unwrap_or_else(|| "never".to_owned());
        let note = remaining(token, now);
        [token.name.clone(), token.role.word().into(), token.id.clone(), token.created.clone(), expires, note]
    }));
    output::print(&output::columns(&rows))?;
    for token in tokens.expiring(now) {
        output::stderr!(
            "warning: `{}` expires at {}. `townlet token rotate {0}` makes another token.",
            token.name,
            token.expires.as_deref().unwrap_or_default()
        );
    }
    Ok(())
}

/// `expired`, or the days that are left of the last ones.
fn remaining(token: &StoredToken, now: Timestamp) -> String {
    match token.expiry() {
        Some(expiry) if now >= expiry => "expired".to_owned(),
        Some(expiry) if token.expires_soon(now) => match expiry.duration_since(now).as_mins() {
            minutes @ 0..120 => format!("! in {minutes} min"),
            minutes @ 120..2_880 => format!("! in {} h", minutes / 60),
            minutes => format!("! in {} days", minutes / 1_440),
        },
        _ => String::new(),
    }
}

fn revoke(file: &Path, id: &str) -> Result<()> {
    // The argument may be a whole token by mistake. The secret must not appear in the message.
    let id = id.strip_prefix("twn_").map_or(id, |token| token.split('_').next().unwrap_or_default());
    let tokens = load(file)?;
    let revoked: Vec<&StoredToken> =
        tokens.stored().iter().filter(|token| token.id == id || token.name == id).collect();
    if revoked.is_empty() {
        let mut names: Vec<&str> =
            tokens.stored().iter().flat_map(|token| [token.name.as_str(), token.id.as_str()]).collect();
        names.dedup();
        let hint = match (nearest(id, names.iter().copied()), names.is_empty()) {
            (Some(near), _) => format!("Did you mean `{near}`?"),
            (None, true) => "The store contains no tokens.".into(),
            (None, false) => format!("Known names and ids: {}.", names.join(", ")),
        };
        bail!("unknown token `{}` in {}. {hint}", escape(id), file.display());
    }
    let ids: Vec<&str> = revoked.iter().map(|token| token.id.as_str()).collect();
    change(file, |tokens| Ok(tokens.revoke(id)))?;
    output::line(&format!(
        "Revoked {} of `{}`. A served shard refuses it within a second and ends its streams; a shard in a local terminal reads \
         the store at its next start.",
        ids.join(" and "),
        revoked[0].name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_are_durations_or_times_in_the_future() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("90d", "2027-02-25T12:00:00Z"),
            ("1w", "2026-12-04T12:00:00Z"),
            ("12h", "2026-11-28T00:00:00Z"),
            ("30m", "2026-11-27T12:30:00Z"),
            ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"),
            ("2027-01-31T01:00:00+01:00", "2027-01-31T00:00:00Z"),
        ] {
            assert_eq!(expiry(text).unwrap().time(now).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "90", "-1d", "0s", "soon", "2027-01-31", "1mo", "twn_ab12_00ffee11"] {
            assert!(expiry(text).unwrap_err().contains("expected a duration"), "{text}");
        }
        assert!(expiry("2026-01-01T00:00:00Z").unwrap().time(now).unwrap_err().to_string().contains("over already"));
        assert!(
            expiry("99999999d").is_err_and(|why| why.contains("expected"))
                || expiry("99999999d").unwrap().time(now).is_err()
        );
    }
}
