//! `creditgate migrate`: brings a database's schema up to date.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{CliError, Outcome, Output};
use crate::{
    config::Settings,
    server::{self, MigrationPlan},
};

/// Where the database is, for the commands that work on it directly.
#[derive(Debug, Args, Serialize)]
pub(super) struct DatabaseArgs {
    /// A TOML file with settings.
    #[arg(long, env = "CREDITGATE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// The database: postgres://owner@host/name. Also DATABASE_URL, which does
    /// not show in the list of processes.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_url: Option<String>,
}

impl DatabaseArgs {
    /// The settings that these flags lead to.
    pub(super) fn settings(&self) -> Result<Settings, CliError> {
        Ok(Settings::load(self.config.as_deref(), self).map_err(server::ServerError::from)?)
    }
}

/// What to migrate, and to what.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The role that `serve` will connect as. Created if it does not exist,
    /// given the rights it needs, and none to rewrite the ledger.
    #[arg(
        long,
        env = "CREDITGATE_SERVING_ROLE",
        value_name = "ROLE",
        default_value = MigrationPlan::DEFAULT_SERVING_ROLE
    )]
    serving_role: String,
    /// How many cells (schemas of hot tables) there are to be.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i16).range(1..=99))]
    cells: i16,
}

/// Migrates.
pub(super) async fn run(out: &Output, args: MigrateArgs) -> Result<Outcome, CliError> {
    let settings = args.database.settings()?;
    let plan = MigrationPlan { serving_role: args.serving_role, cells: args.cells };
    server::migrate(&settings, &plan).await?;
    out.document(
        &format!(
            "the schema is up to date: {} cell{}, served by the role {}",
            plan.cells,
            if plan.cells == 1 { "" } else { "s" },
            plan.serving_role
        ),
        &serde_json::json!({ "cells": plan.cells, "serving_role": plan.serving_role }),
    )?;
    Ok(Outcome::Done)
}
