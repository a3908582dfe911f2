//! Settings that the operator can change inside the interface and keep in the user's configuration.

use std::path::PathBuf;

use super::notification::Notifications;
use super::pane::ReasonPrompt;
use super::theme::Theme;
use super::wall_clock::Clock;

/// Writes a change of settings to the user's configuration. The result is the file, or why it cannot be written.
pub type SaveSettings = fn(&ChangedSettings) -> Result<PathBuf, String>;

/// What the settings window changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Colours and signs; without colour when `NO_COLOR` is set.
    pub theme: Theme,
    /// Whether the mouse is captured. When false, the terminal's own selection works.
    pub mouse: bool,
    /// When the reason of a command is asked for.
    pub reason: ReasonPrompt,
    /// What is notified outside the screen.
    pub notifications: Notifications,
    /// Zone of the times on screen.
    pub clock: Clock,
}

/// Settings before and after a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangedSettings {
    /// Before.
    pub before: Settings,
    /// After.
    pub after: Settings,
}

impl Settings {
    /// The defaults, with this theme.
    pub fn with_theme(theme: Theme) -> Self {
        Self {
            theme,
            mouse: true,
            reason: ReasonPrompt::default(),
            notifications: Notifications::default(),
            clock: Clock::default(),
        }
    }
}
