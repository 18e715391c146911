//! How PostgreSQL's programs are called, all in the same way.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::run_as::RunAs;

/// A command that is cut off from where and how this process was called.
pub(super) fn command(program: &Path, run_as: &RunAs) -> Command {
    let mut command = Command::new(program);
    command
        // The user may not be allowed to enter the current directory.
        .current_dir("/")
        .stdin(Stdio::null())
        // Messages that we can recognise, whatever language the terminal speaks. On macOS the
        // server will not even start without a locale.
        .env_remove("LANGUAGE")
        .env("LC_ALL", "C")
        // Ctrl-C goes to the terminal's process group: it is for us to hear, and to pass on in
        // good order.
        .process_group(0)
        .kill_on_drop(true);
    // PGHOST, PGOPTIONS, PGSERVICE ... are meant for other databases.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    run_as.apply(&mut command);
    command
}
