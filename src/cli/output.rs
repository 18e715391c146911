//! Where results go: stdout, as text for people or one JSON document.

use std::io::{self, Write};

use clap::ValueEnum;
use prost::Message;

use super::{CliError, json};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned tables and short texts.
    #[default]
    Table,
    /// One JSON document, with the contract's field names.
    Json,
}

/// Prints results in the format that was asked for.
#[derive(Debug)]
pub struct Output {
    format: OutputFormat,
}

impl Output {
    /// Prints in this format.
    #[must_use]
    pub fn new(format: OutputFormat) -> Self {
        Self { format }
    }

    /// Prints one message of the contract: as JSON, or as `text` makes it.
    ///
    /// # Errors
    /// Where stdout cannot be written to.
    pub fn message<M: Message>(
        &self,
        name: &str,
        message: &M,
        text: impl FnOnce(&M) -> String,
    ) -> Result<(), CliError> {
        match self.format {
            OutputFormat::Table => print(&text(message)),
            OutputFormat::Json => {
                let value = json::from_message(name, message)?;
                let mut document = serde_json::to_string_pretty(&value)
                    .map_err(|error| CliError::Other(error.to_string()))?;
                document.push('\n');
                print(&document)
            }
        }
    }

    /// Prints one message of many on a line of its own.
    ///
    /// # Errors
    /// Where stdout cannot be written to.
    pub fn line<M: Message>(
        &self,
        name: &str,
        message: &M,
        text: impl FnOnce(&M) -> String,
    ) -> Result<(), CliError> {
        match self.format {
            OutputFormat::Table => print(&text(message)),
            OutputFormat::Json => print(&format!("{}\n", json::from_message(name, message)?)),
        }
    }
}

impl Output {
    /// Prints something that is no message of the contract.
    ///
    /// # Errors
    /// Where stdout cannot be written to.
    pub fn document(&self, text: &str, value: &serde_json::Value) -> Result<(), CliError> {
        match self.format {
            OutputFormat::Table => print(&format!("{text}\n")),
            OutputFormat::Json => print(&format!("{value:#}\n")),
        }
    }
}

fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| CliError::io("write to stdout", error))
}

/// Writes a line to stderr. That it cannot be written is nobody's to hear.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
