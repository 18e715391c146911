//! Accounts with credits, many at once: rows that the product would have made
//! one by one, decided and hashed by the domain.

mod history;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeZone, Utc};
use sqlx::{ConnectOptions, Connection, Executor, postgres::PgConnectOptions};

use self::history::History;
use super::{BenchError, load::account_id};
use crate::{
    clock::Timestamp,
    domain::{
        account::{Account, AccountState, Halt},
        catalog::{Catalog, Policy, ScanKind},
        command::{Action, Command, Grant, OperationKind},
        context::Context,
        credit::LotSource,
        decide::decide,
    },
    ids::{AccountId, CreditType, IdError, LotId, OperationId, ScanKindName},
    ledger::verify,
    store::{
        Database,
        batch::{Footing, LaneConnection},
    },
};

/// The cell that all accounts live in.
pub const CELL: &str = "cell_00";
/// The kind of scan that is reserved.
pub const SCAN_KIND: &str = "live_audit";
/// What it costs.
pub const SCAN_PRICE: i64 = 1;
/// The type of credits that it takes.
pub const CREDIT_TYPE: &str = "scan";
/// What each account begins with: more than any run spends.
const CREDITS: i64 = 1_000_000_000;
/// Accounts that are written at once.
const CHUNK: usize = 1_000;

fn broken(error: IdError) -> BenchError {
    BenchError::Other(format!("an id of the bench's own {error}"))
}

/// What the bench asks for is never refused, and nothing has to be read for it.
fn halted(halt: Halt) -> BenchError {
    match halt {
        Halt::Refused(refusal) => BenchError::Other(refusal.to_string()),
        Halt::Missing(missing) => BenchError::Other(format!("{missing:?} is missing")),
    }
}

/// One kind of scan, and accounts without a plan may have it.
///
/// # Errors
///
/// None: its names are well formed.
pub fn catalog() -> Result<Catalog, BenchError> {
    let kind = ScanKind {
        name: ScanKindName::new(SCAN_KIND).map_err(broken)?,
        credit_type: Some(CreditType::new(CREDIT_TYPE).map_err(broken)?),
        credits: SCAN_PRICE,
        default_lease: None,
        max_lease: None,
    };
    Ok(Catalog {
        scan_kinds: vec![kind],
        policy: Policy { planless_accounts_may_spend: true, ..Policy::default() },
        ..Catalog::default()
    })
}

/// Now, in the microseconds that Postgres keeps.
pub(super) fn now() -> Timestamp {
    Utc.timestamp_micros(Utc::now().timestamp_micros()).single().unwrap_or(DateTime::UNIX_EPOCH)
}

/// Makes a database's catalog and `count` accounts, and `history` reservations
/// that they have made and committed before. As the owner.
///
/// # Errors
///
/// The database refuses.
pub async fn load(owner_url: &str, count: u32, history: u64) -> Result<(), BenchError> {
    let catalog = catalog()?;
    let database = Database::new(owner_url, 2)?;
    database.apply_catalog(&catalog, "bench").await?;
    let revision = database.catalog().await?.revision;
    let cells = database.cells().await?;
    let cell = cells.first().ok_or_else(|| BenchError::Other("there is no cell".to_owned()))?;
    let mut lane = LaneConnection::connect(cell).await?;
    let options: PgConnectOptions = owner_url.parse()?;
    let options = options.options([("search_path", CELL)]).disable_statement_logging();
    let mut connection = options.connect().await?;
    let each = history.div_ceil(count.into());
    let mut lived = History::default();
    let numbers: Vec<u32> = (0..count).collect();
    for chunk in numbers.chunks(CHUNK) {
        let now = now();
        let begun = now - history::duration(each);
        let mut states = granted(chunk, &catalog, begun)?;
        let ids: Vec<&str> = states.keys().map(AccountId::as_str).collect();
        sqlx::query(
            "INSERT INTO public.account_directory (account_id, cell_id)
             SELECT account_id, $2 FROM UNNEST($1::text[]) AS u (account_id)",
        )
        .bind(&ids)
        .bind(cell.cell_id)
        .execute(&mut connection)
        .await?;
        sqlx::query(
            "INSERT INTO accounts (account_id, version, held_scans, subscriptions, suspended,
                                   suspension_reason, display_name, billing_email, create_time)
             SELECT account_id, 1, 0, 0, false, '', '', '', $2
               FROM UNNEST($1::text[]) AS u (account_id)",
        )
        .bind(&ids)
        .bind(begun)
        .execute(&mut connection)
        .await?;
        if history > 0 {
            for (_, state) in states.values_mut() {
                lived.live(state, each, &catalog)?;
                lived.copy_if_large(&mut connection).await?;
            }
            lived.copy(&mut connection).await?;
        }
        // The rest is what the product itself writes after a grant.
        lane.begin().await?;
        let changes = states.values().map(|(before, after)| (before, after));
        lane.write(Footing::read(), now, revision, changes).await?;
        lane.commit().await?;
    }
    if history > 0 {
        // Or autovacuum would, in the middle of what is measured.
        connection.execute("VACUUM (ANALYZE) reservations, ledger_entries").await?;
    }
    connection.close().await?;
    lane.close().await;
    for cell in &cells {
        cell.close().await;
    }
    database.close().await;
    Ok(())
}

/// Accounts whose books are checked after a run: all of them would take longer
/// than the run.
const CHECKED: i64 = 20;
/// The most entries of an account whose books are checked: a hot one has a million.
const MAX_ENTRIES: i64 = 50_000;

/// Checks the books of the busiest accounts, the hot one left out; says of how many, and what does not
/// agree.
///
/// # Errors
///
/// The database is away.
pub(super) async fn check(owner_url: &str) -> Result<(usize, Vec<String>), BenchError> {
    let options: PgConnectOptions = owner_url.parse()?;
    let mut connection = options.options([("search_path", CELL)]).connect().await?;
    let busiest: Vec<String> = sqlx::query_scalar(
        "SELECT account_id FROM balances WHERE sequence <= $1 ORDER BY sequence DESC LIMIT $2",
    )
    .bind(MAX_ENTRIES)
    .bind(CHECKED)
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    let database = Database::new(owner_url, 1)?;
    let (mut checked, mut findings) = (0, Vec::new());
    for cell in database.cells().await? {
        for account_id in &busiest {
            let Some(books) = cell.books(&AccountId::new(account_id).map_err(broken)?).await?
            else {
                continue;
            };
            checked += 1;
            let found = verify::check(&books).findings.into_iter();
            findings.extend(found.map(|what| format!("{account_id}: {what}")));
        }
        cell.close().await;
    }
    database.close().await;
    Ok((checked, findings))
}

/// Accounts before and after the grant of their credits.
fn granted(
    numbers: &[u32],
    catalog: &Catalog,
    now: Timestamp,
) -> Result<BTreeMap<AccountId, (AccountState, AccountState)>, BenchError> {
    let context = Context { now, catalog, new_lot_id: LotId::generate };
    let mut states = BTreeMap::new();
    for number in numbers {
        let account_id = AccountId::new(&account_id(*number)).map_err(broken)?;
        let grant = Grant {
            key: (OperationKind::Grant, OperationId::new("bench").map_err(broken)?),
            source: LotSource::Grant,
            credit_type: CreditType::new(CREDIT_TYPE).map_err(broken)?,
            credits: CREDITS,
            expire_time: None,
            reason: "bench".to_owned(),
        };
        let command = Command {
            account_id: account_id.clone(),
            actor: "bench".to_owned(),
            action: Action::Grant(grant),
        };
        let before = AccountState::new(Account::new(account_id.clone(), now));
        let mut after = before.clone();
        decide(&mut after, &command, &context).map_err(halted)?;
        states.insert(account_id, (before, after));
    }
    Ok(states)
}
