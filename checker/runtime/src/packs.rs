//! Packs on disk: a file, or all `*.yaml` of a folder that are not tests, compiled with every diagnostic kept.
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
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
    /// It is no pack of its own: its overrides stand in the text of the pack that it extends.
    pub overrides: bool,
}

impl PackFile {
    /// Compiles a text as the content of that file.
    #[must_use]
    pub fn compile(path: &Path, yaml: String) -> Self {
        let (pack, diagnostics) = lang::compile(&yaml, &path.display().to_string(), &lang::Options::default());
        let broken = diagnostics.iter().any(Diagnostic::is_error);
        PackFile {
            path: path.to_owned(),
            yaml,
            pack: pack.filter(|_| !broken).map(Arc::new),
            diagnostics,
            overrides: false,
        }
    }

    fn is_broken(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
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
        self.files.iter().any(|file| (file.pack.is_none() && !file.overrides) || file.is_broken())
    }

    /// Everything that is wrong, as a terminal shows it.
    #[must_use]
    pub fn rendered(&self) -> String {
        let broken = self.files.iter().filter(|file| file.is_broken());
        broken.map(PackFile::rendered).collect::<Vec<_>>().join("\n")
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
    let mut texts: Vec<(PathBuf, String)> = Vec::new();
    for path in paths {
        for path in pack_files(path)? {
            let yaml = fs::read_to_string(&path).map_err(|source| io_error(&path, source))?;
            texts.push((path, yaml));
        }
    }
    Ok(Loaded { files: compile_all(texts) })
}

/// What packs' files look like from outside: where each is, when it was written, how long it is. Another look that is the
/// same means that nobody has touched them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look(Vec<(PathBuf, Option<SystemTime>, u64)>);

/// Looks at packs without reading them.
///
/// # Errors
/// When a path cannot be read or a folder holds no pack.
pub fn look(path: &Path) -> Result<Look, LoadError> {
    let seen = pack_files(path)?.into_iter().map(|path| {
        let metadata = fs::metadata(&path).map_err(|source| io_error(&path, source))?;
        Ok((path, metadata.modified().ok(), metadata.len()))
    });
    seen.collect::<Result<_, _>>().map(Look)
}

/// Compiles packs, each with the overrides among the texts that extend it. What is wrong with an override is said of its
/// own file.
fn compile_all(texts: Vec<(PathBuf, String)>) -> Vec<PackFile> {
    let (overrides, packs): (Vec<_>, Vec<_>) =
        texts.into_iter().map(|(path, yaml)| (lang::extends(&yaml), path, yaml)).partition(|text| text.0.is_some());
    let mut files = Vec::new();
    let mut laid = vec![false; overrides.len()];
    let mut names = Vec::new();
    for (_, path, yaml) in packs {
        let name = lang::pack_name(&yaml);
        let mut whole = yaml;
        let mut parts: Vec<(usize, usize)> = Vec::new();
        for (number, (extends, _, text)) in overrides.iter().enumerate() {
            if *extends == name {
                laid[number] = true;
                let (longer, begins) = lang::extended(&whole, text);
                whole = longer;
                parts.push((number, begins));
            }
        }
        let mut file = PackFile::compile(&path, whole);
        for &(number, begins) in parts.iter().rev() {
            let (_, path, text) = &overrides[number];
            let (own, others): (Vec<_>, Vec<_>) =
                file.diagnostics.into_iter().partition(|told| told.span.start >= begins);
            file.diagnostics = others;
            let diagnostics = own.into_iter().map(|told| moved(told, path, text, begins)).collect();
            files.push(PackFile { path: path.clone(), yaml: text.clone(), pack: None, diagnostics, overrides: true });
        }
        names.extend(name);
        files.push(file);
    }
    for ((extends, path, text), _) in overrides.into_iter().zip(laid).filter(|(_, laid)| !laid) {
        let name = extends.unwrap_or_default();
        let at = text.find("extends").unwrap_or(0);
        let told = format!("there is no pack `{name}` beside this file");
        let file = path.display().to_string();
        let told = Diagnostic::error(lang::Code::Reference, told, &file, &text, at..at + "extends".len()).help(
            match names.as_slice() {
                [] => "name its file or folder too".to_owned(),
                names => format!("there are: {}", names.join(", ")),
            },
        );
        files.push(PackFile { path, yaml: text, pack: None, diagnostics: vec![told], overrides: true });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// What is said of a place behind `begins` of a longer text, as said of a text of its own.
fn moved(told: Diagnostic, path: &Path, text: &str, begins: usize) -> Diagnostic {
    let file = path.display().to_string();
    let span = told.span.start - begins..told.span.end.saturating_sub(begins);
    let place = Diagnostic::error(told.code, told.message.clone(), &file, text, span);
    Diagnostic { file: place.file, line: place.line, column: place.column, span: place.span, ..told }
}

/// Lays overrides over the packs they extend: the texts of the packs alone, each with its file's name.
pub(crate) fn lay_over(texts: &[(String, String)]) -> Vec<(String, String)> {
    let mut packs: Vec<(String, String)> =
        texts.iter().filter(|(_, text)| lang::extends(text).is_none()).cloned().collect();
    for (file, text) in texts {
        let Some(extends) = lang::extends(text) else { continue };
        match packs.iter_mut().find(|(_, pack)| lang::pack_name(pack).as_ref() == Some(&extends)) {
            Some((_, pack)) => *pack = lang::extended(pack, text).0,
            // Compiled by itself it says what is wrong.
            None => packs.push((file.clone(), text.clone())),
        }
    }
    packs
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

/// The files of pack tests at a path, by name; at a pack's file, the tests beside it.
///
/// # Errors
/// When a folder cannot be listed.
pub fn test_files(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let is_test = |name: &str| name.ends_with(".test.yaml") || name.ends_with(".test.yml");
    if path.is_dir() {
        return yaml_files(path, is_test);
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let beside = ["test.yaml", "test.yml"].map(|extension| path.with_extension(extension));
    let beside = beside.into_iter().find(|tests| !is_test(name) && tests.is_file());
    Ok(vec![beside.unwrap_or_else(|| path.to_owned())])
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

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: &str = "pack: p\nparams:\n  most: 3\nrules:\n  - id: r\n    severity: low\n    labels:\n      team: a\n    key: [node]\n    count:\n      of: e\n      max: param.most\n      window: 1m\n";

    fn load_texts(texts: &[(&str, &str)]) -> (tempfile::TempDir, Loaded) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in texts {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let loaded = load(&[folder.path().to_owned()]).unwrap();
        (folder, loaded)
    }

    #[test]
    fn overrides_change_what_a_site_may_change_and_nothing_else() {
        let site = "extends: p\nparams:\n  most: 5\nrules:\n  - id: r\n    severity: high\n    mode: shadow\n    labels:\n      pager: none\n";
        let (_folder, loaded) = load_texts(&[("p.yaml", PACK), ("site.yaml", site)]);
        assert!(!loaded.has_mistakes(), "{}", loaded.rendered());
        let packs: Vec<_> = loaded.packs().collect();
        let [pack] = packs.as_slice() else { panic!("one pack") };
        let rule = &pack.rules[0];
        assert_eq!((rule.severity, rule.mode), (engine::Severity::High, engine::Mode::Shadow));
        assert_eq!(rule.labels.len(), 2);
        assert!(matches!(rule.kind, engine::Kind::Count { max: Some(5), .. }));
        let text = &loaded.files.iter().find(|file| file.pack.is_some()).unwrap().yaml;
        let again = PackFile::compile(Path::new("p.yaml"), text.clone());
        assert_eq!(again.pack.unwrap().rules[0].digest, rule.digest, "the text that is kept says it all");
    }

    #[test]
    fn a_mistake_in_overrides_is_shown_at_its_own_place() {
        let site = "extends: p\nparams:\n  mots: 5\nrules:\n  - id: r\n    key: [node]\n  - id: s\n    mode: shadow\n";
        let (_folder, loaded) = load_texts(&[("p.yaml", PACK), ("site.yaml", site)]);
        assert!(loaded.has_mistakes());
        let site = loaded.files.iter().find(|file| file.overrides).unwrap();
        let told: Vec<(usize, &str)> = site.diagnostics.iter().map(|told| (told.line, told.message.as_str())).collect();
        assert_eq!(
            told,
            [
                (3, "the pack has no parameter `mots`"),
                (6, "`key` of a rule cannot be overridden"),
                (7, "the pack has no rule `s`"),
            ]
        );
    }

    #[test]
    fn overrides_of_a_pack_that_is_not_there_are_a_mistake() {
        let (_folder, loaded) = load_texts(&[("p.yaml", PACK), ("site.yaml", "extends: q\n")]);
        assert!(loaded.has_mistakes());
        assert!(loaded.rendered().contains("there is no pack `q` beside this file"));
    }
}
