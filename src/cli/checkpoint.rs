//! `creditgate checkpoint`: what all books are now, signed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{CliError, Outcome, Output, connection::read, format::seconds, migrate::DatabaseArgs};
use crate::server::checkpoints::{self, Checkpoint, Heads, PublicKey, Signer};

pub(super) const EXAMPLES: &str = "Example:
  openssl genpkey -algorithm ed25519 -out checkpoint.key
  openssl pkey -in checkpoint.key -pubout -out checkpoint.pub
  creditgate checkpoint --key checkpoint.key --name gate.example.com --out 2026-11.checkpoint

FILE is to be published, FILE.heads is to be kept with it where nobody who can write to the
database can write: `creditgate verify --checkpoint FILE` needs both, and so does
`creditgate statement`.";

/// With what, and to where.
#[derive(Debug, Args)]
pub(super) struct CheckpointArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The private key to sign with: Ed25519, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Whose key it is, as others will see it.
    #[arg(long, default_value = "creditgate")]
    name: String,
    /// The file to write; another one is written beside it, FILE.heads.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A checkpoint, read from its two files.
pub(super) struct Files {
    pub(super) note: String,
    pub(super) heads: Heads,
}

pub(super) async fn run(out: &Output, args: CheckpointArgs) -> Result<Outcome, CliError> {
    let settings = args.database.settings()?;
    let key = read("the private key", &args.key)?;
    let signer = Signer::from_pem(&args.name, key.as_bytes())
        .map_err(|error| CliError::Other(format!("{}: {error}", args.key.display())))?;
    let (checkpoint, heads) = checkpoints::checkpoint(&settings).await?;
    // The heads first: a checkpoint without its heads would be of no use here.
    write_new(&beside(&args.out), &heads.to_text())?;
    write_new(&args.out, &checkpoint.sign(&signer))?;
    let count = checkpoint.heads;
    out.document(
        &format!(
            "wrote {}: {count} {}, as of {}",
            args.out.display(),
            if count == 1 { "ledger" } else { "ledgers" },
            seconds(checkpoint.time)
        ),
        &json!({
            "file": args.out,
            "heads_file": beside(&args.out),
            "heads": count,
            "time": checkpoint.time,
        }),
    )?;
    Ok(Outcome::Done)
}

/// Reads a checkpoint and its heads, and that they were signed with this key.
pub(super) fn read_files(file: &Path, key: &PublicKey) -> Result<Files, CliError> {
    let bad = |file: &Path, error: &dyn std::fmt::Display| {
        CliError::Other(format!("{}: {error}", file.display()))
    };
    let note = read("the checkpoint", file)?;
    let checkpoint = Checkpoint::open(&note, key).map_err(|error| bad(file, &error))?;
    let heads_file = beside(file);
    let heads = read("the heads of the checkpoint", &heads_file)?;
    let heads = Heads::parse(&heads, &checkpoint).map_err(|error| bad(&heads_file, &error))?;
    Ok(Files { note, heads })
}

pub(super) fn public_key(file: &Path) -> Result<PublicKey, CliError> {
    PublicKey::from_pem(read("the public key", file)?.as_bytes())
        .map_err(|error| CliError::Other(format!("{}: {error}", file.display())))
}

/// Writes a file that must not be there yet: a checkpoint is kept, not replaced.
pub(super) fn write_new(file: &Path, text: &str) -> Result<(), CliError> {
    let write = || -> io::Result<()> {
        let mut opened = fs::File::create_new(file)?;
        io::Write::write_all(&mut opened, text.as_bytes())?;
        opened.sync_all()
    };
    write().map_err(|error| CliError::io(format!("write {}", file.display()), error))
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".heads");
    name.into()
}
