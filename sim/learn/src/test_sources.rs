//! The default town for unit tests.

use townlet_town::Sources;
use townlet_town::config::{Layers, load};

/// The sources of the default town with some settings changed.
pub(crate) fn default_town(settings: &[(&str, &str)]) -> Sources {
    let flags = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let config = load(&Layers { flags, ..Layers::default() }).expect("valid settings").config;
    let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    Sources {
        config,
        plan: text("default.txt", include_str!("../../../configs/towns/default.txt")),
        affordances: text("affordances.yaml", include_str!("../../../configs/affordances.yaml")),
        perturbations: text("default.yaml", include_str!("../../../configs/perturbations/default.yaml")),
    }
}
