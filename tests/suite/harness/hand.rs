//! A lane in the test's own hand: it reads, changes what it likes and writes.

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        account::AccountState,
        command::{Action, Command},
        subscription::{
            BillingInterval, SentSubscription, StartSubscription, Subscription, SubscriptionStatus,
            Trial,
        },
    },
    ids::{OperationId, PlanName, SubscriptionId},
    store::{
        Cell, StoreError,
        batch::{Footing, LaneConnection, Named},
    },
};

use super::{
    TestDb,
    words::{account, command},
};

pub fn at(day: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::days(20_000 + day)
}

pub fn operation(id: &str) -> OperationId {
    OperationId::new(id).unwrap()
}

pub fn subscription_id(id: &str) -> SubscriptionId {
    SubscriptionId::new(id).unwrap()
}

pub fn plan_name(id: &str) -> PlanName {
    PlanName::new(id).unwrap()
}

pub fn subscription(id: &str, plan: &str) -> Subscription {
    Subscription {
        subscription_id: subscription_id(id),
        plan: plan_name(plan),
        status: SubscriptionStatus::Trialing,
        interval: BillingInterval::Year,
        provider: "manual".to_owned(),
        period_start_time: at(1),
        period_end_time: at(15),
        cancel_at_period_end: false,
        anchor_time: at(0),
        create_time: at(2),
        end_time: None,
        sent: Some(SentSubscription {
            plan: plan_name(plan),
            interval: BillingInterval::Year,
            start_time: Some(at(1)),
            trial: Some(Trial { end_time: at(15), credits: 3 }),
        }),
        provider_time: None,
    }
}

/// A lane of the test's own.
pub struct Hand {
    pub lane: LaneConnection,
    pub revision: i64,
}

impl Hand {
    pub async fn new(db: &TestDb) -> (Self, Cell) {
        let cell = db.database().cells().await.unwrap().remove(0);
        (Self { lane: LaneConnection::connect(&cell).await.unwrap(), revision: 0 }, cell)
    }

    pub async fn read(&mut self, commands: &[Command]) -> AccountState {
        let named = Named::by(commands.iter());
        self.lane.begin().await.unwrap();
        let locked = self.lane.lock(&named).await.unwrap();
        let mut snapshot = self.lane.read(&named, locked, Some(at(4))).await.unwrap();
        self.revision = snapshot.catalog_revision;
        snapshot.accounts.remove(&account("a")).unwrap()
    }

    pub async fn write(
        &mut self,
        read: &AccountState,
        new: &AccountState,
    ) -> Result<(), StoreError> {
        let changes = std::iter::once((read, new));
        let written = self.lane.write(Footing::read(), at(4), self.revision, changes).await;
        match &written {
            Ok(_) => self.lane.commit().await.unwrap(),
            Err(_) => self.lane.rollback().await.unwrap(),
        }
        written.map(|_| ())
    }

    /// Writes what `change` makes of what is read, and reads it again.
    pub async fn change(
        &mut self,
        commands: &[Command],
        change: impl Fn(&mut AccountState),
    ) -> (AccountState, AccountState) {
        let read = self.read(commands).await;
        let mut new = read.clone();
        change(&mut new);
        self.write(&read, &new).await.unwrap();
        new.account.version += 1;
        let found = self.read(commands).await;
        self.lane.rollback().await.unwrap();
        (new, found)
    }

    /// True where what was read before somebody else changed it is not written.
    pub async fn is_guarded(
        &mut self,
        commands: &[Command],
        change: impl Fn(&mut AccountState),
    ) -> bool {
        let stale = self.read(commands).await;
        let mut other = stale.clone();
        change(&mut other);
        self.write(&stale, &other).await.unwrap();
        self.lane.begin().await.unwrap();
        let mut again = stale.clone();
        change(&mut again);
        // Only the row in question, not the one of the account.
        again.account = stale.account.clone();
        matches!(self.write(&stale, &again).await, Err(StoreError::Conflict(_)))
    }
}

pub fn start(id: &str) -> Command {
    command(
        "a",
        Action::StartSubscription(StartSubscription {
            subscription_id: Some(subscription_id(id)),
            sent: subscription(id, "pro").sent.unwrap(),
        }),
    )
}
