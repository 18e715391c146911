//! `creditgate key create|list|rotate|revoke`: who may call.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    CliError, Outcome, Output,
    format::{precise, seconds},
    migrate::DatabaseArgs,
    parse,
    rights::{ACTOR, RightsArgs, failed, open},
    table::{Column, Table},
};
use crate::server::access::{ApiKey, KeyId, StoredKey};

/// Commands of `key`. They work on the database directly, as its owner.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key. It is shown once: only a hash of it is kept.
    #[command(after_help = "Scopes: scheduler (asks, reserves, settles), reconciler (settles), \
billing (accounts,\nsubscriptions, purchases), viewer (looks), operator (everything).\n\n\
Example:\n  creditgate key create --name scheduler-eu --scope scheduler --lifetime 90d")]
    Create(CreateArgs),
    /// List keys, the newest first.
    List(ListArgs),
    /// Make a key like another, which stays good for a while.
    #[command(after_help = "Example:\n  creditgate key rotate 6f1c09d2ab34e871 --overlap 24h")]
    Rotate(RotateArgs),
    /// Revoke keys at once: every replica refuses them within seconds.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    rights: RightsArgs,
    /// For how long it is good [default: for ever].
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    lifetime: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The key that is to be replaced, by its id.
    #[arg(value_name = "KEY_ID", value_parser = key_id)]
    key_id: KeyId,
    /// For how long the old one stays good.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, default_value = "24h")]
    overlap: Duration,
    /// For how long the new one is good [default: for ever].
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    lifetime: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The keys, by their ids.
    #[arg(value_name = "KEY_ID", required = true, value_parser = key_id)]
    key_ids: Vec<KeyId>,
}

pub(super) async fn run(out: &Output, command: KeyCommand) -> Result<Outcome, CliError> {
    match command {
        KeyCommand::Create(args) => {
            let CreateArgs { database, rights, lifetime } = args;
            let access = open(&database).await?;
            let key = access.create_key(&rights.into(), lifetime, ACTOR).await;
            access.close().await;
            show(out, &key.map_err(failed)?)
        }
        KeyCommand::List(args) => {
            let access = open(&args.database).await?;
            let keys = access.keys().await;
            access.close().await;
            let keys = keys.map_err(failed)?;
            let list: Vec<_> = keys.iter().map(json_of).collect();
            out.document(text(&keys).trim_end(), &json!({ "keys": list }))?;
            Ok(Outcome::Done)
        }
        KeyCommand::Rotate(args) => {
            let RotateArgs { database, key_id, overlap, lifetime } = args;
            let access = open(&database).await?;
            let key = access.rotate_key(&key_id, overlap, lifetime, ACTOR).await;
            access.close().await;
            show(out, &key.map_err(failed)?)
        }
        KeyCommand::Revoke(args) => {
            let access = open(&args.database).await?;
            for key_id in &args.key_ids {
                access.revoke_key(key_id, ACTOR).await.map_err(failed)?;
            }
            access.close().await;
            let revoked: Vec<&str> = args.key_ids.iter().map(KeyId::as_str).collect();
            let said = format!("revoked: {}", revoked.join(", "));
            out.document(&said, &json!({ "revoked": revoked }))?;
            Ok(Outcome::Done)
        }
    }
}

/// The key on a line of its own: for a pipe into a secret store.
fn show(out: &Output, key: &ApiKey) -> Result<Outcome, CliError> {
    let document = json!({ "key_id": key.id().as_str(), "key": key.reveal() });
    out.document(key.reveal(), &document)?;
    Ok(Outcome::Done)
}

fn text(keys: &[StoredKey]) -> String {
    let mut table = Table::new([
        Column::Left("KEY"),
        Column::Left("NAME"),
        Column::Left("SCOPES"),
        Column::Left("ACCOUNTS"),
        Column::Left("STATE"),
        Column::Left("CREATED"),
        Column::Left("EXPIRES"),
        Column::Left("LAST USED"),
    ]);
    for key in keys {
        table.row([
            key.key_id.clone(),
            key.name.clone(),
            key.scopes.join(","),
            key.account_ids.as_ref().map_or_else(|| "all".to_owned(), |ids| ids.join(",")),
            state(key).to_owned(),
            seconds(key.create_time),
            key.expire_time.map_or_else(|| "never".to_owned(), seconds),
            key.last_use_time.map_or_else(|| "never".to_owned(), seconds),
        ]);
    }
    table.render_or("no keys: `creditgate key create` makes one")
}

fn state(key: &StoredKey) -> &'static str {
    match (key.is_revoked, key.is_expired) {
        (true, _) => "REVOKED",
        (false, true) => "EXPIRED",
        (false, false) => "GOOD",
    }
}

fn json_of(key: &StoredKey) -> serde_json::Value {
    json!({
        "key_id": key.key_id,
        "name": key.name,
        "scopes": key.scopes,
        "account_ids": key.account_ids,
        "state": state(key),
        "create_time": precise(key.create_time),
        "expire_time": key.expire_time.map(precise),
        "revoke_time": key.revoke_time.map(precise),
        "last_use_time": key.last_use_time.map(precise),
    })
}

/// What somebody pastes may be the key itself: its id will do, and the rest is
/// not repeated.
fn key_id(text: &str) -> Result<KeyId, String> {
    let key = || ApiKey::parse(text).map(|key| key.id().clone());
    KeyId::new(text).or_else(key).ok_or_else(|| "16 hexadecimal digits: `key list`".to_owned())
}
