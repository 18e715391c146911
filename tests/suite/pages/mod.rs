//! The two products that the rules come from, each page sentence by sentence,
//! with the catalog that is shipped for it.

mod prebreach;
mod webriskops;

use std::path::Path;

use chrono::TimeDelta;
use creditgate::{
    cli::catalog_file,
    clock::{Clock, ManualClock, Timestamp},
    proto::{self, BlockReason, Disposition, check_eligibility_response, reserve_response},
};

use crate::harness::{TestDb, TestServer, eventually, settings};

/// A product: a server with its catalog, and a calendar that is turned by hand.
struct Product {
    db: TestDb,
    server: TestServer,
    clock: ManualClock,
}

fn day(text: &str) -> Timestamp {
    format!("{text}T09:00:00Z").parse().unwrap()
}

impl Product {
    async fn open(catalog: &str, today: &str) -> Self {
        let db = TestDb::new().await;
        let clock = ManualClock::at(day(today));
        let server = TestServer::with(&settings(&db), Clock::Manual(clock.clone())).await;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/catalogs").join(catalog);
        let request = proto::ApplyCatalogRequest {
            catalog: Some(catalog_file::read(&path).unwrap()),
            validate_only: false,
        };
        server.catalog().apply_catalog(request).await.unwrap();
        Self { db, server, clock }
    }

    fn today(&self, text: &str) {
        self.clock.advance(day(text) - self.clock.now());
    }

    fn wait(&self, span: TimeDelta) {
        self.clock.advance(span);
    }

    async fn account(&self, id: &str) {
        self.server.create_account(id).await;
    }

    async fn own(&self, account_id: &str, project_id: &str) {
        let request = proto::AssignProjectRequest {
            project_id: project_id.to_owned(),
            account_id: account_id.to_owned(),
        };
        self.server.accounts().assign_project(request).await.unwrap();
    }

    async fn start(&self, request: proto::StartSubscriptionRequest) -> proto::Subscription {
        let started = self.server.billing().start_subscription(request).await.unwrap();
        started.into_inner().subscription.unwrap()
    }

    /// An account with a plan from today on.
    async fn subscribe(&self, account_id: &str, plan: &str, interval: proto::BillingInterval) {
        self.account(account_id).await;
        self.start(proto::StartSubscriptionRequest {
            account_id: account_id.to_owned(),
            plan: plan.to_owned(),
            interval: interval.into(),
            ..Default::default()
        })
        .await;
    }

    async fn cancel(&self, account_id: &str, immediately: bool) -> proto::Subscription {
        let request = proto::CancelSubscriptionRequest {
            account_id: account_id.to_owned(),
            immediately,
            subscription_id: String::new(),
        };
        let canceled = self.server.billing().cancel_subscription(request).await.unwrap();
        canceled.into_inner().subscription.unwrap()
    }

    async fn begin(&self, account_id: &str, id: &str, credit_type: &str, n: i64) -> proto::TopUp {
        let request = proto::BeginTopUpRequest {
            top_up_id: id.to_owned(),
            account_id: account_id.to_owned(),
            credit_type: credit_type.to_owned(),
            credits: n,
            provider: "manual".to_owned(),
            provider_reference: String::new(),
        };
        self.server.billing().begin_top_up(request).await.unwrap().into_inner().top_up.unwrap()
    }

    async fn confirm(&self, id: &str) {
        let request = proto::ConfirmTopUpRequest {
            top_up_id: id.to_owned(),
            provider_reference: String::new(),
        };
        self.server.billing().confirm_top_up(request).await.unwrap();
    }

    fn scan(account_id: &str, kind: &str, project: &str) -> proto::Scan {
        proto::Scan {
            account_id: account_id.to_owned(),
            project_id: project.to_owned(),
            scan_kind: kind.to_owned(),
            credits: 0,
        }
    }

    /// The credits that a scan now holds, or why it must not run; the preflight
    /// has said the same.
    async fn reserve(
        &self,
        id: &str,
        account_id: &str,
        kind: &str,
        project: &str,
    ) -> Result<i64, BlockReason> {
        let scan = Some(Self::scan(account_id, kind, project));
        let check = proto::CheckEligibilityRequest { scan: scan.clone() };
        let check = self.server.gate().check_eligibility(check).await.unwrap().into_inner();
        let foretold = match check.verdict.unwrap() {
            check_eligibility_response::Verdict::Eligible(eligible) => Ok(eligible.credits),
            check_eligibility_response::Verdict::Block(block) => Err(block.reason()),
        };
        let request = proto::ReserveRequest {
            reservation_id: id.to_owned(),
            scan,
            ..proto::ReserveRequest::default()
        };
        let reserved = self.server.gate().reserve(request).await.unwrap().into_inner();
        let verdict = match reserved.verdict.unwrap() {
            reserve_response::Verdict::Reservation(reservation) => Ok(reservation.credits),
            reserve_response::Verdict::Block(block) => Err(block.reason()),
        };
        assert_eq!(foretold, verdict, "check and reserve agree");
        verdict
    }

    async fn block(&self, account_id: &str, kind: &str, project: &str) -> proto::Block {
        let scan = Some(Self::scan(account_id, kind, project));
        let check = proto::CheckEligibilityRequest { scan };
        let check = self.server.gate().check_eligibility(check).await.unwrap().into_inner();
        match check.verdict.unwrap() {
            check_eligibility_response::Verdict::Block(block) => block,
            other @ check_eligibility_response::Verdict::Eligible(_) => panic!("{other:?}"),
        }
    }

    async fn commit(&self, account_id: &str, id: &str) {
        let request = proto::CommitRequest {
            account_id: account_id.to_owned(),
            reservation_id: id.to_owned(),
            credits: None,
        };
        self.server.gate().commit(request).await.unwrap();
    }

    async fn release(
        &self,
        account_id: &str,
        id: &str,
        cause: proto::ReleaseCause,
    ) -> (Disposition, i64) {
        let request = proto::ReleaseRequest {
            account_id: account_id.to_owned(),
            reservation_id: id.to_owned(),
            cause: cause.into(),
            note: String::new(),
        };
        let released = self.server.gate().release(request).await.unwrap().into_inner();
        (released.disposition(), released.restored_credits)
    }

    /// Avail, Res and Spent.
    async fn balance(&self, account_id: &str, credit_type: &str) -> [i64; 3] {
        let request = proto::GetBalanceRequest {
            account_id: account_id.to_owned(),
            credit_type: credit_type.to_owned(),
            ..Default::default()
        };
        let found = self.server.ledger().get_balance(request).await.unwrap().into_inner();
        found.balances.first().map_or([0; 3], |b| [b.available, b.reserved, b.spent])
    }

    /// The ledger of a type, the oldest entry first: kind and credits.
    async fn ledger(
        &self,
        account_id: &str,
        credit_type: &str,
    ) -> Vec<(proto::LedgerEntryKind, i64)> {
        let request = proto::ListLedgerEntriesRequest {
            account_id: account_id.to_owned(),
            credit_type: credit_type.to_owned(),
            ..Default::default()
        };
        let found = self.server.ledger().list_ledger_entries(request).await.unwrap().into_inner();
        found.entries.iter().rev().map(|entry| (entry.kind(), entry.credits)).collect()
    }

    /// Waits until the worker has seen to these accounts, which nobody calls for.
    async fn reaped(&self, account_ids: &[&str]) {
        let due = "SELECT count(*) FROM subscriptions WHERE status <> 5 AND cancel_at_period_end";
        eventually("what is due is done", async || self.db.count(due).await == 0).await;
        for account_id in account_ids {
            assert_eq!(self.balance(account_id, "scan").await[1], 0, "nothing is held");
        }
    }

    async fn close(self) {
        self.server.finish().await;
        self.db.finish().await;
    }
}
