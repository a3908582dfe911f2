//! Which keyframes of a run are kept: many of the newest days, few before, and never more bytes than allowed. Pure functions.
//! Rule: "Keyframes".

/// A keyframe's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyframeFile {
    /// Its tick.
    pub tick: u64,
    /// Its size.
    pub bytes: u64,
}

/// How many keyframes are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Density {
    /// Least ticks between two of the newest.
    pub every: u64,
    /// The newest ticks, in which one is kept of `every` ticks.
    pub dense: u64,
    /// Before those, one is kept of so many ticks.
    pub sparse: u64,
    /// Largest size of all in bytes.
    pub max_bytes: u64,
}

impl Density {
    /// Whether a keyframe begins its interval, when intervals have 2^`doublings` times their length. Intervals of a length are
    /// nested in those of twice the length, so that thinning in several steps keeps what thinning at once keeps.
    fn interval(&self, tick: u64, now: u64, doublings: u32) -> (u64, u64) {
        let length = if now - tick < self.dense { self.every } else { self.sparse };
        let length = length.max(1).saturating_mul(1 << doublings.min(63));
        (length, tick / length)
    }

    /// The keyframes to keep when intervals have 2^`doublings` times their length: the first of each interval, and the newest.
    fn kept(&self, files: &[KeyframeFile], now: u64, doublings: u32) -> Vec<KeyframeFile> {
        let past = &files[..files.partition_point(|file| file.tick <= now)];
        let mut last = None;
        let first_of_interval = |(place, file): (usize, &KeyframeFile)| {
            let interval = Some(self.interval(file.tick, now, doublings));
            (std::mem::replace(&mut last, interval) != interval || place + 1 == past.len()).then_some(*file)
        };
        past.iter().enumerate().filter_map(first_of_interval).collect()
    }
}

/// The keyframes to keep at tick `now`, of those there are, oldest first. Such of later ticks are of a past that a crash took back.
/// While the rest takes more than allowed, all intervals are doubled. The newest is kept whatever it takes.
pub(super) fn keep(files: &[KeyframeFile], now: u64, density: &Density) -> Vec<KeyframeFile> {
    let mut kept = Vec::new();
    for doublings in 0..64 {
        kept = density.kept(files, now, doublings);
        if bytes(&kept) <= density.max_bytes {
            return kept;
        }
    }
    // Even one of the dense and one of the sparse part are too many.
    kept.drain(..kept.len().saturating_sub(1));
    kept
}

pub(super) fn bytes(files: &[KeyframeFile]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FREE: Density = Density { every: 100, dense: 5_000, sparse: 1_000, max_bytes: u64::MAX };

    /// Keyframes as a town writes them: at least `every` ticks apart, thinned after each. Returns all that were written, and those
    /// that are left.
    fn lived(steps: &[(u64, u64)], density: &Density) -> (Vec<KeyframeFile>, Vec<KeyframeFile>) {
        let (mut tick, mut written, mut kept) = (0, Vec::new(), Vec::new());
        for (more, bytes) in steps {
            tick += density.every + more;
            let file = KeyframeFile { tick, bytes: *bytes };
            written.push(file);
            kept.push(file);
            kept = keep(&kept, tick, density);
            assert!(bytes_of(&kept) <= density.max_bytes || kept.len() == 1);
            assert_eq!(kept.last(), Some(&file), "the newest stays");
        }
        (written, kept)
    }

    fn bytes_of(files: &[KeyframeFile]) -> u64 {
        bytes(files)
    }

    /// The largest distance from a tick back to the keyframe before it, over the ticks from the first written one to `now`.
    fn gaps(kept: &[KeyframeFile], now: u64) -> Vec<(u64, u64)> {
        let ends = kept.iter().skip(1).map(|file| file.tick).chain([now]);
        kept.iter().zip(ends).map(|(file, end)| (end, end - file.tick)).collect()
    }

    fn steps() -> impl Strategy<Value = Vec<(u64, u64)>> {
        proptest::collection::vec((0..300_u64, 1..2_000_u64), 1..300)
    }

    proptest! {
        #[test]
        fn without_need_for_room_the_density_is_as_configured(steps in steps()) {
            let (written, kept) = lived(&steps, &FREE);
            let now = written.last().unwrap().tick;
            let widest = FREE.every + steps.iter().map(|(more, _)| more).max().unwrap();
            for (end, gap) in gaps(&kept, now) {
                let most = if now - end < FREE.dense - widest.min(FREE.dense) { widest } else { FREE.sparse + widest };
                prop_assert!(gap <= most, "{gap} ticks before tick {end} of {now}; at most {most}");
            }
            prop_assert_eq!(kept.first(), written.first(), "nothing is lost at the beginning");
        }

        #[test]
        fn old_keyframes_are_few(steps in steps()) {
            let (written, kept) = lived(&steps, &FREE);
            let now = written.last().unwrap().tick;
            let old = kept.iter().filter(|file| now - file.tick >= FREE.dense).count() as u64;
            prop_assert!(old <= now / FREE.sparse + 1, "{old} of {now} ticks");
        }

        #[test]
        fn the_bound_is_kept_and_used(steps in steps(), max_bytes in 4_000..40_000_u64) {
            let density = Density { max_bytes, ..FREE };
            let (written, kept) = lived(&steps, &density);
            prop_assert!(bytes(&kept) <= max_bytes);
            let free = lived(&steps, &FREE).1;
            // A doubling leaves about half of the keyframes; their sizes differ by more than that.
            let fewest = free.len().min(max_bytes as usize / 2_000) / 8;
            prop_assert!(kept.len() >= fewest, "{} are left of {}, of {}", kept.len(), free.len(), written.len());
        }

        #[test]
        fn thinning_again_changes_nothing(steps in steps(), max_bytes in 4_000..40_000_u64) {
            let density = Density { max_bytes, ..FREE };
            let (written, kept) = lived(&steps, &density);
            let now = written.last().unwrap().tick;
            prop_assert_eq!(keep(&kept, now, &density), kept);
        }
    }

    #[test]
    fn keyframes_after_the_present_go_and_the_newest_stays() {
        let file = |tick| KeyframeFile { tick, bytes: 10 };
        let files = [file(100), file(200), file(300)];
        assert_eq!(keep(&files, 200, &FREE), files[..2]);
        assert_eq!(keep(&files, 300, &Density { max_bytes: 5, ..FREE }), files[2..]);
        assert_eq!(keep(&[], 300, &FREE), []);
        // Whatever is configured, nothing overflows.
        let extreme = Density { every: u64::MAX, dense: 0, sparse: u64::MAX, max_bytes: 0 };
        assert_eq!(keep(&files, u64::MAX, &extreme), files[2..]);
        assert_eq!(keep(&files, 300, &Density { every: 0, sparse: 0, ..FREE }), files);
    }
}
