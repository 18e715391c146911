//! Tables, one row a rule, and properties of random histories.

mod adjustments;
mod audit;
mod billing_catalog;
mod burn;
mod cancellations;
mod catalog_changes;
mod catalog_faults;
mod causes;
mod generate;
mod hash_chain;
mod holders;
mod mirror;
mod model;
mod operations;
mod overflow;
mod paddle;
mod payments;
mod periods;
mod properties;
mod renewals;
mod returns;
mod settling;
mod subscriptions;
mod support;
mod top_ups;
mod verdict_order;
