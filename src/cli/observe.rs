//! `townlet observe`: the terminal interface on remote shards. Quitting detaches; the towns keep running.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::connect::ConnectArgs;
use super::run::{ScreenArgs, screen_options};
use super::{output, user_config};
use townlet_source::Remote;
use townlet_source::remote::KnownShards;
use townlet_tui::theme::Theme;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    screen: ScreenArgs,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let user = user_config::load()?;
    let targets = args.connect.targets(&user)?;
    let options = screen_options(&args.screen, &user)?;
    let known = townlet_tui::files::known_shards_file().map(KnownShards::at);
    let mut sources = Vec::new();
    for target in targets {
        let colour = target.colour.as_deref().map(|name| {
            Theme::label_style(name, options.settings.theme.has_colour()).with_context(|| {
                format!("shards: unknown colour `{name}`. Colours: {}.", Theme::LABEL_COLOURS.join(", "))
            })
        });
        sources.push(
            townlet_tui::WatchedSource::new(Remote::new(target.client).remembering(known.clone()))
                .labelled(target.name, colour.transpose()?),
        );
    }
    output::require_terminal("use `townlet telemetry tail` or `townlet console` without one.")?;
    let session = townlet_tui::TerminalSession::open(options);
    let last = session.and_then(|session| session.run(sources)).context("the terminal failed")?;
    output::notice(&last);
    Ok(ExitCode::SUCCESS)
}
