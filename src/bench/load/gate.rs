//! Calls of a gate, or of whatever serves the same contract.

use std::collections::VecDeque;

use rand::RngExt;
use serde::Serialize;
use uuid::Uuid;

use super::{Choice, Done, Failure, Line, wire::Route, write_account_id};
use crate::{bench::BenchError, proto};

/// What callers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Reserve.
    Reserve,
    /// Reserve, and then Commit: a whole scan.
    Pair,
    /// CheckEligibility.
    Check,
    /// BatchReserve of so many.
    Batch(u16),
    /// Of ten calls seven are CheckEligibility, two Reserve, one Commit.
    Mix,
}

impl Workload {
    /// What is counted.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Reserve | Self::Batch(_) => "reservations",
            Self::Pair => "pairs",
            Self::Check => "checks",
            Self::Mix => "calls",
        }
    }
}

/// Reservations of a mix that one caller keeps open at most.
const MAX_HELD: usize = 64;

/// What a caller looks at in an answer: that the scan may run. The rest, which
/// is meant for schedulers, is skipped as unknown fields.
#[derive(Clone, PartialEq, prost::Message)]
struct Verdict {
    /// The reservation, or what a check found.
    #[prost(message, optional, tag = "1")]
    pass: Option<Nothing>,
    #[prost(message, optional, tag = "2")]
    block: Option<Block>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
struct Block {
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Verdicts {
    #[prost(message, repeated, tag = "1")]
    results: Vec<Item>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Item {
    #[prost(message, optional, tag = "1")]
    response: Option<Verdict>,
    #[prost(message, optional, tag = "2")]
    error: Option<Block>,
}

impl Verdict {
    fn allowed(self) -> Result<(), Failure> {
        match (self.pass, self.block) {
            (Some(Nothing {}), None) => Ok(()),
            (_, Some(block)) => Err(Failure::new(format!("blocked: {}", block.message))),
            (None, None) => Err(Failure::new("an answer without a verdict")),
        }
    }
}

impl Item {
    fn allowed(self) -> Result<(), Failure> {
        match (self.response, self.error) {
            (Some(verdict), _) => verdict.allowed(),
            (None, Some(error)) => Err(Failure::new(error.message)),
            (None, None) => Err(Failure::new("an item without a result")),
        }
    }
}

/// What all callers of a load have in common.
#[derive(Debug, Clone)]
pub(in crate::bench) struct GateLoad {
    /// `host:port`.
    pub(in crate::bench) address: String,
    /// The kind of scan.
    pub(in crate::bench) scan_kind: String,
    pub(in crate::bench) workload: Workload,
}

/// One caller: its connection, and messages that it uses again and again.
#[derive(Debug)]
pub(in crate::bench) struct Script {
    line: Line,
    workload: Workload,
    choice: Choice,
    reserve: Route,
    commit: Route,
    check: Route,
    batch: Route,
    request: proto::ReserveRequest,
    /// For BatchReserve.
    requests: proto::BatchReserveRequest,
    /// Reservations of a mix that are still to be committed: account and id.
    held: VecDeque<(String, String)>,
}

impl GateLoad {
    /// A caller on this connection.
    pub(in crate::bench) fn script(
        &self,
        line: &Line,
        choice: &Choice,
    ) -> Result<Script, BenchError> {
        let route = |method| line.route(&format!("creditgate.v1.GateService/{method}"));
        let request = proto::ReserveRequest {
            scan: Some(proto::Scan { scan_kind: self.scan_kind.clone(), ..Default::default() }),
            ..Default::default()
        };
        let items = match self.workload {
            Workload::Batch(size) => usize::from(size),
            _ => 0,
        };
        Ok(Script {
            line: line.clone(),
            workload: self.workload,
            choice: choice.clone(),
            reserve: route("Reserve")?,
            commit: route("Commit")?,
            check: route("CheckEligibility")?,
            batch: route("BatchReserve")?,
            requests: proto::BatchReserveRequest { requests: vec![request.clone(); items] },
            request,
            held: VecDeque::new(),
        })
    }
}

/// Writes another account and a new id into a request.
fn renew(request: &mut proto::ReserveRequest, choice: &Choice) {
    // As schedulers name runs: unique, and in the order of time.
    request.reservation_id.clear();
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    request.reservation_id.push_str(Uuid::now_v7().hyphenated().encode_lower(&mut id));
    if let Some(scan) = &mut request.scan {
        write_account_id(&mut scan.account_id, choice.draw());
    }
}

impl Script {
    /// One round of the workload.
    pub(in crate::bench) async fn call(&mut self) -> Result<Done, Failure> {
        match self.workload {
            Workload::Reserve => self.reserve().await.map(|()| Done { calls: 1, units: 1 }),
            Workload::Check => self.check().await.map(|()| Done { calls: 1, units: 1 }),
            Workload::Pair => {
                self.reserve().await?;
                let (account_id, reservation_id) = self.reserved();
                self.commit(account_id, reservation_id).await?;
                Ok(Done { calls: 2, units: 1 })
            }
            Workload::Batch(size) => {
                for request in &mut self.requests.requests {
                    renew(request, &self.choice);
                }
                let answer: Verdicts = self.line.call(&self.batch, &self.requests).await?;
                if answer.results.len() != usize::from(size) {
                    return Err(Failure::new("a batch without all results"));
                }
                answer.results.into_iter().try_for_each(Item::allowed)?;
                Ok(Done { calls: 1, units: u64::from(size) })
            }
            Workload::Mix => self.mixed().await.map(|()| Done { calls: 1, units: 1 }),
        }
    }

    async fn mixed(&mut self) -> Result<(), Failure> {
        let wanted = rand::rng().random_range(0..10);
        match self.held.pop_front() {
            Some((account_id, reservation_id)) if wanted == 9 => {
                self.commit(account_id, reservation_id).await
            }
            held => {
                self.held.extend(held);
                if wanted < 7 {
                    return self.check().await;
                }
                self.reserve().await?;
                if self.held.len() < MAX_HELD {
                    let reserved = self.reserved();
                    self.held.push_back(reserved);
                }
                Ok(())
            }
        }
    }

    /// Account and id of the reservation that was made last.
    fn reserved(&self) -> (String, String) {
        let account_id = self.request.scan.as_ref().map(|scan| scan.account_id.clone());
        (account_id.unwrap_or_default(), self.request.reservation_id.clone())
    }

    async fn reserve(&mut self) -> Result<(), Failure> {
        renew(&mut self.request, &self.choice);
        self.line.call::<Verdict>(&self.reserve, &self.request).await?.allowed()
    }

    async fn check(&mut self) -> Result<(), Failure> {
        let mut asked = proto::CheckEligibilityRequest { scan: self.request.scan.take() };
        if let Some(scan) = &mut asked.scan {
            write_account_id(&mut scan.account_id, self.choice.draw());
        }
        let answer = self.line.call::<Verdict>(&self.check, &asked).await;
        self.request.scan = asked.scan;
        answer?.allowed()
    }

    async fn commit(&mut self, account_id: String, reservation_id: String) -> Result<(), Failure> {
        let request = proto::CommitRequest { account_id, reservation_id, credits: None };
        self.line.call::<Nothing>(&self.commit, &request).await.map(|Nothing {}| ())
    }
}
