//! The checks of `townlet security check`. To add one, add a row to [`CHECKS`].

use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::Severity::{Bad, Ok as Fine, Warning};
use super::{CheckContext, Finding, folders};
use crate::cli::{exposure, output};
use townlet_files::Readers;
use townlet_shard::tokens::{StoredToken, TokenStore};

/// A check: the findings, one a line.
type Check = fn(&CheckContext) -> Vec<Finding>;

/// All checks, in the order of the page.
pub(super) static CHECKS: [Check; 9] =
    [folders::home, folders::files, token_store, tokens, keys, seals, tls, exposed, disk_space];

/// Maximum size of a token store, in bytes.
const MAX_STORE_BYTES: u64 = 1024 * 1024;
/// A token that is older should have been rotated.
const OLD_TOKEN: SignedDuration = SignedDuration::from_hours(365 * 24);
/// A certificate that expires within this time should be renewed.
const CERTIFICATE_WARNING: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Free disk space below which the page warns, and below which the audit log may soon refuse commands.
const LOW_BYTES: u64 = 2 << 30;
const TOO_FEW_BYTES: u64 = 64 << 20;

/// The finding about a file with a secret that other users can read, change or replace.
fn exposed_secret(check: &'static str, path: &Path, readers: Readers) -> Option<Finding> {
    let found = std::fs::symlink_metadata(path).ok()?;
    if found.is_symlink() && readers == Readers::Owner {
        let seen = "it is a symbolic link, and is refused.";
        return Some(
            Finding::new(Bad, check, path.display().to_string(), seen).with_advice("Put the file itself there."),
        );
    }
    let real = path.canonicalize().ok()?;
    let why = townlet_files::exposure(&real, &real.metadata().ok()?, readers)?;
    Some(Finding::new(Bad, check, path.display().to_string(), format!("{why}.")))
}

fn read_store(context: &CheckContext) -> Option<Result<TokenStore, String>> {
    match output::read_text(&context.tokens, MAX_STORE_BYTES) {
        Ok(text) => Some(
            TokenStore::parse(&text).map_err(|why| format!("it is damaged at line {}", why.trim_start_matches(':'))),
        ),
        Err(_) if context.tokens.symlink_metadata().is_err() => None,
        Err(why) => Some(Err(why.to_string())),
    }
}

fn token_store(context: &CheckContext) -> Vec<Finding> {
    let place = context.tokens.display().to_string();
    let exposed = exposed_secret("token store", &context.tokens, Readers::Owner);
    let damaged = match read_store(context) {
        None => return vec![Finding::new(Fine, "token store", place, "there is none")],
        Some(read) => read.err().map(|why| {
            let to_do = "Restore it from a copy, or remove it and create new tokens.";
            Finding::new(Bad, "token store", place, format!("{why}.")).with_advice(to_do)
        }),
    };
    let findings: Vec<Finding> = exposed.into_iter().chain(damaged).collect();
    if findings.is_empty() {
        return vec![Finding::new(
            Fine,
            "token store",
            context.tokens.display().to_string(),
            "only you can read and change it",
        )];
    }
    findings
}

fn tokens(context: &CheckContext) -> Vec<Finding> {
    let Some(Ok(store)) = read_store(context) else { return Vec::new() };
    let now = context.now;
    let names = |fits: &dyn Fn(&StoredToken) -> bool| -> Vec<String> {
        let fitting = store.stored().iter().filter(|token| fits(token));
        fitting.map(|token| format!("{} ({}, {})", token.name, token.role.word(), token.id)).collect()
    };
    let is_old = |token: &StoredToken| {
        let created = token.created.parse::<jiff::Timestamp>().ok();
        !token.is_expired(now) && created.is_some_and(|created| now.duration_since(created) > OLD_TOKEN)
    };
    let mut findings = Vec::new();
    let mut warn = |names: Vec<String>, seen: &str, to_do: &str| {
        if !names.is_empty() {
            let seen = format!("{}: {seen}", names.join(", "));
            findings.push(Finding::new(Warning, "tokens", "", seen).with_advice(to_do));
        }
    };
    let expiring: Vec<String> = store.expiring(now).map(|token| token.id.clone()).collect();
    warn(names(&|token| expiring.contains(&token.id)), "within 7 days of the end.", "Run `townlet token rotate NAME`.");
    warn(names(&|token| token.is_expired(now)), "expired.", "Run `townlet token revoke ID`.");
    let endless = |token: &StoredToken| token.expires.is_none();
    warn(names(&endless), "without expiry.", "Run `townlet token rotate NAME --expires 90d --overlap 1h`.");
    warn(names(&is_old), "more than a year old.", "Run `townlet token rotate NAME --overlap 1h`.");
    let live = store.stored().iter().filter(|token| !token.is_expired(now)).count();
    findings.insert(0, Finding::new(Fine, "tokens", "", format!("{live} valid of {}", store.stored().len())));
    findings
}

/// Keys that the shard keeps in its home: files in `ops` whose extension ends so.
fn keys(context: &CheckContext) -> Vec<Finding> {
    let entries = std::fs::read_dir(context.home.folder().join("ops")).into_iter().flatten();
    let is_key =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension.to_string_lossy().ends_with("key"));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_key).collect();
    paths.sort();
    let finding = |path: PathBuf| {
        let fine = || Finding::new(Fine, "keys", path.display().to_string(), "only you can read and change it");
        exposed_secret("keys", &path, Readers::Owner).unwrap_or_else(fine)
    };
    paths.into_iter().map(finding).collect()
}

/// Whether the audit log is sealed. The key itself is one of [`keys`].
fn seals(context: &CheckContext) -> Vec<Finding> {
    let key = context.home.seal_key();
    let place = key.display().to_string();
    vec![match townlet_audit::seal_status(&key) {
        Ok(Some(status)) => {
            let seen = format!("the audit log is sealed with the key {}: {} seals", status.key_id, status.seals);
            Finding::new(Fine, "seals", place, seen)
        }
        Ok(None) => {
            let seen = "the audit log is not sealed: a user who can write to the home can rewrite it unnoticed.";
            let to_do = "Run `townlet audit seal setup`, and keep the verification key off this machine.";
            Finding::new(Warning, "seals", place, seen).with_advice(to_do)
        }
        // The error begins with the place.
        Err(why) => {
            let to_do = "Mend the file, or make a new key with `townlet audit seal setup --replace`.";
            Finding::new(Bad, "seals", "", format!("{why}.")).with_advice(to_do)
        }
    }]
}

fn tls(context: &CheckContext) -> Vec<Finding> {
    let Some((cert, key)) = &context.tls else {
        if context.listen.ip().is_loopback() {
            return vec![Finding::new(
                Fine,
                "TLS",
                context.listen.to_string(),
                "not needed on an address of this machine",
            )];
        }
        let seen = "plain HTTP beyond this machine: `serve` refuses it, because tokens could be read on the way.";
        return vec![
            Finding::new(Bad, "TLS", context.listen.to_string(), seen)
                .with_advice("Pass `--tls-cert` and `--tls-key`."),
        ];
    };
    let mut findings: Vec<Finding> = exposed_secret("TLS", key, Readers::GroupOfRoot).into_iter().collect();
    let place = cert.display().to_string();
    match townlet_server::check_certificate(cert, key) {
        Err(why) if findings.is_empty() => {
            let to_do = "Name a certificate chain and its private key, both in PEM.";
            findings.push(Finding::new(Bad, "TLS", place, why).with_advice(to_do));
        }
        Err(_) => {}
        Ok(None) => findings.push(Finding::new(Warning, "TLS", place, "the key fits; its expiry cannot be read")),
        Ok(Some(expiry)) => {
            let left = expiry.duration_since(context.now);
            let (severity, seen, to_do) = if !left.is_positive() {
                (Bad, format!("the certificate expired at {expiry}."), "Renew it; it is read again when it changes.")
            } else if left < CERTIFICATE_WARNING {
                (
                    Warning,
                    format!("the certificate expires at {expiry}."),
                    "Renew it; it is read again when it changes.",
                )
            } else {
                (Fine, format!("the key fits; the certificate is valid until {expiry}"), "")
            };
            findings.push(Finding::new(severity, "TLS", place, seen).with_advice(to_do));
        }
    }
    findings
}

fn exposed(context: &CheckContext) -> Vec<Finding> {
    let full = exposure::anonymous(context.listen, &context.config) == townlet_server::AnonymousReading::Full;
    let seen = exposure::sentence(context.listen, &context.config);
    if full && !context.listen.ip().is_loopback() {
        let to_do = "Set console_auth.anonymous to auto or status, if strangers are not meant to read the town.";
        return vec![Finding::new(Warning, "exposure", context.listen.to_string(), seen).with_advice(to_do)];
    }
    vec![Finding::new(Fine, "exposure", context.listen.to_string(), seen)]
}

fn disk_space(context: &CheckContext) -> Vec<Finding> {
    let folder = context.home.folder();
    let Some(free) = townlet_files::free_bytes(folder) else { return Vec::new() };
    let seen = format!("{} free", output::bytes(free));
    let finding = match free {
        0..TOO_FEW_BYTES => {
            let seen = format!("{seen}: commands are refused when the audit log cannot be written.");
            Finding::new(Bad, "disk", folder.display().to_string(), seen).with_advice("Free disk space.")
        }
        TOO_FEW_BYTES..LOW_BYTES => Finding::new(Warning, "disk", folder.display().to_string(), format!("{seen}."))
            .with_advice("Free disk space: bundles, logs and snapshots need 2 GiB."),
        _ => Finding::new(Fine, "disk", folder.display().to_string(), seen),
    };
    vec![finding]
}
