//! Packs on disk: a file, or all `*.yaml` of a folder that are not tests, compiled with every diagnostic kept.
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{Pack, Program};
use lang::Diagnostic;

/// One pack's file.
#[derive(Clone, Debug)]
pub struct PackFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub yaml: String,
    /// What it says; none when it has mistakes.
    pub pack: Option<Arc<Pack>>,
    /// Mistakes and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl PackFile {
    /// Compiles a text as the content of that file.
    #[must_use]
    pub fn compile(path: &Path, yaml: String) -> Self {
        let (pack, diagnostics) = lang::compile(&yaml, &path.display().to_string(), &lang::Options::default());
        let broken = diagnostics.iter().any(Diagnostic::is_error);
        PackFile { path: path.to_owned(), yaml, pack: pack.filter(|_| !broken).map(Arc::new), diagnostics }
    }

    /// The diagnostics as a terminal shows them.
    #[must_use]
    pub fn rendered(&self) -> String {
        lang::render(&self.diagnostics, &self.yaml)
    }
}

/// Packs that were asked for together.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// One entry a file, by path.
    pub files: Vec<PackFile>,
}

impl Loaded {
    /// Whether any pack has mistakes.
    #[must_use]
    pub fn has_mistakes(&self) -> bool {
        self.files.iter().any(|file| file.pack.is_none())
    }

    /// The packs without mistakes.
    pub fn packs(&self) -> impl Iterator<Item = &Arc<Pack>> {
        self.files.iter().filter_map(|file| file.pack.as_ref())
    }

    /// All of them as one program.
    #[must_use]
    pub fn program(&self) -> Program {
        Program::link(self.packs().cloned())
    }
}

/// A path that cannot be read, or holds no pack.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The disk says no.
    #[error("{path} cannot be read")]
    Io {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing to do.
    #[error("{0} holds no pack: packs are files that end in .yaml (tests end in .test.yaml)")]
    Empty(String),
}

/// Reads and compiles packs; folders are read one level deep.
///
/// # Errors
/// When a path cannot be read or a folder holds no pack. Mistakes inside packs are diagnostics, not errors.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    for path in paths {
        for path in pack_files(path)? {
            let yaml = fs::read_to_string(&path).map_err(|source| io_error(&path, source))?;
            loaded.files.push(PackFile::compile(&path, yaml));
        }
    }
    Ok(loaded)
}

fn io_error(path: &Path, source: io::Error) -> LoadError {
    LoadError::Io { path: path.display().to_string(), source }
}

/// The packs' files at a path, by name.
fn pack_files(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let files = yaml_files(path, |name| !name.ends_with(".test.yaml") && !name.ends_with(".test.yml"))?;
    if files.is_empty() { Err(LoadError::Empty(path.display().to_string())) } else { Ok(files) }
}

/// The files of pack tests at a path, by name.
///
/// # Errors
/// When a folder cannot be listed.
pub fn test_files(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    yaml_files(path, |name| name.ends_with(".test.yaml") || name.ends_with(".test.yml"))
}

fn yaml_files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, LoadError> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|source| io_error(folder, source))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted))
        .collect();
    files.sort();
    Ok(files)
}
