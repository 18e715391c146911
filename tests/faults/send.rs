//! One call: sent, and its answer put into the history's words.

use std::time::Duration;

use creditgate::{
    clock::Timestamp,
    proto::{
        self, billing_service_client::BillingServiceClient, gate_service_client::GateServiceClient,
        ledger_service_client::LedgerServiceClient, reserve_response,
    },
};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::history::{Answer, Ask, Balance, Fate};

/// The one type of credits.
pub const CREDIT_TYPE: &str = "scan";

/// Reservations that the database refuses in these runs: their ids begin so.
pub const POISON: &str = "poison";

/// A call as it is sent, and sent again.
#[derive(Debug, Clone)]
pub struct Sent {
    pub account: String,
    pub ask: Ask,
    pub lease: Option<Duration>,
}

/// Clients of one replica.
#[derive(Clone)]
pub struct Clients {
    pub gate: GateServiceClient<Channel>,
    pub ledger: LedgerServiceClient<Channel>,
    pub billing: BillingServiceClient<Channel>,
}

impl Clients {
    pub fn of(channel: Channel) -> Self {
        Self {
            gate: GateServiceClient::new(channel.clone()),
            ledger: LedgerServiceClient::new(channel.clone()),
            billing: BillingServiceClient::new(channel),
        }
    }

    /// Sends a call; nothing where it is unknown what became of it.
    pub async fn send(&self, sent: &Sent, deadline: Duration) -> Option<Answer> {
        let answered = tokio::time::timeout(deadline, self.dispatch(sent, deadline)).await.ok()?;
        answered.map_or_else(|status| refused(&sent.ask, &status), Some)
    }

    async fn dispatch(&self, sent: &Sent, deadline: Duration) -> Result<Answer, Status> {
        let account_id = sent.account.clone();
        let (mut gate, mut ledger) = (self.gate.clone(), self.ledger.clone());
        match &sent.ask {
            Ask::Reserve { .. } => {
                let response = gate.reserve(within(deadline, reserve(sent))).await?.into_inner();
                Ok(reserved(response))
            }
            Ask::Extend { id } => {
                let lease = sent.lease.map(|lease| lease.try_into().unwrap());
                let request =
                    proto::ExtendRequest { account_id, reservation_id: id.clone(), lease };
                let response = gate.extend(within(deadline, request)).await?.into_inner();
                let reservation = response.reservation.unwrap_or_default();
                let expires = time(reservation.expire_time);
                Ok(Answer::Extended { id: reservation.reservation_id, expires })
            }
            Ask::Commit { id, credits } => {
                let (reservation_id, credits) = (id.clone(), *credits);
                let request = proto::CommitRequest { account_id, reservation_id, credits };
                let response = gate.commit(within(deadline, request)).await?.into_inner();
                let reservation = response.reservation.unwrap_or_default();
                Ok(Answer::Committed {
                    id: reservation.reservation_id,
                    spent: reservation.spent_credits,
                    balance: balance(response.balance),
                    replayed: response.replayed,
                })
            }
            Ask::Release { id, restores } => {
                let cause = match restores {
                    true => proto::ReleaseCause::PlatformError,
                    false => proto::ReleaseCause::TargetUnreachable,
                };
                let request = proto::ReleaseRequest {
                    account_id,
                    reservation_id: id.clone(),
                    cause: cause.into(),
                    note: String::new(),
                };
                let response = gate.release(within(deadline, request)).await?.into_inner();
                let fate = match response.disposition() {
                    proto::Disposition::Restored => Fate::Restored,
                    proto::Disposition::Refunded => Fate::Refunded,
                    _ => Fate::Consumed,
                };
                Ok(Answer::Released {
                    fate,
                    restored: response.restored_credits,
                    balance: balance(response.balance),
                    replayed: response.replayed,
                    id: response.reservation.unwrap_or_default().reservation_id,
                })
            }
            Ask::Grant { id, credits } => {
                let request = proto::GrantCreditsRequest {
                    grant_id: id.clone(),
                    account_id,
                    credit_type: CREDIT_TYPE.to_owned(),
                    credits: *credits,
                    expire_time: None,
                    reason: id.clone(),
                };
                let sent = self.billing.clone().grant_credits(within(deadline, request)).await;
                let response = sent?.into_inner();
                let (balance, replayed) = (balance(response.balance), response.replayed);
                Ok(Answer::Granted { balance, replayed })
            }
            Ask::Balance => {
                let credit_type = CREDIT_TYPE.to_owned();
                let request = proto::GetBalanceRequest { account_id, credit_type, as_of: None };
                let response = ledger.get_balance(within(deadline, request)).await?.into_inner();
                Ok(Answer::Read { balance: balance(response.balances.into_iter().next()) })
            }
            Ask::Check { credits } => {
                let request =
                    proto::CheckEligibilityRequest { scan: Some(scan(account_id, *credits)) };
                let response =
                    gate.check_eligibility(within(deadline, request)).await?.into_inner();
                let balance = balance(response.balance);
                Ok(match response.verdict {
                    Some(proto::check_eligibility_response::Verdict::Eligible(_)) => {
                        Answer::Eligible { balance }
                    }
                    Some(proto::check_eligibility_response::Verdict::Block(block)) => {
                        Answer::Blocked { required: block.required_credits, balance }
                    }
                    None => Answer::Broken { why: "no verdict".to_owned() },
                })
            }
            Ask::Webhook { .. } | Ask::Forgery { .. } => unreachable!("not sent by gRPC"),
        }
    }

    /// Reserves several at once, together with one for an account that is none.
    /// Answers each as if it had been asked alone.
    pub async fn send_batch(&self, sent: &[Sent], deadline: Duration) -> Vec<Option<Answer>> {
        let mut requests: Vec<_> = sent.iter().map(reserve).collect();
        let nobody = Sent { account: "nobody".to_owned(), ..sent[0].clone() };
        requests.insert(sent.len() / 2, reserve(&nobody));
        let request = within(deadline, proto::BatchReserveRequest { requests });
        let mut gate = self.gate.clone();
        let answered = tokio::time::timeout(deadline, gate.batch_reserve(request)).await;
        let mut results = match answered {
            Err(_) => return vec![None; sent.len()],
            Ok(Err(status)) => return vec![refused(&sent[0].ask, &status); sent.len()],
            Ok(Ok(response)) => response.into_inner().results,
        };
        results.remove(sent.len() / 2);
        let answers = results.into_iter().zip(sent).map(|(result, sent)| match result.result {
            Some(proto::batch_reserve_result::Result::Response(response)) => {
                Some(reserved(response))
            }
            Some(proto::batch_reserve_result::Result::Error(error)) => {
                judge(&sent.ask, Code::from(error.code), Some(&error.reason), &error.message)
            }
            None => Some(Answer::Broken { why: "no result".to_owned() }),
        });
        answers.collect()
    }
}

fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn scan(account_id: String, credits: i64) -> proto::Scan {
    let scan_kind = if credits == 1 { "live_audit" } else { "deep_audit" };
    proto::Scan { account_id, scan_kind: scan_kind.to_owned(), ..proto::Scan::default() }
}

fn reserve(sent: &Sent) -> proto::ReserveRequest {
    let Ask::Reserve { id, credits } = &sent.ask else { unreachable!("{sent:?}") };
    proto::ReserveRequest {
        reservation_id: id.clone(),
        scan: Some(scan(sent.account.clone(), *credits)),
        lease: sent.lease.map(|lease| lease.try_into().unwrap()),
        ..proto::ReserveRequest::default()
    }
}

fn reserved(response: proto::ReserveResponse) -> Answer {
    let balance = balance(response.balance);
    match response.verdict {
        Some(reserve_response::Verdict::Reservation(reservation)) => Answer::Held {
            id: reservation.reservation_id,
            expires: time(reservation.expire_time),
            balance,
            replayed: response.replayed,
        },
        Some(reserve_response::Verdict::Block(block)) => {
            Answer::Blocked { required: block.required_credits, balance }
        }
        None => Answer::Broken { why: "no verdict".to_owned() },
    }
}

fn balance(told: Option<proto::Balance>) -> Balance {
    let told = told.unwrap_or_default();
    Balance {
        available: told.available,
        reserved: told.reserved,
        spent: told.spent,
        sequence: told.sequence,
    }
}

fn time(told: Option<prost_types::Timestamp>) -> Timestamp {
    let told = told.unwrap_or_default();
    let nanos = u32::try_from(told.nanos).unwrap_or_default();
    Timestamp::from_timestamp(told.seconds, nanos).unwrap_or_default()
}

fn refused(ask: &Ask, status: &Status) -> Option<Answer> {
    let info = status.get_details_error_info();
    judge(ask, status.code(), info.as_ref().map(|info| info.reason.as_str()), status.message())
}

/// What an error says of its call. Without a reason it comes from the network.
fn judge(ask: &Ask, code: Code, reason: Option<&str>, message: &str) -> Option<Answer> {
    let reason = reason?.to_owned();
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => None,
        Code::ResourceExhausted => Some(Answer::NotDone),
        Code::NotFound | Code::FailedPrecondition | Code::InvalidArgument => {
            Some(Answer::Refused { reason })
        }
        // The database refuses it in these runs, and it alone.
        Code::Internal if ask.reservation().is_some_and(|id| id.starts_with(POISON)) => {
            Some(Answer::NotDone)
        }
        _ => Some(Answer::Broken { why: format!("{code:?} {reason}: {message}") }),
    }
}
