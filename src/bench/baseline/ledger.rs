//! The gate's batches without gRPC: callers hand their commands to a ledger in
//! this process.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use crate::{
    bench::{
        BenchError,
        books::SCAN_KIND,
        load::{Choice, Done, Failure, account_id},
    },
    domain::{
        command::{Action, Command, Outcome, Reserve},
        reservation::Scan,
    },
    ids::{AccountId, IdError, ReservationId, ScanKindName},
    ledger::{Ledger, LedgerOptions},
    store::Database,
};

/// Callers at once: two full batches for each lane, one that is being written
/// and one that is waiting. So what is compared with the floor has batches as
/// large as the floor's.
pub const CALLERS: usize = 2_048;

/// Starts a ledger as a server does.
///
/// # Errors
///
/// The database is away.
pub async fn start(url: &str) -> Result<Ledger, BenchError> {
    let database = Database::for_server(url, 1)?;
    let cells = database.cells().await?;
    Ok(Ledger::start(database, cells, &LedgerOptions::default()))
}

/// Checked ids of all accounts: an edge makes them, which is none of the batch
/// path's work.
///
/// # Errors
///
/// None: the ids are well formed.
pub fn account_ids(count: u32) -> Result<Arc<[AccountId]>, BenchError> {
    let ids: Result<_, IdError> = (0..count).map(|n| AccountId::new(&account_id(n))).collect();
    ids.map_err(|error| BenchError::Other(error.to_string()))
}

/// One caller.
#[derive(Debug, Clone)]
pub struct LedgerCaller {
    ledger: Ledger,
    choice: Choice,
    accounts: Arc<[AccountId]>,
    scan_kind: ScanKindName,
}

impl LedgerCaller {
    /// A caller of this ledger.
    ///
    /// # Errors
    ///
    /// None: the kind's name is well formed.
    pub fn new(
        ledger: Ledger,
        choice: Choice,
        accounts: Arc<[AccountId]>,
    ) -> Result<Self, BenchError> {
        let scan_kind = ScanKindName::new(SCAN_KIND);
        let scan_kind = scan_kind.map_err(|error| BenchError::Other(error.to_string()))?;
        Ok(Self { ledger, choice, accounts, scan_kind })
    }

    /// One Reserve.
    ///
    /// # Errors
    ///
    /// The ledger refuses, or the scan is blocked.
    pub async fn call(&mut self) -> Result<Done, Failure> {
        let command = reserve(&self.accounts, &self.choice, &self.scan_kind)?;
        match self.ledger.submit(command).await {
            Ok(Outcome::Reserved { .. }) => Ok(Done { calls: 1, units: 1 }),
            Ok(Outcome::Blocked { block, .. }) => {
                Err(Failure::new(format!("blocked: {}", block.message)))
            }
            Ok(_) => Err(Failure::new("another outcome than was asked for")),
            Err(error) => Err(Failure::new(error.to_string())),
        }
    }
}

/// A Reserve of a new reservation, on an account that is drawn.
pub(super) fn reserve(
    accounts: &[AccountId],
    choice: &Choice,
    scan_kind: &ScanKindName,
) -> Result<Command, Failure> {
    let number = usize::try_from(choice.draw()).unwrap_or_default();
    let account_id = accounts.get(number).ok_or_else(|| Failure::new("no such account"))?;
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    let id: &str = Uuid::now_v7().hyphenated().encode_lower(&mut id);
    let reservation_id = ReservationId::new(id).map_err(|error| Failure::new(error.to_string()))?;
    let scan = Scan { project_id: None, scan_kind: scan_kind.clone(), credits: 0 };
    let reserve = Reserve { reservation_id, scan, lease: None, labels: BTreeMap::new() };
    Ok(Command {
        account_id: account_id.clone(),
        actor: "anonymous".to_owned(),
        action: Action::Reserve(reserve),
    })
}
