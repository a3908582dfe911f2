//! Threads that work beside a town let its own go first.

/// Lowers the priority of this thread, and of those that it starts from now on.
pub(super) fn lower() {
    #[cfg(target_os = "linux")]
    // Failure is harmless.
    let _ = rustix::process::nice(NICENESS);
}

/// Added to the thread's niceness.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
