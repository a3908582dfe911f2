//! `townlet observe`: the whole interface on shards somewhere else. Quitting detaches; the towns go on.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::connect::ConnectArgs;
use super::run::{ScreenArgs, screen_options};
use super::{output, user_config};
use townlet_source::Remote;
use townlet_tui::theme::Theme;

/// `townlet observe`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    screen: ScreenArgs,
}

/// Watches until the operator leaves.
///
/// # Errors
/// Bad input, before anything is drawn.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let settings = user_config::load()?;
    let places = args.connect.places(&settings)?;
    let options = screen_options(&args.screen, &settings)?;
    let mut sources = Vec::new();
    for place in places {
        let colour = place.colour.as_deref().map(|name| {
            Theme::label_style(name, options.theme.has_colour()).with_context(|| {
                format!("shards: there is no colour `{name}`; there are {}.", Theme::LABEL_COLOURS.join(", "))
            })
        });
        sources
            .push(townlet_tui::WatchedSource::new(Remote::new(place.client)).labelled(place.name, colour.transpose()?));
    }
    output::needs_terminal("`townlet telemetry tail` and `townlet console` do without.")?;
    let last = townlet_tui::run(sources, options).context("the terminal failed")?;
    output::line(&last)?;
    Ok(ExitCode::SUCCESS)
}
