//! `creditgate catalog apply` and `catalog show`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    CliError, Connection, Outcome, Output, catalog_file, format,
    table::{self, Column, Table},
};
use crate::proto::{
    ApplyCatalogRequest, ApplyCatalogResponse, Catalog, CreditPrice, GetCatalogRequest,
    GetCatalogResponse, Plan, Policy, Rollover,
};

/// Commands of `catalog`.
#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// Replace the gate's catalog by a file's; the same again changes nothing.
    #[command(after_help = "The file is TOML or YAML, by its extension. A plan that has live \
        subscriptions cannot be removed.\n\n\
        Examples:\n  \
        creditgate catalog apply --dry-run deploy/catalogs/demo.toml\n  \
        creditgate catalog apply deploy/catalogs/demo.toml")]
    Apply(ApplyArgs),
    /// Show the gate's catalog, or a file's.
    #[command(after_help = "Examples:\n  \
        creditgate catalog show\n  \
        creditgate catalog show deploy/catalogs/demo.toml --output json")]
    Show(ShowArgs),
}

/// Options of `catalog apply`.
#[derive(Args, Debug)]
pub(super) struct ApplyArgs {
    /// The catalog: a .toml, .yaml or .yml file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only check it, and say what would change.
    #[arg(long)]
    dry_run: bool,
}

/// Options of `catalog show`.
#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// A file to show instead of the gate's catalog; no gate is called.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn run(
    connection: &Connection,
    out: &Output,
    command: CatalogCommand,
) -> Result<Outcome, CliError> {
    match command {
        CatalogCommand::Apply(args) => apply(connection, out, args).await,
        CatalogCommand::Show(args) => show(connection, out, args).await,
    }
}

async fn apply(
    connection: &Connection,
    out: &Output,
    args: ApplyArgs,
) -> Result<Outcome, CliError> {
    let catalog = catalog_file::read(&args.file)?;
    let response = connection
        .client()?
        .apply_catalog(ApplyCatalogRequest { catalog: Some(catalog), validate_only: args.dry_run })
        .await?;
    out.message("ApplyCatalogResponse", &response, |response| applied(response, args.dry_run))?;
    Ok(Outcome::Done)
}

fn applied(response: &ApplyCatalogResponse, dry_run: bool) -> String {
    let revision = response.revision;
    let mut text = match (response.changes.is_empty(), dry_run) {
        (true, _) => format!("nothing differs; the catalog stays at revision {revision}\n"),
        (false, true) => "would change:\n".to_owned(),
        (false, false) => format!("applied; the catalog is at revision {revision}:\n"),
    };
    for change in &response.changes {
        text.push_str(&format!("  {}\n", table::shown(change)));
    }
    text
}

async fn show(connection: &Connection, out: &Output, args: ShowArgs) -> Result<Outcome, CliError> {
    if let Some(file) = &args.file {
        let catalog = catalog_file::read(file)?;
        out.message("Catalog", &catalog, text)?;
        return Ok(Outcome::Done);
    }
    let response = connection.client()?.get_catalog(GetCatalogRequest {}).await?;
    out.message("GetCatalogResponse", &response, |response: &GetCatalogResponse| {
        let catalog = response.catalog.as_ref().map(text).unwrap_or_default();
        format!("revision {}\n\n{catalog}", response.revision)
    })?;
    Ok(Outcome::Done)
}

fn text(catalog: &Catalog) -> String {
    let mut sections = vec![kinds(catalog)];
    if !catalog.plans.is_empty() {
        sections.push(plans(&catalog.plans));
        sections.push(plan_scans(&catalog.plans));
    }
    let prices = prices(catalog);
    if !prices.is_empty() {
        sections.push(prices);
    }
    sections.push(policy(&catalog.policy.clone().unwrap_or_default()));
    sections.join("\n")
}

fn kinds(catalog: &Catalog) -> String {
    let mut table = Table::new([
        Column::Left("SCAN KIND"),
        Column::Right("CREDITS"),
        Column::Left("TYPE"),
        Column::Left("LEASE"),
        Column::Left("MAX LEASE"),
    ]);
    for kind in &catalog.scan_kinds {
        let free = kind.credit_type.is_empty();
        table.row([
            kind.name.clone(),
            if free { "free".to_owned() } else { kind.credits.to_string() },
            kind.credit_type.clone(),
            or(format::duration(kind.default_lease.as_ref()), "1h"),
            or(format::duration(kind.max_lease.as_ref()), "1day"),
        ]);
    }
    table.render_or("no scan kinds")
}

fn plans(plans: &[Plan]) -> String {
    let mut table = Table::new([
        Column::Left("PLAN"),
        Column::Right("A MONTH"),
        Column::Left("TYPE"),
        Column::Right("A YEAR"),
        Column::Left("ROLLOVER"),
        Column::Left("AT ONCE"),
    ]);
    for plan in plans {
        let at_once = match plan.max_concurrent_scans {
            0 => "no limit".to_owned(),
            n => n.to_string(),
        };
        if plan.allowances.is_empty() {
            table.row([
                plan.name.clone(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                at_once,
            ]);
            continue;
        }
        for allowance in &plan.allowances {
            let rollover = match allowance.rollover() {
                Rollover::Unspecified => String::new(),
                Rollover::Unlimited => "unlimited".to_owned(),
                Rollover::Capped => format!("up to {}", allowance.rollover_cap),
                Rollover::None => "none".to_owned(),
            };
            let year =
                allowance.credits_per_year.unwrap_or_else(|| allowance.credits.saturating_mul(12));
            table.row([
                plan.name.clone(),
                allowance.credits.to_string(),
                allowance.credit_type.clone(),
                year.to_string(),
                rollover,
                at_once.clone(),
            ]);
        }
    }
    table.render()
}

fn plan_scans(plans: &[Plan]) -> String {
    let mut table = Table::new([
        Column::Left("PLAN"),
        Column::Left("INCLUDES"),
        Column::Left("COVERED"),
        Column::Left("AT MOST"),
    ]);
    for plan in plans {
        for scan in &plan.scans {
            table.row([
                plan.name.clone(),
                scan.scan_kind.clone(),
                format::yes(scan.covered),
                match scan.max_credits {
                    0 => "no limit".to_owned(),
                    n => format::credits(n, ""),
                },
            ]);
        }
    }
    table.render_or("no plan includes a scan")
}

fn prices(catalog: &Catalog) -> String {
    let mut table = Table::new([
        Column::Left("EXTRA CREDITS"),
        Column::Left("FOR"),
        Column::Right("PRICE"),
        Column::Left("CURRENCY"),
    ]);
    let mut any = false;
    let mut add = |buyer: &str, prices: &[CreditPrice]| {
        for price in prices {
            any = true;
            table.row([
                price.credit_type.clone(),
                buyer.to_owned(),
                // The number of minor units in a unit depends on the
                // currency, so they are printed as they are.
                format!("{} minor", price.unit_price_minor),
                price.currency.clone(),
            ]);
        }
    };
    add("accounts without a plan", &catalog.prices);
    for plan in &catalog.plans {
        add(&format!("plan {}", plan.name), &plan.prices);
    }
    if any { table.render() } else { String::new() }
}

fn policy(policy: &Policy) -> String {
    let mut pairs = vec![
        ("lapse on cancel", no_yes(policy.credits_lapse_on_cancel)),
        ("planless accounts may spend", no_yes(policy.planless_accounts_may_spend)),
        (
            "scans of a project at once",
            match policy.max_concurrent_scans_per_project {
                0 => "no limit".to_owned(),
                n => n.to_string(),
            },
        ),
        ("low balance", policy.low_balance.unwrap_or(1).to_string()),
        (
            "restored credits last",
            or(format::duration(policy.restored_credit_lifetime.as_ref()), "30days"),
        ),
        ("a top-up waits for", or(format::duration(policy.top_up_lifetime.as_ref()), "1day")),
    ];
    for cause in &policy.causes {
        let name = format::short(cause.cause().as_str_name(), "RELEASE_CAUSE_").to_lowercase();
        let does = if cause.restores { "restores" } else { "consumes" };
        pairs.push(("cause", format!("{name} {does}")));
    }
    table::block(&pairs)
}

fn no_yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// What the contract says of an absent value.
fn or(text: String, absent: &str) -> String {
    if text.is_empty() { absent.to_owned() } else { text }
}
