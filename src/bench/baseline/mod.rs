//! What people would use instead, and what there is to lose: each does the work
//! of the gate on the same schema, and leaves books that verify.
//!
//! | baseline   | what it is                                                      |
//! |------------|-----------------------------------------------------------------|
//! | `service`  | gRPC, and a transaction of its own for each request             |
//! | `function` | one PL/pgSQL function for each Reserve, without gRPC            |
//! | `ledger`   | the gate's own batches, without gRPC                            |
//! | `floor`    | the gate's own write statements alone: no locks, no reads       |
//!
//! Their SQL is their own, as far as they have any: none of it is in the way of
//! the product.

pub mod floor;
pub mod function;
pub mod ledger;
pub mod service;
