//! Reads for people and programs: single statements on a cell's pool, paged by
//! the key of the last row.

mod balances;
mod due;
mod entries;
mod grants;
mod lots;
mod reservations;
mod verify;

pub use due::{DueAccount, ExpiredHold};
pub use entries::EntryQuery;
pub use grants::KnownGrant;
pub use lots::{LotKey, LotQuery};
pub use reservations::{ReservationKey, ReservationQuery};
pub use verify::{AccountBooks, BookedOperation};
