//! `creditgate verify`: recomputes the books, or a statement, and says what does
//! not agree.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    CliError, Outcome, Output, checkpoint, connection::read, format::seconds, migrate::DatabaseArgs,
};
use crate::{
    ids::AccountId,
    server::{
        self,
        checkpoints::{Checked, PublicKey, Statement},
    },
};

pub(super) const EXAMPLES: &str = "Examples:
  creditgate verify
  creditgate verify --checkpoint 2026-11.checkpoint --public-key checkpoint.pub
  creditgate verify --statement acme.json --public-key checkpoint.pub

The last one needs neither the gate nor its database.";

/// Whose books, and where.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only this account's books.
    #[arg(long, value_name = "ID", value_parser = AccountId::new)]
    account: Option<AccountId>,
    /// Books must have come by this checkpoint; its heads lie beside it, in FILE.heads.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    checkpoint: Option<PathBuf>,
    /// Check this statement instead of a database.
    #[arg(long, value_name = "FILE", requires = "public_key", conflicts_with_all = ["checkpoint", "account"])]
    statement: Option<PathBuf>,
    /// The public key of whoever signed the checkpoint: Ed25519, PEM.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

/// Checks the books; findings are an error.
pub(super) async fn run(out: &Output, args: VerifyArgs) -> Result<Outcome, CliError> {
    if let (Some(file), Some(key)) = (&args.statement, &args.public_key) {
        return statement(out, file, &checkpoint::public_key(key)?);
    }
    let settings = args.database.settings()?;
    let heads = match (&args.checkpoint, &args.public_key) {
        (Some(file), Some(key)) => {
            Some(checkpoint::read_files(file, &checkpoint::public_key(key)?)?.heads)
        }
        _ => None,
    };
    let audit = server::audit(&settings, args.account.as_ref(), heads.as_ref()).await?;
    let mut text = String::new();
    for (account, what) in &audit.findings {
        text.push_str(&format!("{account}: {what}\n"));
    }
    let verdict =
        if audit.findings.is_empty() { "all books agree" } else { "the books do not agree" };
    let count = |number: i64, one: &str, many: &str| {
        format!("{number} {}", if number == 1 { one } else { many })
    };
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    text.push_str(&format!(
        "{verdict}: {}, {}, {}",
        count(i64::try_from(audit.accounts).unwrap_or(i64::MAX), "account", "accounts"),
        count(audit.entries, "entry", "entries"),
        count(number(audit.findings.len()), "finding", "findings"),
    ));
    let findings: Vec<_> = audit
        .findings
        .iter()
        .map(|(account, what)| json!({ "account_id": account, "finding": what }))
        .collect();
    out.document(
        &text,
        &json!({
            "accounts": audit.accounts,
            "entries": audit.entries,
            "findings": findings,
        }),
    )?;
    Ok(if audit.findings.is_empty() { Outcome::Done } else { Outcome::Code(1) })
}

/// Checks a statement; findings are an error.
fn statement(out: &Output, file: &Path, key: &PublicKey) -> Result<Outcome, CliError> {
    let text = read("the statement", file)?;
    let statement: Statement = serde_json::from_str(&text)
        .map_err(|error| CliError::Other(format!("{} is no statement: {error}", file.display())))?;
    let checked = statement
        .check(key)
        .map_err(|error| CliError::Other(format!("{}: {error}", file.display())))?;
    let Checked { account_id, checkpoint, ledgers, findings } = &checked;
    let mut text: String = findings.iter().map(|what| format!("{account_id}: {what}\n")).collect();
    for ledger in ledgers {
        let (available, reserved, spent) = ledger.balance;
        text.push_str(&format!(
            "{account_id}, {} credits: {available} available, {reserved} reserved, {spent} spent\n  \
             {} entries are vouched for by the checkpoint of {}, {} came later\n",
            ledger.credit_type,
            ledger.vouched,
            seconds(checkpoint.time),
            ledger.later
        ));
    }
    let agrees = findings.is_empty();
    text.push_str(if agrees { "the statement agrees" } else { "the statement does not agree" });
    let ledgers: Vec<_> = ledgers
        .iter()
        .map(|ledger| {
            let (available, reserved, spent) = ledger.balance;
            json!({
                "credit_type": ledger.credit_type,
                "vouched_entries": ledger.vouched,
                "later_entries": ledger.later,
                "available": available,
                "reserved": reserved,
                "spent": spent,
            })
        })
        .collect();
    out.document(
        &text,
        &json!({
            "account_id": account_id,
            "checkpoint_time": checkpoint.time,
            "ledgers": ledgers,
            "findings": findings,
        }),
    )?;
    Ok(if agrees { Outcome::Done } else { Outcome::Code(1) })
}
