//! The server's log, and the end of it for error messages.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::DevError;

/// A log that has grown beyond this is put aside at the next start, in bytes.
const LARGE: u64 = 16 * 1024 * 1024;

/// How many lines an error message quotes, and how many bytes are read to find them.
const QUOTED_LINES: usize = 12;
const QUOTED_BYTES: u64 = 16 * 1024;

/// The log file, and where in it this start began.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    begins: u64,
}

impl LogFile {
    /// Opens the log for one start of the server: what to write to, and what to read from.
    pub(super) fn open(path: &Path) -> Result<(Self, Stdio, Stdio), DevError> {
        let io = |error| DevError::io("cannot open the log", path)(error);
        if fs::metadata(path).is_ok_and(|meta| meta.len() > LARGE) {
            fs::rename(path, path.with_extension("log.1")).map_err(io)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(io)?;
        let begins = file.metadata().map_err(io)?.len();
        let again = file.try_clone().map_err(io)?;
        let log = Self { path: path.to_owned(), begins };
        Ok((log, file.into(), again.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines that were written since [`LogFile::open`], indented.
    pub(super) fn tail(&self) -> String {
        self.read().unwrap_or_default()
    }

    fn read(&self) -> std::io::Result<String> {
        let mut file = File::open(&self.path)?;
        let ends = file.metadata()?.len();
        let from = self.begins.max(ends.saturating_sub(QUOTED_BYTES));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(QUOTED_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let skip = lines.len().saturating_sub(QUOTED_LINES);
        let quoted: Vec<String> = lines.iter().skip(skip).map(|l| format!("  {l}")).collect();
        Ok(quoted.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_the_last_lines_since_this_start_are_quoted() {
        let path = std::env::temp_dir().join(format!("creditgate-log-{}.log", std::process::id()));
        fs::write(&path, "from an earlier start\n").unwrap();
        let (log, _out, _err) = LogFile::open(&path).unwrap();
        assert_eq!(log.tail(), "");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        for line in 0..20 {
            writeln!(file, "line {line}").unwrap();
        }
        let tail = log.tail();
        assert!(tail.starts_with("  line 8\n"), "{tail}");
        assert!(tail.ends_with("  line 19"), "{tail}");
        fs::remove_file(&path).unwrap();
    }
}
