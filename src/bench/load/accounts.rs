//! Which account a call is about.

use std::sync::Arc;

use rand::RngExt;
use serde::Serialize;

/// How many accounts there are, and how calls are spread over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Accounts {
    /// 1 for a hot one.
    pub count: u32,
    /// The n-th busiest has 1/n of the calls of the busiest (Zipf, exponent 1),
    /// instead of all having the same.
    pub zipf: bool,
}

impl Accounts {
    /// One account that all calls are about.
    pub const HOT: Self = Self { count: 1, zipf: false };

    /// Every account is as likely as the others.
    #[must_use]
    pub const fn uniform(count: u32) -> Self {
        Self { count, zipf: false }
    }

    /// A few accounts have most of the calls.
    #[must_use]
    pub const fn zipf(count: u32) -> Self {
        Self { count, zipf: true }
    }
}

/// The id of the account with this number.
#[must_use]
pub fn account_id(number: u32) -> String {
    let mut text = String::new();
    write_account_id(&mut text, number);
    text
}

/// As [`account_id`], in a text that is used again and again.
pub(in crate::bench) fn write_account_id(text: &mut String, number: u32) {
    use std::fmt::Write;
    text.clear();
    // Writing to a String cannot fail.
    let _ = write!(text, "bench-{number:06}");
}

/// Draws numbers of accounts. Clones share the table.
#[derive(Debug, Clone)]
pub struct Choice {
    count: u32,
    /// For Zipf: the share of calls of all accounts up to this one.
    shares: Option<Arc<[f64]>>,
}

impl Choice {
    /// Draws from these.
    #[must_use]
    pub fn of(accounts: Accounts) -> Self {
        let count = accounts.count.max(1);
        let shares = accounts.zipf.then(|| {
            let mut sum = 0.0;
            let weights: Vec<f64> = (1..=count)
                .map(|rank| {
                    sum += 1.0 / f64::from(rank);
                    sum
                })
                .collect();
            weights.into_iter().map(|weight| weight / sum).collect()
        });
        Self { count, shares }
    }

    /// The number of an account.
    #[must_use]
    pub fn draw(&self) -> u32 {
        let Some(shares) = &self.shares else {
            return if self.count == 1 { 0 } else { rand::rng().random_range(0..self.count) };
        };
        let at: f64 = rand::rng().random_range(0.0..1.0);
        let number = shares.partition_point(|share| *share < at);
        u32::try_from(number).unwrap_or(0).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zipf_choice_draws_the_first_account_twice_as_often_as_the_second() {
        let choice = Choice::of(Accounts::zipf(1_000));
        let mut drawn = [0_u32; 1_000];
        for _ in 0..100_000 {
            drawn[choice.draw() as usize] += 1;
        }
        let ratio = f64::from(drawn[0]) / f64::from(drawn[1]);
        assert!((1.8..2.2).contains(&ratio), "{ratio}");
        assert!(drawn[999] < 100);
    }

    #[test]
    fn a_uniform_choice_reaches_every_account_and_a_hot_one_has_only_one() {
        let choice = Choice::of(Accounts::uniform(10));
        let drawn: std::collections::BTreeSet<u32> = (0..1_000).map(|_| choice.draw()).collect();
        assert_eq!(drawn, (0..10).collect());
        assert_eq!(Choice::of(Accounts::HOT).draw(), 0);
        assert_eq!(account_id(7), "bench-000007");
    }
}
