//! What a key may do: which call takes which scope.

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Asks before a scan, holds credits for it, settles it.
    Scheduler,
    /// Settles what others have held.
    Reconciler,
    /// Accounts, projects, subscriptions and purchases; no credits for nothing.
    Billing,
    /// Everything.
    Operator,
    /// Looks, and changes nothing.
    Viewer,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Scheduler, Self::Reconciler, Self::Billing, Self::Operator, Self::Viewer];

    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Reconciler => "reconciler",
            Self::Billing => "billing",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// The scopes of which a call takes any, beside the operator's, which may do
/// everything; `None` for what is no call of the contract.
#[must_use]
pub fn scopes_of(path: &str) -> Option<&'static [Scope]> {
    use Scope::{Billing, Reconciler, Scheduler, Viewer};
    let (service, method) = path.strip_prefix("/creditgate.v1.")?.split_once('/')?;
    Some(match (service, method) {
        ("GateService", "CheckEligibility") => &[Scheduler, Viewer],
        ("GateService", "Reserve" | "BatchReserve" | "Extend" | "WatchUnblocked") => &[Scheduler],
        ("GateService", "Commit" | "Release") => &[Scheduler, Reconciler],
        ("GateService", "GetReservation" | "ListReservations") => {
            &[Scheduler, Reconciler, Billing, Viewer]
        }
        ("LedgerService", "GetBalance") => &[Scheduler, Reconciler, Billing, Viewer],
        ("LedgerService", "ListLots" | "ListLedgerEntries" | "VerifyLedger") => &[Billing, Viewer],
        ("AccountService", "GetAccount" | "ListAccounts") => &[Billing, Viewer],
        (
            "AccountService",
            "CreateAccount" | "AssignProject" | "UnassignProject" | "LinkProvider",
        ) => &[Billing],
        // Who may suspend an account may stop its scans; who may grant makes credits.
        ("AccountService", "SetAccountSuspension")
        | ("BillingService", "GrantCredits" | "RevokeCredits" | "ConfirmTopUp")
        | ("CatalogService", "ApplyCatalog") => &[],
        // Who lets callers in may do all that they may.
        (
            "AccessService",
            "CreateKey" | "ListKeys" | "RotateKey" | "RevokeKey" | "AddPrincipal"
            | "ListPrincipals" | "RemovePrincipal",
        ) => &[],
        (
            "BillingService",
            "StartSubscription" | "RenewSubscription" | "ChangePlan" | "CancelSubscription"
            | "ResumeSubscription" | "BeginTopUp" | "FailTopUp",
        ) => &[Billing],
        ("BillingService", "ListTopUps") | ("EventService", "ListEvents" | "WatchEvents") => {
            &[Billing, Viewer]
        }
        // Who is told of everything sees everything; what signs is shown once.
        (
            "DeliveryService",
            "CreateEndpoint"
            | "EnableEndpoint"
            | "DisableEndpoint"
            | "DeleteEndpoint"
            | "RotateEndpointSecret"
            | "ReplayDeliveries",
        ) => &[],
        ("DeliveryService", "ListEndpoints" | "ListDeliveries" | "ListMails") => &[Billing, Viewer],
        ("DeliveryService", "SetMailKinds") => &[Billing],
        ("CatalogService", "GetCatalog") => &[Scheduler, Reconciler, Billing, Viewer],
        _ => return None,
    })
}

/// Whether a call is about one account, which its request names: all that a key
/// may do that sees some accounts alone. The rest shows or changes whose something
/// is, or holds for everybody.
#[must_use]
pub fn is_of_one_account(path: &str) -> bool {
    let Some((service, method)) =
        path.strip_prefix("/creditgate.v1.").and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    match service {
        "GateService" | "LedgerService" | "BillingService" | "EventService" | "DeliveryService" => {
            true
        }
        "AccountService" => matches!(method, "GetAccount" | "SetAccountSuspension"),
        "CatalogService" => method == "GetCatalog",
        _ => false,
    }
}

/// Whether a holder of these scopes may make a call.
#[must_use]
pub fn may(scopes: &[Scope], path: &str) -> bool {
    let Some(wanted) = scopes_of(path) else { return false };
    scopes.iter().any(|scope| *scope == Scope::Operator || wanted.contains(scope))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::calls;

    #[test]
    fn every_call_of_the_contract_says_whose_it_is() {
        let calls = calls();
        assert!(calls.len() > 30);
        for call in calls {
            assert!(scopes_of(&call).is_some(), "{call} is not in the table");
            assert!(may(&[Scope::Operator], &call));
            assert!(!may(&[], &call));
        }
    }

    #[test]
    fn what_is_no_call_is_nobodys() {
        for path in [
            "",
            "/",
            "/creditgate.v1.GateService",
            "/creditgate.v1.GateService/",
            "/creditgate.v1.GateService/reserve",
            "/creditgate.v1.GateService/Reserve/",
            "/creditgate.v2.GateService/Reserve",
            "//creditgate.v1.GateService/Reserve",
        ] {
            assert!(!may(&Scope::ALL, path), "{path}");
        }
    }

    #[test]
    fn a_viewer_changes_nothing_and_only_an_operator_makes_credits() {
        let changes = |call: &str| {
            let name = call.rsplit('/').next().unwrap();
            !["Get", "List", "Watch", "Check", "Verify"].iter().any(|verb| name.starts_with(verb))
        };
        for call in calls() {
            assert!(!(may(&[Scope::Viewer], &call) && changes(&call)), "{call}");
        }
        for call in ["GrantCredits", "RevokeCredits", "ConfirmTopUp"] {
            let path = format!("/creditgate.v1.BillingService/{call}");
            let others = [Scope::Scheduler, Scope::Reconciler, Scope::Billing, Scope::Viewer];
            assert!(!may(&others, &path), "{call}");
        }
    }
}
