//! Balances, lots and the ledger, as they stand.

use tonic::{Request, Response, Status};

use super::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, decode, encode, page::EntryKey, seen};
use crate::{
    domain::entry::Entry,
    ids::AccountId,
    ledger::{Ledger, LotKey},
    proto::{
        self,
        ledger_service_server::{LedgerService, LedgerServiceServer},
    },
};

/// `LedgerService`.
#[derive(Debug, Clone)]
pub struct LedgerApi {
    ledger: Ledger,
}

impl LedgerApi {
    /// Reads of this ledger.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> LedgerServiceServer<Self> {
        LedgerServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// The ledger as a request's caller sees it.
    fn ledger<T>(&self, request: &Request<T>) -> Ledger {
        self.ledger.seen_by(seen(request))
    }
}

#[tonic::async_trait]
impl LedgerService for LedgerApi {
    async fn get_balance(
        &self,
        request: Request<proto::GetBalanceRequest>,
    ) -> Result<Response<proto::GetBalanceResponse>, Status> {
        let ledger = self.ledger(&request);
        let (account_id, credit_type, as_of) = decode::balances(request.get_ref())?;
        let balances = ledger.balances(&account_id, credit_type.as_ref(), as_of).await?;
        let balances = balances
            .iter()
            .map(|(credit_type, balance)| encode::balance(&account_id, credit_type, balance))
            .collect();
        Ok(Response::new(proto::GetBalanceResponse { balances }))
    }

    async fn list_lots(
        &self,
        request: Request<proto::ListLotsRequest>,
    ) -> Result<Response<proto::ListLotsResponse>, Status> {
        let ledger = self.ledger(&request);
        let asked = decode::lots(request.get_ref())?;
        let account_id = asked.query.account_id.clone();
        let rows = ledger.lots(asked.query).await?;
        let (lots, next_page_token) = asked.list.page(
            rows,
            asked.size,
            |lot| LotKey {
                expire_time: lot.expire_time,
                create_time: lot.create_time,
                lot_id: lot.lot_id,
            },
            |lot| encode::lot(&account_id, lot),
        );
        Ok(Response::new(proto::ListLotsResponse { lots, next_page_token }))
    }

    async fn list_ledger_entries(
        &self,
        request: Request<proto::ListLedgerEntriesRequest>,
    ) -> Result<Response<proto::ListLedgerEntriesResponse>, Status> {
        let ledger = self.ledger(&request);
        let (asked, reservation_id) = decode::entries(request.get_ref())?;
        let account_id = asked.query.account_id.clone();
        let rows = match reservation_id {
            None => ledger.entries(asked.query).await?,
            // A handful, read whole: the filters and the page are cut here.
            Some(reservation_id) => {
                let mut rows = ledger.entries_of(&account_id, &reservation_id).await?;
                let query = asked.query;
                rows.retain(|entry| {
                    query.credit_type.as_ref().is_none_or(|name| *name == entry.credit_type)
                        && query.before.as_ref().is_none_or(|before| key(entry) < *before)
                });
                rows
            }
        };
        let (entries, next_page_token) =
            asked.list.page(rows, asked.size, key, |entry| encode::entry(&account_id, entry));
        Ok(Response::new(proto::ListLedgerEntriesResponse { entries, next_page_token }))
    }

    async fn verify_ledger(
        &self,
        request: Request<proto::VerifyLedgerRequest>,
    ) -> Result<Response<proto::VerifyLedgerResponse>, Status> {
        let ledger = self.ledger(&request);
        let account_id =
            decode::one_id("account_id", &request.get_ref().account_id, AccountId::new)?;
        let report = ledger.verify(&account_id).await?;
        let (entries, findings) = (report.entries, report.findings);
        Ok(Response::new(proto::VerifyLedgerResponse { entries, findings }))
    }
}

fn key(entry: &Entry) -> EntryKey {
    (entry.create_time, entry.credit_type.clone(), entry.sequence)
}
