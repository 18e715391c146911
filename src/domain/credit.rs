//! Credits: balances, lots, and the order in which lots are spent.

use std::cmp::Ordering;

use crate::{
    clock::Timestamp,
    ids::{CreditType, LotId},
};

/// The most credits that one request may name: far beyond any price list, and
/// far enough from the edge of 64 bits that a thousand of them still add up.
pub const MAX_CREDITS: i64 = 1_000_000_000_000;

/// What an account has of one type of credit, and the head of its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Credits that can start another scan.
    pub available: i64,
    /// Credits that running scans hold.
    pub reserved: i64,
    /// Credits spent, refunds taken off.
    pub spent: i64,
    /// Reservations that hold credits of this type.
    pub held_scans: i64,
    /// The sequence of the last ledger entry; 0 before the first.
    pub sequence: i64,
    /// When the last entry was made.
    pub last_entry_time: Timestamp,
    /// The hash of the last entry; zeros before the first.
    pub last_hash: [u8; 32],
}

impl Balance {
    /// The balance before the first entry.
    pub const EMPTY: Self = Self {
        available: 0,
        reserved: 0,
        spent: 0,
        held_scans: 0,
        sequence: 0,
        last_entry_time: Timestamp::UNIX_EPOCH,
        last_hash: [0; 32],
    };

    /// All that it counts; `None` where that is more than can be counted.
    #[must_use]
    pub fn total(&self) -> Option<i64> {
        self.available.checked_add(self.reserved)?.checked_add(self.spent)
    }
}

/// Where a lot came from. The numbers are the wire's and the database's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum LotSource {
    /// A plan's allowance for one billing period.
    Plan = 1,
    /// A confirmed purchase.
    TopUp = 2,
    /// An approved trial.
    Trial = 3,
    /// Given by an operator.
    Grant = 4,
    /// Restored credits whose own lot had expired.
    Restored = 5,
}

impl LotSource {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plan, Self::TopUp, Self::Trial, Self::Grant, Self::Restored];

    /// The source with this number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|source| *source as i16 == number)
    }

    /// Its name: the wire's, without its prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "PLAN",
            Self::TopUp => "TOP_UP",
            Self::Trial => "TRIAL",
            Self::Grant => "GRANT",
            Self::Restored => "RESTORED",
        }
    }
}

/// Credits that came together and expire together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lot {
    /// Its id.
    pub lot_id: LotId,
    /// The type of its credits.
    pub credit_type: CreditType,
    /// Where it came from.
    pub source: LotSource,
    /// What caused it: a top-up's id, a period, an operator's reason.
    pub reference: String,
    /// Credits it began with.
    pub credits: i64,
    /// Credits neither spent, held, expired nor revoked.
    pub remaining: i64,
    /// Credits of a reversed purchase that were held or spent when it was
    /// reversed: what returns to this lot, or to one whose origin it is, is revoked
    /// up to this number. 0 where the lot has an origin itself.
    pub unrecovered: i64,
    /// When what remains expires; `None` for never.
    pub expire_time: Option<Timestamp>,
    /// When it was granted.
    pub create_time: Timestamp,
    /// Of credits that live on here because their lot had expired: the first lot
    /// that they were of. What is owed for them is noted there.
    pub origin: Option<LotId>,
}

impl Lot {
    /// The lot that its credits first came in with.
    #[must_use]
    pub fn root(&self) -> LotId {
        self.origin.unwrap_or(self.lot_id)
    }

    /// True where its credits can no longer be spent.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expire_time.is_some_and(|time| time <= now)
    }

    /// Burn order: the earliest expiry first, never-expiring last, then the
    /// oldest; the id decides between equals, so that the order is total.
    #[must_use]
    pub fn burn_order(&self, other: &Self) -> Ordering {
        let expiry = |lot: &Self| lot.expire_time.unwrap_or(Timestamp::MAX_UTC);
        expiry(self)
            .cmp(&expiry(other))
            .then(self.create_time.cmp(&other.create_time))
            .then(self.lot_id.cmp(&other.lot_id))
    }
}

/// A part of a movement: credits of one lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LotPortion {
    /// The lot.
    pub lot_id: LotId,
    /// Credits, positive.
    pub credits: i64,
}

/// Up to so many of the credits that lots have left, in the order given.
#[must_use]
pub fn take<'l>(lots: impl IntoIterator<Item = &'l Lot>, credits: i64) -> Vec<LotPortion> {
    let mut left = credits;
    let mut portions = Vec::new();
    for lot in lots {
        if left == 0 {
            break;
        }
        let taken = lot.remaining.min(left);
        left -= taken;
        portions.push(LotPortion { lot_id: lot.lot_id, credits: taken });
    }
    portions
}

/// What portions add up to.
#[must_use]
pub fn total(portions: &[LotPortion]) -> i64 {
    portions.iter().fold(0, |sum: i64, portion| sum.saturating_add(portion.credits))
}

/// Splits portions at `credits`: the first ones up to it, and the rest. A
/// portion that straddles the border is cut in two.
#[must_use]
pub fn split(portions: &[LotPortion], credits: i64) -> (Vec<LotPortion>, Vec<LotPortion>) {
    let mut left = credits;
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for portion in portions {
        let taken = portion.credits.min(left);
        left -= taken;
        if taken > 0 {
            first.push(LotPortion { credits: taken, ..*portion });
        }
        if portion.credits > taken {
            rest.push(LotPortion { credits: portion.credits - taken, ..*portion });
        }
    }
    (first, rest)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn lot(id: u128, expires_in: Option<i64>, age: i64) -> Lot {
        let now = Timestamp::UNIX_EPOCH + TimeDelta::days(1000);
        Lot {
            lot_id: LotId(Uuid::from_u128(id)),
            credit_type: CreditType::new("scan").unwrap(),
            source: LotSource::Grant,
            reference: String::new(),
            credits: 1,
            remaining: 1,
            unrecovered: 0,
            expire_time: expires_in.map(|days| now + TimeDelta::days(days)),
            create_time: now - TimeDelta::days(age),
            origin: None,
        }
    }

    #[test]
    fn lots_burn_by_expiry_then_age_then_id_and_never_expiring_ones_last() {
        let mut lots = [
            lot(1, None, 9),
            lot(2, Some(30), 1),
            lot(3, Some(10), 1),
            lot(4, Some(10), 5),
            lot(5, None, 20),
            lot(6, Some(10), 5),
        ];
        lots.sort_by(Lot::burn_order);
        let order: Vec<u128> = lots.iter().map(|lot| lot.lot_id.0.as_u128()).collect();
        assert_eq!(order, [4, 6, 3, 2, 5, 1]);
    }

    #[test]
    fn portions_split_at_any_number_and_lose_nothing() {
        let of = |id, credits| LotPortion { lot_id: LotId(Uuid::from_u128(id)), credits };
        let portions = [of(1, 2), of(2, 3)];
        for (at, first, rest) in [
            (0, vec![], vec![of(1, 2), of(2, 3)]),
            (1, vec![of(1, 1)], vec![of(1, 1), of(2, 3)]),
            (2, vec![of(1, 2)], vec![of(2, 3)]),
            (4, vec![of(1, 2), of(2, 2)], vec![of(2, 1)]),
            (5, vec![of(1, 2), of(2, 3)], vec![]),
        ] {
            assert_eq!(split(&portions, at), (first, rest), "at {at}");
        }
    }
}
