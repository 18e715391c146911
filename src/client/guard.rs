//! A hold that remembers whether it has been settled.

use std::time::Duration;

use super::{Client, ClientError};
use crate::proto::{
    CommitRequest, CommitResponse, ExtendRequest, ReleaseCause, ReleaseRequest, ReleaseResponse,
    Reservation,
};

/// A held reservation. Whoever has it settles it, once, by
/// [`commit`](Self::commit) or [`release`](Self::release).
///
/// Dropping it unsettled makes no call, since a destructor cannot wait for
/// one: it logs a warning, and the lease is the net. The credits come back
/// when it ends.
#[must_use = "a hold that is not settled keeps its credits until its lease ends"]
#[derive(Debug)]
pub struct HeldReservation {
    client: Client,
    account_id: String,
    reservation_id: String,
    settled: bool,
}

impl Client {
    /// Takes charge of a reservation that is held.
    pub fn guard(&self, reservation: &Reservation) -> HeldReservation {
        HeldReservation {
            client: self.clone(),
            account_id: reservation.account_id.clone(),
            reservation_id: reservation.reservation_id.clone(),
            settled: false,
        }
    }
}

impl HeldReservation {
    /// The account that pays.
    #[must_use]
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// The reservation's id.
    #[must_use]
    pub fn reservation_id(&self) -> &str {
        &self.reservation_id
    }

    /// Makes its further calls under another policy.
    pub fn with_policy(mut self, policy: super::RetryPolicy) -> Self {
        self.client = self.client.with_policy(policy);
        self
    }

    /// Prolongs the lease, counted from now.
    ///
    /// # Errors
    /// As [`Client::extend`].
    pub async fn extend(&self, lease: Duration) -> Result<Reservation, ClientError> {
        self.client
            .extend(ExtendRequest {
                account_id: self.account_id.clone(),
                reservation_id: self.reservation_id.clone(),
                lease: prost_types::Duration::try_from(lease).ok(),
            })
            .await
    }

    /// Spends the credits: all of them, or those named.
    ///
    /// # Errors
    /// As [`Client::commit`]. The hold then counts as unsettled and may be
    /// settled again.
    pub async fn commit(&mut self, credits: Option<i64>) -> Result<CommitResponse, ClientError> {
        let answer = self
            .client
            .commit(CommitRequest {
                account_id: self.account_id.clone(),
                reservation_id: self.reservation_id.clone(),
                credits,
            })
            .await?;
        self.settled = true;
        Ok(answer)
    }

    /// Says that the run did not deliver.
    ///
    /// # Errors
    /// As [`Client::release`]. The hold then counts as unsettled and may be
    /// settled again.
    pub async fn release(
        &mut self,
        cause: ReleaseCause,
        note: &str,
    ) -> Result<ReleaseResponse, ClientError> {
        let answer = self
            .client
            .release(ReleaseRequest {
                account_id: self.account_id.clone(),
                reservation_id: self.reservation_id.clone(),
                cause: cause.into(),
                note: note.to_owned(),
            })
            .await?;
        self.settled = true;
        Ok(answer)
    }

    /// Leaves the hold to its lease, knowingly.
    pub fn leave_to_lease(mut self) {
        self.settled = true;
    }
}

impl Drop for HeldReservation {
    fn drop(&mut self) {
        if !self.settled {
            tracing::warn!(
                account_id = self.account_id,
                reservation_id = self.reservation_id,
                "a hold was dropped unsettled; its credits come back when its lease ends"
            );
        }
    }
}
