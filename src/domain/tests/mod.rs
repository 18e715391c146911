//! Tables, one row a rule, and properties of random histories.

mod audit;
mod billing_catalog;
mod burn;
mod catalog_changes;
mod catalog_faults;
mod causes;
mod generate;
mod hash_chain;
mod holders;
mod model;
mod operations;
mod overflow;
mod periods;
mod properties;
mod renewals;
mod returns;
mod settling;
mod subscriptions;
mod support;
mod top_ups;
mod verdict_order;
