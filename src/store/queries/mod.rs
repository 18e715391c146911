//! Reads for people and programs: single statements on a cell's pool, paged by
//! the key of the last row.

mod balances;
mod due;
mod entries;
mod feed;
mod heads;
mod imports;
mod inbox;
mod lots;
mod reservations;
mod top_ups;
mod verify;

pub use due::{DueAccount, ExpiredHold, ExpiredTopUp};
pub use entries::EntryQuery;
pub use feed::{EventQuery, FeedHead, FeedRow};
pub use imports::ImportedLot;
pub use inbox::{InboxEvent, InboxFigure};
pub use lots::{LotKey, LotQuery};
pub use reservations::{ReservationKey, ReservationQuery};
pub use top_ups::{TopUpKey, TopUpQuery};
pub use verify::{AccountBooks, BookedOperation};
