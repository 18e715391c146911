//! `creditgate bench`: how fast the gate is, measured against what people would
//! use instead, on the machine that it is run on.
//!
//! A figure alone says more about the machine than about the program. So each
//! is a ratio of two that were measured within one run: all contestants work on
//! copies of one database in one PostgreSQL, take turns in short slots, round by
//! round, and what is reported is the median of the rounds' ratios and how far
//! they lie apart. Servers are processes of their own, so that what they cost can
//! be told from what their callers cost.
//!
//! Reading order: `suite` (what is compared with what, and what is wanted),
//! `run` (the rounds), `slot` (one contestant for a few seconds); then what
//! these stand on: `load` (callers), `field`, `stage` and `child` (contestants,
//! their databases, their processes), [`baseline`], [`books`] (accounts),
//! `usage` (CPU and memory), `report`.
//!
//! Nothing here is in the product's path, and none of it is used by the product.

pub mod baseline;
pub mod books;
mod child;
mod error;
mod field;
mod load;
mod report;
mod run;
mod slot;
mod stage;
mod suite;
mod target;
mod usage;

pub use error::BenchError;
pub use field::Contestant;
pub use load::{Accounts, CallTimes, Choice, Done, Failure, Tally, Window, Workload, account_id};
pub use report::{
    Conditions, CpuPerThousand, Figure, Latency, Memory, Promise, Report, Shed, Spread,
};
pub use run::{Place, Progress, elsewhere, one, whole};
pub use slot::{Lines, Pace, Slot, Times};
pub use stage::default_parent;
pub use suite::{CALLERS, Size, Wanted};
pub use target::prepare;
