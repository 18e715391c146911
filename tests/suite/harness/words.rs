//! Short words for ids, catalogs and commands.

use std::collections::BTreeMap;

use creditgate::{
    domain::{
        catalog::{Catalog, Policy, ScanKind},
        command::{Action, Command, Grant, OperationKind, Reserve},
        credit::LotSource,
        reservation::{ReleaseCause, Scan},
    },
    ids::{AccountId, CreditType, OperationId, ReservationId, ScanKindName},
};

pub fn account(id: &str) -> AccountId {
    AccountId::new(id).unwrap()
}

pub fn credit_type(id: &str) -> CreditType {
    CreditType::new(id).unwrap()
}

pub fn reservation(id: &str) -> ReservationId {
    ReservationId::new(id).unwrap()
}

/// A free kind, one of 1 credit, one of 3, and one with a price of its own;
/// accounts without a plan may spend.
pub fn catalog() -> Catalog {
    let kind = |name: &str, credit_type: Option<&str>, credits| ScanKind {
        name: ScanKindName::new(name).unwrap(),
        credit_type: credit_type.map(|name| CreditType::new(name).unwrap()),
        credits,
        default_lease: None,
        max_lease: None,
    };
    Catalog {
        scan_kinds: vec![
            kind("quick_scan", None, 0),
            kind("live_audit", Some("scan"), 1),
            kind("deep_audit", Some("scan"), 3),
            kind("auto_fix", Some("fix"), 0),
        ],
        policy: Policy { planless_accounts_may_spend: true, ..Policy::default() },
        ..Catalog::default()
    }
}

pub fn command(account_id: &str, action: Action) -> Command {
    Command { account_id: account(account_id), actor: "test".to_owned(), action }
}

pub fn scan(kind: &str) -> Scan {
    Scan { project_id: None, scan_kind: ScanKindName::new(kind).unwrap(), credits: 0 }
}

pub fn reserve(account_id: &str, id: &str, kind: &str) -> Command {
    let action = Action::Reserve(Reserve {
        reservation_id: reservation(id),
        scan: scan(kind),
        lease: None,
        labels: BTreeMap::new(),
    });
    command(account_id, action)
}

pub fn commit(account_id: &str, id: &str) -> Command {
    command(account_id, Action::Commit { reservation_id: reservation(id), credits: None })
}

pub fn release(account_id: &str, id: &str, cause: ReleaseCause) -> Command {
    let action = Action::Release { reservation_id: reservation(id), cause, note: String::new() };
    command(account_id, action)
}

pub fn expire(account_id: &str, id: &str) -> Command {
    command(account_id, Action::ExpireLease { reservation_id: reservation(id) })
}

pub fn grant(account_id: &str, id: &str, credit_type_name: &str, credits: i64) -> Command {
    let action = Action::Grant(Grant {
        key: (OperationKind::Grant, OperationId::new(id).unwrap()),
        source: LotSource::Grant,
        credit_type: credit_type(credit_type_name),
        credits,
        expire_time: None,
        reason: "welcome".to_owned(),
    });
    command(account_id, action)
}
