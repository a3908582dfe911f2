//! Checkpoints round-trip, and every damage is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use townlet_learn::checkpoint::{Checkpoint, CheckpointError, Meta, Registry};
use townlet_learn::network::Weights;
use townlet_learn::{Choice, NetworkPolicy};
use townlet_town::Town;

use super::{rules, trainer};

/// A registry with one checkpoint of a short training.
fn registry(folder: &Path) -> (Registry, String) {
    let registry = Registry::new(folder);
    let mut trainer = trainer(&rules(&[]), 1);
    trainer.advance().expect("it does not diverge");
    let id = trainer.save(&registry, "run").expect("it is written");
    (registry, id)
}

#[test]
fn a_checkpoint_round_trips_and_drives_a_town() {
    let folder = tempfile::tempdir().expect("a folder");
    let (registry, id) = registry(folder.path());
    let mut trained = trainer(&rules(&[]), 1);
    trained.advance().expect("it does not diverge");
    let checkpoint = registry.load(&id).expect("it is whole");
    assert_eq!(registry.ids(), std::slice::from_ref(&id));
    assert_eq!(&checkpoint.weights, trained.learner().weights(), "the same training gives the same weights");
    assert_eq!((checkpoint.meta.updates, checkpoint.meta.steps), (1, trained.steps()));
    let rules = rules(&[]);
    for choice in [Choice::Greedy, Choice::Sampled] {
        let drive = || {
            let mut policy = NetworkPolicy::new(&checkpoint, &rules, choice).expect("it fits");
            let mut town = Town::new(Arc::clone(&rules), 5);
            (0..300).for_each(|_| town.step(&mut policy));
            for agent in &town.state().agents.present {
                let last_decision = policy.decisions().of(town.state(), *agent).expect("everyone has decided");
                let [first, second, third] = last_decision.top.map(|(_, probability)| probability);
                assert!(first >= second && second >= third && first + second + third <= 1.0001 && first > 0.0);
                assert!(last_decision.value.is_finite());
            }
            town.digest()
        };
        assert_eq!(drive(), drive(), "the same checkpoint, town and choice give the same options");
    }
}

#[test]
fn altered_bytes_and_truncated_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (registry, id) = registry(folder.path());
    for path in [registry.path(&id), registry.path(&id).with_extension("training")] {
        let whole = fs::read(&path).expect("it is there");
        let is_policy = path.extension().is_some_and(|ending| ending == "safetensors");
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("the file is writable");
            let error = if is_policy { registry.load(&id).err() } else { registry.training(&id).err() };
            let error = error.expect("it is refused").to_string();
            assert!(error.contains(&id), "{error}");
            error
        };
        let soak = crate::is_soak();
        let step = if soak { 1 } else { whole.len() / 97 + 1 };
        let places = (0..whole.len()).step_by(step).chain([0, 7, 8, 40, whole.len() - 1]);
        for place in places {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            refused(&bytes);
            let cut = refused(&whole[..place]);
            let words = ["truncated", "not a training state"];
            assert!(words.iter().any(|word| cut.contains(word)), "{place}: {cut}");
        }
        println!("{}: {} bytes, one in {step} altered, and one in {step} truncated", path.display(), whole.len());
        refused(&[whole.as_slice(), b"more"].concat());
        fs::write(&path, &whole).expect("the file is writable");
    }
    assert!(registry.load(&id).is_ok() && registry.training(&id).is_ok());
    assert!(matches!(registry.load("nothing"), Err(CheckpointError::Missing { .. })));
    assert!(matches!(registry.load("../nothing"), Err(CheckpointError::Missing { .. })), "ids are no paths");
}

#[test]
fn a_policy_for_another_layout_is_refused_and_for_another_town_said_to_be_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let (registry, id) = registry(folder.path());
    let checkpoint = registry.load(&id).expect("it is whole");
    let why = |flags: &[(&str, &str)]| checkpoint.fits(&rules(flags)).expect_err("it does not fit").to_string();
    assert!(checkpoint.fits(&rules(&[])).is_ok());
    let elsewhere = rules(&[("config_id", "elsewhere")]);
    assert_eq!((checkpoint.fits(&elsewhere).is_ok(), checkpoint.reason_outside(&elsewhere)), (true, None));
    let larger = rules(&[("world.population", "33")]);
    let reason = checkpoint.reason_outside(&larger).expect("more residents than in the training");
    assert!(reason.starts_with("33 residents; trained on ") && checkpoint.fits(&larger).is_ok(), "{reason}");
    assert!(why(&[("features.systems.observations", "hybrid")]).contains("observations"));
    let altered = |edit: fn(&mut Meta)| {
        let mut meta = checkpoint.meta.clone();
        edit(&mut meta);
        let (id, bytes) = Checkpoint::encode(&meta, &checkpoint.weights, &checkpoint.normalizer);
        registry.store(&id, &bytes).expect("it is written");
        registry.load(&id)
    };
    let unknown = altered(|meta| meta.towns = None).expect("it is whole").reason_outside(&elsewhere);
    assert_eq!(unknown.as_deref(), Some("config_id `elsewhere`; trained on `town-v1`"));
    let layout = altered(|meta| meta.layout_hash = "0".repeat(32)).expect("it is whole");
    assert!(layout.fits(&rules(&[])).expect_err("another layout").to_string().contains("the observation layout"));
    let unknown = layout.layout().err().expect("no layout of this build").to_string();
    assert!(unknown.contains("`compact 0000") && unknown.contains("hybrid"), "{unknown}");
    assert_eq!(checkpoint.layout().expect("its own").name, "compact");
    let options = altered(|meta| meta.options.swap(1, 2)).expect("it is whole");
    assert!(options.fits(&rules(&[])).expect_err("another order").to_string().contains("the options"));
    let hidden = altered(|meta| meta.hidden = [16, 17]).expect_err("another network").to_string();
    assert!(hidden.contains("fc2.weight"), "{hidden}");
    let format = altered(|meta| meta.format = "other".into()).expect_err("another format").to_string();
    assert!(format.contains("the format"), "{format}");
}

#[test]
fn values_that_are_not_finite_are_refused_by_tensor() {
    let folder = tempfile::tempdir().expect("a folder");
    let (registry, id) = registry(folder.path());
    let checkpoint = registry.load(&id).expect("it is whole");
    for column in 0..checkpoint.weights.tensors.len() {
        let mut weights: Weights = checkpoint.weights.clone();
        weights.tensors[column].values[0] = f32::NAN;
        let (id, bytes) = Checkpoint::encode(&checkpoint.meta, &weights, &checkpoint.normalizer);
        registry.store(&id, &bytes).expect("it is written");
        let error = registry.load(&id).expect_err("it is refused").to_string();
        assert!(error.contains("NaN") && error.contains(&weights.tensors[column].name), "{error}");
    }
}
