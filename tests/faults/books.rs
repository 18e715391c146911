//! The ledger and the reservations as they are in the database at the end.

use std::collections::BTreeMap;

use creditgate::{clock::Timestamp, domain::entry::EntryKind};
use sqlx::{PgConnection, Row};

/// What one account has, of the one type of credits.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// The ledger, in its order.
    pub entries: Vec<Entry>,
    /// Each reservation's state, by the database's number.
    pub reservations: BTreeMap<String, i16>,
}

/// A movement.
#[derive(Debug, Clone)]
pub struct Entry {
    pub sequence: i64,
    pub kind: EntryKind,
    pub credits: i64,
    /// Available, reserved and spent after it.
    pub after: [i64; 3],
    pub reservation: Option<String>,
    pub reference: String,
    pub time: Timestamp,
}

/// Reads the books of every account.
pub async fn read(connection: &mut PgConnection) -> BTreeMap<String, Books> {
    let mut books: BTreeMap<String, Books> = BTreeMap::new();
    let rows = sqlx::query(
        "SELECT account_id, sequence, kind, credits, available_after, reserved_after, spent_after,
                reservation_id, reference, create_time
           FROM cell_00.ledger_entries ORDER BY account_id, sequence",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    for row in rows {
        let entry = Entry {
            sequence: row.get("sequence"),
            kind: EntryKind::from_number(row.get("kind")).unwrap(),
            credits: row.get("credits"),
            after: ["available_after", "reserved_after", "spent_after"].map(|name| row.get(name)),
            reservation: row.get("reservation_id"),
            reference: row.get("reference"),
            time: row.get("create_time"),
        };
        books.entry(row.get("account_id")).or_default().entries.push(entry);
    }
    let rows = sqlx::query("SELECT account_id, reservation_id, state FROM cell_00.reservations")
        .fetch_all(connection)
        .await
        .unwrap();
    for row in rows {
        let of = books.entry(row.get("account_id")).or_default();
        of.reservations.insert(row.get("reservation_id"), row.get("state"));
    }
    books
}
