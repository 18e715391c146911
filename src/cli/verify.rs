//! `creditgate verify`: recomputes the books and says what does not agree.

use clap::Args;

use super::{CliError, Outcome, Output, migrate::DatabaseArgs};
use crate::{ids::AccountId, server};

/// Whose books, and where.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only this account's books.
    #[arg(long, value_name = "ID", value_parser = AccountId::new)]
    account: Option<AccountId>,
}

/// Checks the books; findings are an error.
pub(super) async fn run(out: &Output, args: VerifyArgs) -> Result<Outcome, CliError> {
    let settings = args.database.settings()?;
    let audit = server::audit(&settings, args.account.as_ref()).await?;
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
        .map(|(account, what)| serde_json::json!({ "account_id": account, "finding": what }))
        .collect();
    out.document(
        &text,
        &serde_json::json!({
            "accounts": audit.accounts,
            "entries": audit.entries,
            "findings": findings,
        }),
    )?;
    Ok(if audit.findings.is_empty() { Outcome::Done } else { Outcome::Code(1) })
}
