//! `creditgate statement`: one account's ledger, for its owner to check.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    CliError, Outcome, Output,
    checkpoint::{public_key, read_files, write_new},
    migrate::DatabaseArgs,
};
use crate::{ids::AccountId, server::checkpoints};

pub(super) const EXAMPLES: &str = "Example:
  creditgate statement acme --checkpoint 2026-11.checkpoint --public-key checkpoint.pub \\
      --out acme.json

Whoever has acme.json and checkpoint.pub can check it without the gate:
  creditgate verify --statement acme.json --public-key checkpoint.pub";

/// Whose ledger, by which checkpoint, and to where.
#[derive(Debug, Args)]
pub(super) struct StatementArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Whose ledger.
    #[arg(value_name = "ACCOUNT", value_parser = AccountId::new)]
    account: AccountId,
    /// The checkpoint that vouches for it; its heads lie beside it, in FILE.heads.
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// The public key of whoever signed the checkpoint: Ed25519, PEM.
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn run(out: &Output, args: StatementArgs) -> Result<Outcome, CliError> {
    let settings = args.database.settings()?;
    let files = read_files(&args.checkpoint, &public_key(&args.public_key)?)?;
    let account = &args.account;
    let statement = checkpoints::statement(&settings, account, &files.note, &files.heads).await?;
    let none = || CliError::Other(format!("there is no account {account}"));
    let mut text = serde_json::to_string_pretty(&statement.ok_or_else(none)?)
        .map_err(|error| CliError::Other(error.to_string()))?;
    text.push('\n');
    write_new(&args.out, &text)?;
    out.document(
        &format!("wrote {}", args.out.display()),
        &json!({ "account_id": account, "file": args.out }),
    )?;
    Ok(Outcome::Done)
}
