//! The catalog as a file that people write: TOML or YAML, by its extension.
//!
//! Reading it checks its form only: names, numbers, durations. Whether it
//! makes sense as a whole (a plan's kinds exist, and so on) the gate says,
//! which is what `catalog apply --dry-run` is for.

mod form;
mod named;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use form::CatalogForm;

use crate::proto::Catalog;

/// Why a catalog file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogFileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its extension is neither TOML's nor YAML's.
    #[error("{}: a catalog is a .toml, .yaml or .yml file", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// What stands in it is no catalog.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where in it, and what is wrong.
        message: String,
    },
}

/// Reads a catalog from a file.
///
/// # Errors
/// Where the file cannot be read, or is no catalog: the message names the
/// file, the line and column, and the key.
pub fn read(path: &Path) -> Result<Catalog, CatalogFileError> {
    let text = fs::read_to_string(path)
        .map_err(|source| CatalogFileError::Read { path: path.to_owned(), source })?;
    let content = |message| CatalogFileError::Content { path: path.to_owned(), message };
    let extension = path.extension().and_then(|extension| extension.to_str());
    let form = match extension {
        Some("toml") => from_toml(&text).map_err(content)?,
        Some("yaml" | "yml") => from_yaml(&text).map_err(content)?,
        _ => {
            return Err(CatalogFileError::Extension { path: path.to_owned() });
        }
    };
    Ok(form.into())
}

/// Reads a catalog from TOML text.
pub(super) fn parse_toml(text: &str) -> Result<Catalog, String> {
    from_toml(text).map(Catalog::from)
}

/// The parser's own text has the line, the column and the line with the key.
fn from_toml(text: &str) -> Result<CatalogForm, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

/// The parser's own text has the path of keys, the line and the column.
fn from_yaml(text: &str) -> Result<CatalogForm, String> {
    serde_norway::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
