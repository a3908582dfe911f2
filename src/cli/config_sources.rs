//! From files, environment and flags to the texts a town is made of. The shipped ones are inside the program.
//!
//! Owns where things are looked for. A name in a configuration is relative to the folder of configurations: the file's
//! own folder, one of the folders above it, or what is shipped.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use townlet_town::Sources;
use townlet_town::config::{ConfigErrors, ENVIRONMENT_PREFIX, Layers, Loaded, PerturbationFile, load as load_config};

use super::ConfigArgs;
use townlet_shard::{ConfigFiles, ConfigReloader};

/// Shipped files by the name a configuration uses.
const SHIPPED: [(&str, &str); 9] = [
    ("towns/default.txt", include_str!("../../configs/towns/default.txt")),
    ("towns/backlog.txt", include_str!("../../configs/towns/backlog.txt")),
    ("towns/crowded.txt", include_str!("../../configs/towns/crowded.txt")),
    ("towns/stress.txt", include_str!("../../configs/towns/stress.txt")),
    ("affordances.yaml", include_str!("../../configs/affordances.yaml")),
    ("perturbations/default.yaml", include_str!("../../configs/perturbations/default.yaml")),
    ("perturbations/none.yaml", include_str!("../../configs/perturbations/none.yaml")),
    ("perturbations/blackout.yaml", include_str!("../../configs/perturbations/blackout.yaml")),
    ("perturbations/price_spike.yaml", include_str!("../../configs/perturbations/price_spike.yaml")),
];

/// Most bytes read of one file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Folders above the configuration file in which a name is looked for.
const LEVELS: usize = 3;

/// What a shard is started from.
#[derive(Debug)]
pub(super) struct ConfigSources {
    /// The checked configuration with the origin of every value.
    pub(super) loaded: Loaded,
    /// What the town is made of.
    pub(super) sources: Sources,
    /// The files it came from; nothing when all is inside the program.
    files: Vec<String>,
    /// How all of it is read again.
    pub(super) reloader: Option<ConfigReloader>,
}

/// Reads and checks everything; nothing is written.
///
/// # Errors
/// Where, what, and what would be right.
pub(super) fn load(args: &ConfigArgs, flags: Vec<(String, String)>) -> anyhow::Result<ConfigSources> {
    let file = args.config.as_deref().map(read_file).transpose()?;
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            Err(_) if name.starts_with(ENVIRONMENT_PREFIX) => bail!("{name}: its value is not text in UTF-8."),
            Err(_) => {}
        }
    }
    let mut all = args.settings.clone();
    all.extend(flags.iter().cloned());
    let texts = assemble(&Layers { file, environment, flags: all }, args.config.as_deref())?;
    let args = args.clone();
    let reloader = ConfigReloader::new(move || reloader(&args, flags.clone()));
    Ok(ConfigSources { reloader: Some(reloader), ..texts })
}

/// The same once more; what is wrong is said in a line, as an answer has it.
fn reloader(args: &ConfigArgs, flags: Vec<(String, String)>) -> Result<ConfigFiles, String> {
    let one_line = |error: anyhow::Error| match error.downcast_ref::<ConfigErrors>() {
        Some(errors) => errors.one_line(),
        None => format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let ConfigSources { loaded, sources, files, .. } = load(args, flags).map_err(one_line)?;
    Ok(ConfigFiles { sources, files, warnings: loaded.warnings })
}

/// A configuration inside the program, whatever the surroundings say.
///
/// # Errors
/// What it names and is not shipped.
pub(super) fn shipped(name: &str, text: &str) -> anyhow::Result<ConfigSources> {
    assemble(&Layers { file: Some((name.into(), text.into())), ..Layers::default() }, None)
}

fn assemble(layers: &Layers, folder: Option<&Path>) -> anyhow::Result<ConfigSources> {
    let loaded = load_config(layers)?;
    let config = &loaded.config;
    let mut files: Vec<String> = folder.map(|path| path.display().to_string()).into_iter().collect();
    let mut found = |name: &str, key: &str| {
        let Found { text, on_disk } = find(folder, name, key)?;
        files.extend(on_disk.then(|| text.0.clone()));
        anyhow::Ok(text)
    };
    let plan = found(&config.world.plan, "world.plan")?;
    let affordances = found(&config.affordances.affordances_file, "affordances.affordances_file")?;
    let perturbations = found(&config.perturbations.file, "perturbations.file")?;
    PerturbationFile::parse(&perturbations.0, &perturbations.1)?;
    let sources = Sources { config: config.canonical(), plan, affordances, perturbations };
    Ok(ConfigSources { loaded, sources, files, reloader: None })
}

/// A text file, by its name, bounded.
///
/// # Errors
/// That it is not there, not text, or too long.
pub(super) fn read_file(path: &Path) -> anyhow::Result<(String, String)> {
    let name = path.display().to_string();
    let mut text = String::new();
    let read = townlet_files::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    let size = read.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow::anyhow!("{name}: there is no such file. Give the path of a YAML file."),
        std::io::ErrorKind::InvalidData => anyhow::anyhow!("{name}: it is not text in UTF-8."),
        _ => anyhow::anyhow!("{name}: {error}"),
    })?;
    if size as u64 > MAX_BYTES {
        bail!("{name}: it has more than {MAX_BYTES} bytes, which no configuration or plan needs.");
    }
    Ok((name, text))
}

/// A text by the name of its file, and whether that is a file and not inside the program.
struct Found {
    text: (String, String),
    on_disk: bool,
}

fn find(config: Option<&Path>, name: &str, key: &str) -> anyhow::Result<Found> {
    let mut looked: Vec<PathBuf> = Vec::new();
    let read = |path: &Path| {
        let text = read_file(path).with_context(|| format!("{key}: `{name}` cannot be read."))?;
        anyhow::Ok(Found { text, on_disk: true })
    };
    if Path::new(name).is_absolute() {
        return read(Path::new(name));
    }
    for folder in config.into_iter().flat_map(|path| path.ancestors().skip(1).take(LEVELS)) {
        let path = folder.join(name);
        if path.exists() {
            return read(&path);
        }
        looked.push(path);
    }
    if let Some((name, text)) = SHIPPED.iter().find(|row| row.0 == name) {
        return Ok(Found { text: ((*name).to_owned(), (*text).to_owned()), on_disk: false });
    }
    let shipped: Vec<&str> = SHIPPED.iter().map(|row| row.0).collect();
    let looked: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
    bail!(
        "{key}: there is no `{name}`.\n  looked for: {}\n  shipped: {}",
        if looked.is_empty() { String::from("nothing, as no --config was given") } else { looked.join(", ") },
        shipped.join(", ")
    )
}
