//! File systems of a test's own. Whoever may not mount one is told that the test was left out.
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A file system, unmounted at the end.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// An empty one in memory; none when nobody may mount one here.
    pub(crate) fn memory(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        Self::new(at, &["-t", "tmpfs", "-o", &options, "invar-test", at.to_str()?])
    }

    /// A folder over itself, read-only: what is open stays writable, what is opened is not.
    pub(crate) fn read_only(at: &Path) -> Option<Self> {
        let here = at.to_str()?;
        let mounted = Self::new(at, &["--bind", here, here])?;
        mounted.remount("bind,ro");
        Some(mounted)
    }

    #[expect(clippy::print_stderr, reason = "a test that is left out must be seen in the log")]
    fn new(at: &Path, arguments: &[&str]) -> Option<Self> {
        let mounted = mount(arguments).then(|| Mounted(at.to_owned()));
        if mounted.is_none() {
            eprintln!("LEFT OUT: nobody may mount a file system here");
        }
        mounted
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    /// Gives it other options.
    pub(crate) fn remount(&self, options: &str) {
        assert!(mount(&["-o", &format!("remount,{options}"), self.0.to_str().unwrap()]));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: whoever was killed may not be gone yet.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str]) -> bool {
    Command::new("mount").args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
