//! `townlet observe`: the whole interface on shards somewhere else. Quitting detaches; the towns go on.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::connect::ConnectArgs;
use super::run::{ScreenArgs, screen_options};
use super::{plain, settings};
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
    let settings = settings::load()?;
    let places = args.connect.places(&settings)?;
    let options = screen_options(&args.screen, &settings)?;
    let mut seats = Vec::new();
    for place in places {
        let colour = place.colour.as_deref().map(|name| {
            Theme::badge(name, options.theme.has_colour()).with_context(|| {
                format!("shards: there is no colour `{name}`; there are {}.", Theme::BADGES.join(", "))
            })
        });
        seats.push(townlet_tui::Seat::new(Remote::new(place.client)).called(place.name, colour.transpose()?));
    }
    plain::needs_terminal("`townlet telemetry tail` and `townlet console` do without.")?;
    let last = townlet_tui::run(seats, options).context("the terminal failed")?;
    plain::line(&last)?;
    Ok(ExitCode::SUCCESS)
}
