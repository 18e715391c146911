//! What a caller may do, as options; and where that is changed: on the database, as
//! its owner, which takes no key.

use clap::Args;

use super::{CliError, migrate::DatabaseArgs};
use crate::{
    ids::AccountId,
    server::{
        ServerError,
        access::{self, Access, AccessError, Rights, Scope},
    },
};

/// Who lets callers in from here, as is noted beside them.
pub(super) const ACTOR: &str = "cli";

/// Options of what a caller is to be.
#[derive(Debug, Args)]
pub(super) struct RightsArgs {
    /// Who or what it is for.
    #[arg(long, value_parser = name)]
    name: String,
    /// What it may do. May be given more than once.
    #[arg(long = "scope", required = true, value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// An account that it sees, and no other; may be given more than once [default: all].
    #[arg(long = "account", value_name = "ACCOUNT", value_parser = account)]
    accounts: Vec<AccountId>,
}

impl From<RightsArgs> for Rights {
    fn from(args: RightsArgs) -> Self {
        let RightsArgs { name, scopes, accounts } = args;
        let accounts = (!accounts.is_empty()).then_some(accounts);
        Self { name, scopes, accounts }
    }
}

/// The database's callers.
pub(super) async fn open(database: &DatabaseArgs) -> Result<Access, CliError> {
    Ok(access::open(&database.settings()?).await?)
}

/// Why they were not changed.
pub(super) fn failed(error: AccessError) -> CliError {
    match error {
        AccessError::Store(error) => ServerError::from(error).into(),
        error => CliError::Other(error.to_string()),
    }
}

/// A name that is one line of people's words.
fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 100 || text.chars().any(char::is_control) {
        return Err("1 to 100 characters".to_owned());
    }
    Ok(text.to_owned())
}

fn account(text: &str) -> Result<AccountId, String> {
    AccountId::new(text).map_err(|error| format!("an account id {error}"))
}

fn scope(text: &str) -> Result<Scope, String> {
    let names = || Scope::ALL.map(Scope::name).join(", ");
    Scope::from_name(text).ok_or_else(|| format!("one of {}", names()))
}
