//! The panic hook: records every panic of a shard's threads, with a backtrace, in the shard's diagnostics.
//!
//! There is one hook per process; it calls the previous hook first. `watchdog` handles recorded panics. Rule: "Incidents".

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use super::diagnostics::Diagnostics;
use crate::process_output::note_panic;

thread_local! {
    static OURS: RefCell<Option<Weak<Diagnostics>>> = const { RefCell::new(None) };
}

/// Diagnostics of the shards in this process. Static, because a panic hook has no context.
static BOARDS: Mutex<Vec<Weak<Diagnostics>>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

const FRAMES: usize = 200;

/// Records panics of the shard's threads from now on; of unregistered threads too while there is only one shard.
pub(super) fn watch(diagnostics: &Arc<Diagnostics>) {
    let mut boards = BOARDS.lock().unwrap_or_else(PoisonError::into_inner);
    boards.retain(|diagnostics| diagnostics.strong_count() > 0);
    boards.push(Arc::downgrade(diagnostics));
    drop(boards);
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            note_panic(&info.to_string());
            record(info);
        }));
    });
}

/// Assigns this thread to a shard.
pub(crate) fn register_thread(diagnostics: &Arc<Diagnostics>) {
    OURS.with_borrow_mut(|ours| *ours = Some(Arc::downgrade(diagnostics)));
}

/// Ignores panics of this thread, because it makes bundles and another bundle would not help.
pub(super) fn ignore_thread_panics() {
    OURS.with_borrow_mut(|ours| *ours = Some(Weak::new()));
}

fn record(info: &PanicHookInfo<'_>) {
    let Some(diagnostics) = diagnostics() else { return };
    let thread = std::thread::current();
    let backtrace = Backtrace::force_capture().to_string();
    let backtrace = backtrace.lines().take(FRAMES).collect::<Vec<_>>().join("\n");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let message = panic_message(info.payload()).to_owned();
    diagnostics.panicked(diagnostics.fault(thread.name().unwrap_or("unnamed"), message, location, backtrace));
}

/// The diagnostics of this thread's shard, or of the only shard.
fn diagnostics() -> Option<Arc<Diagnostics>> {
    if let Some(ours) = OURS.with_borrow(Clone::clone) {
        return ours.upgrade();
    }
    let boards = BOARDS.try_lock().ok()?;
    let mut living = boards.iter().filter_map(Weak::upgrade);
    let only = living.next()?;
    living.next().is_none().then_some(only)
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
