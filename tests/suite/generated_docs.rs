//! Pages of `docs/` that are generated from tables are up to date. `UPDATE_DOCS=1 cargo test --test suite generated_docs` writes
//! them again.

use std::path::Path;

use townlet::cli::reference_docs;
use townlet_shard::specs;

fn holds(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).expect("docs/ can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/{name} is not what the table makes; run UPDATE_DOCS=1 cargo test --test suite generated_docs"
    );
}

#[test]
fn commands_page_matches_the_table() {
    let page = reference_docs::commands(&specs());
    for spec in specs() {
        assert!(page.contains(&format!("| `{}", spec.name)), "{} is in no group", spec.name);
    }
    holds("COMMANDS.md", &page);
}

#[test]
fn keys_page_matches_the_table() {
    let page = reference_docs::keys();
    for row in townlet_tui::keymap::ACTIONS {
        assert!(page.contains(&format!("| `{}` |", row.name)), "{} is in no group", row.name);
    }
    holds("KEYS.md", &page);
}
