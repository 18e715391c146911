//! The rules. Nothing here waits, reads a clock, draws a random number or knows
//! the wire or the database: values in, values out.
//!
//! Reading order: [`credit`] (balances, lots, burn order), [`reservation`]
//! (states and causes), [`subscription`] and [`catalog`] (what an account may
//! do), [`verdict`] (why a scan is blocked), [`command`] (what can be asked),
//! [`account`] (one account's state and the changes made to it), [`decide`]
//! (the one function that everything goes through).

pub mod account;
pub mod calendar;
pub mod catalog;
pub mod catalog_check;
pub mod catalog_diff;
pub mod command;
pub mod context;
pub mod credit;
pub mod decide;
pub mod due;
pub mod eligibility;
pub mod entry;
pub mod event;
pub mod grants;
pub mod head;
mod lapse;
pub mod payment;
mod periods;
pub mod provider;
pub mod replay;
pub mod report;
pub mod reservation;
pub mod returns;
pub mod settle;
pub mod subscribe;
pub mod subscription;
mod telling;
pub mod top_up;
pub mod verdict;

#[cfg(test)]
mod tests;
