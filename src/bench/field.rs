//! The field: contestants that are ready to be measured, each with a database of
//! its own.

use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

use super::{
    BenchError,
    baseline::{floor::Floor, function, ledger},
    child::{Child, sample},
    load::Accounts,
    stage::{Stage, Venue},
};
use crate::{ledger::Ledger, telemetry};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// creditgate, as `serve` runs it.
    Gate,
    /// A gRPC service with a transaction for each request.
    Service,
    /// A PL/pgSQL function for each Reserve, without gRPC.
    Function,
    /// The gate's batches without gRPC.
    Ledger,
    /// The gate's write statements alone.
    Floor,
}

impl Contestant {
    /// Its name, also that of its database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Service => "service",
            Self::Function => "function",
            Self::Ledger => "ledger",
            Self::Floor => "floor",
        }
    }
}

/// A contestant that is ready.
#[derive(Debug)]
pub(super) enum Ready {
    /// A server, and its database where it is ours.
    Served {
        contestant: Contestant,
        child: Box<Child>,
        venue: Venue,
    },
    /// A gate that somebody else runs.
    Elsewhere {
        address: String,
    },
    Function {
        venue: Venue,
    },
    Ledger {
        ledger: Ledger,
        venue: Venue,
        metrics: PrometheusHandle,
    },
    Floor {
        floor: Box<Floor>,
        venue: Venue,
    },
}

impl Ready {
    /// Makes a contestant ready. Its database is a fresh copy.
    pub(super) async fn on(
        stage: &mut Stage,
        contestant: Contestant,
        accounts: Accounts,
    ) -> Result<Self, BenchError> {
        let venue = stage.venue(contestant.name()).await?;
        Ok(match contestant {
            Contestant::Gate => {
                Self::Served { contestant, child: Box::new(Child::gate(&venue.url).await?), venue }
            }
            Contestant::Service => Self::Served {
                contestant,
                child: Box::new(Child::plain_service(&venue.url).await?),
                venue,
            },
            Contestant::Function => {
                function::install(&venue.owner_url).await?;
                Self::Function { venue }
            }
            Contestant::Ledger => {
                let metrics = telemetry::init_metrics()
                    .map_err(|error| BenchError::Other(error.to_string()))?;
                Self::Ledger { ledger: ledger::start(&venue.url).await?, venue, metrics }
            }
            Contestant::Floor => {
                Self::Floor { floor: Box::new(Floor::open(&venue.url, accounts).await?), venue }
            }
        })
    }

    /// Which contestant it is.
    pub(super) fn contestant(&self) -> Contestant {
        match self {
            Self::Served { contestant, .. } => *contestant,
            Self::Elsewhere { .. } => Contestant::Gate,
            Self::Function { .. } => Contestant::Function,
            Self::Ledger { .. } => Contestant::Ledger,
            Self::Floor { .. } => Contestant::Floor,
        }
    }

    /// Its database, where it is ours.
    pub(super) fn venue(&self) -> Option<&Venue> {
        match self {
            Self::Served { venue, .. }
            | Self::Function { venue }
            | Self::Ledger { venue, .. }
            | Self::Floor { venue, .. } => Some(venue),
            Self::Elsewhere { .. } => None,
        }
    }

    /// The process that serves, where it is ours.
    pub(super) fn server(&self) -> Option<u32> {
        match self {
            Self::Served { child, .. } => Some(child.process_id),
            _ => None,
        }
    }

    /// Where gRPC is served.
    pub(super) fn address(&self) -> Option<&str> {
        match self {
            Self::Served { child, .. } => Some(&child.grpc),
            Self::Elsewhere { address } => Some(address),
            _ => None,
        }
    }

    /// Commands, and batches that they went in.
    pub(super) async fn batches(&self) -> Option<(f64, f64)> {
        const NAME: &str = "creditgate_batch_commands";
        match self {
            Self::Served { child, .. } => child.metric(NAME).await,
            Self::Ledger { metrics, .. } => {
                let text = metrics.render();
                let value = |end: &str| sample(&text, &format!("{NAME}_{end}"));
                Some((value("sum")?, value("count")?))
            }
            _ => None,
        }
    }

    /// Ends it in good order.
    pub(super) async fn leave(self) -> Result<(), BenchError> {
        match self {
            Self::Served { child, .. } => child.stop().await?,
            Self::Ledger { ledger, .. } => ledger.close().await,
            Self::Floor { floor, .. } => floor.close().await,
            Self::Function { .. } | Self::Elsewhere { .. } => {}
        }
        Ok(())
    }
}
