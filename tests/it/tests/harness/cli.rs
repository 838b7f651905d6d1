//! Running one command of the binary to its end.
use std::{
    io::Write,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::binary;

/// How long a command may take before it is ended.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its output when it ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A command without the settings of whoever runs the tests.
pub(crate) fn command() -> Command {
    let mut command = Command::new(binary());
    // Usage lines say what the program was called by.
    command.arg0("invar");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("INVAR_") {
            command.env_remove(name);
        }
    }
    // Help is wrapped to the terminal, and diagnostics are coloured for one.
    command.env("COLUMNS", "110").env("NO_COLOR", "1").current_dir(super::root());
    command
}

/// Runs the binary with these arguments, in the repository's root, with `input` on its standard input.
pub(crate) fn invar<S: AsRef<std::ffi::OsStr>>(arguments: &[S], input: &[u8]) -> Ran {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", binary().display()));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that does not read its input closes the pipe: that is its right.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let id = child.id();
    let waiting = std::thread::spawn(move || child.wait_with_output());
    let started = Instant::now();
    while !waiting.is_finished() {
        if started.elapsed() > COMMAND_MAX {
            super::instance::signal(id, libc::SIGKILL);
            panic!("the command ran for more than {COMMAND_MAX:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = waiting.join().unwrap().unwrap();
    feeding.join().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
