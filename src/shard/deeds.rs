//! What the shard does to itself when a command asks: pace, a snapshot, what leaves it and how much is told, a session's role.
//!
//! Whether it may be asked was decided at the desk (`dispatch`).

use super::engine::Engine;
use super::publish::Mode;
use super::table::Deed;
use crate::wire::Role;

impl Engine {
    /// Does what a row made for the shard itself, and says so.
    pub(super) fn do_deed(&mut self, session: u64, deed: Deed) -> String {
        self.dirty = true;
        match deed {
            Deed::Speed(speed) => {
                (self.speed, self.paused) = (speed, false);
                self.next_tick_now();
                self.refresh();
                format!("the town runs at {}.", self.around.speed)
            }
            Deed::Pause => {
                self.paused = true;
                format!("paused at tick {}.", self.town.tick())
            }
            Deed::Resume => {
                self.paused = false;
                self.next_tick_now();
                self.refresh();
                format!("the town runs at {}.", self.around.speed)
            }
            Deed::Step(ticks) => {
                self.paused = true;
                self.steps_left = ticks;
                self.next_tick_now();
                format!("{ticks} tick{} from {}.", if ticks == 1 { "" } else { "s" }, self.town.tick())
            }
            Deed::SaveSnapshot => {
                self.save();
                format!("snapshot {} is being written.", super::disk::snapshot_name(self.town.tick()))
            }
            Deed::Narration(on, limit) => {
                if let Some(on) = on {
                    self.around.story.narration(on);
                }
                if let Some(limit) = limit {
                    self.around.story.limit(limit);
                }
                match (on, limit) {
                    (_, Some(limit)) => format!("at most {limit} sentences a window; what is urgent always passes."),
                    (on, None) => format!("narration is {}.", if on == Some(true) { "on" } else { "off" }),
                }
            }
            Deed::Privacy(on) => {
                self.around.names.hide(on);
                self.rename();
                let outside = if on { "leave as keyed hashes" } else { "leave as they are" };
                format!("names and ids of residents {outside}; the audit log stays plain.")
            }
            Deed::TelemetryMode(mode) => {
                self.publisher.set_mode(mode);
                match mode {
                    Mode::Auto => "telemetry is merged while too many messages wait, and only then.",
                    Mode::Full => "telemetry goes out message by message, whatever waits.",
                    Mode::Aggregate => "telemetry is merged from now on; the raw stream goes to logs/telemetry.",
                }
                .into()
            }
            Deed::Role(role) => self.become_role(session, role),
            Deed::Release(_) => unreachable!("it is carried out in steps, not at once"),
        }
    }

    fn become_role(&mut self, session: u64, role: Role) -> String {
        self.desk.change_role(session, role);
        format!("you are {} now.", role.word())
    }
}
