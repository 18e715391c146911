//! Which account a payment provider means: by payment, by subscription, by
//! customer. Whoever first says whose a payment or a subscription is, is right.

use super::{Database, StoreError, rows::id};
use crate::ids::{AccountId, OperationId, SubscriptionId};

/// What a provider's event names. All of it is the provider's own word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderKeys {
    /// The payment.
    pub transaction_id: Option<String>,
    /// The subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// The customer.
    pub customer_id: Option<String>,
}

/// Whose a payment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedBy {
    /// The account of whoever claimed it first.
    pub account_id: AccountId,
    /// The purchase that was opened here for it, if one was.
    pub top_up_id: Option<OperationId>,
}

/// What the directories know of a provider's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownAs {
    /// By the payment.
    pub transaction: Option<ClaimedBy>,
    /// By the subscription.
    pub subscription: Option<AccountId>,
    /// By the customer, as it is linked now.
    pub customer: Option<AccountId>,
}

impl Database {
    /// What is known of these keys, all at one moment.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn known_as(
        &self,
        provider: &str,
        keys: &ProviderKeys,
    ) -> Result<KnownAs, StoreError> {
        let row = sqlx::query!(
            r#"
            SELECT (SELECT account_id FROM public.provider_transactions
                     WHERE provider = $1 AND transaction_id = $2) AS by_transaction,
                   (SELECT top_up_id FROM public.provider_transactions
                     WHERE provider = $1 AND transaction_id = $2) AS top_up_id,
                   (SELECT account_id FROM public.provider_subscriptions
                     WHERE provider = $1 AND subscription_id = $3) AS by_subscription,
                   (SELECT account_id FROM public.provider_directory
                     WHERE provider = $1 AND customer_id = $4) AS by_customer
            "#,
            provider,
            keys.transaction_id.as_deref(),
            keys.subscription_id.as_ref().map(SubscriptionId::as_str),
            keys.customer_id.as_deref()
        )
        .fetch_one(&mut *self.directories().acquire().await?)
        .await?;
        let account = |text: Option<String>| text.map(|text| id(&text, AccountId::new)).transpose();
        let transaction = match account(row.by_transaction)? {
            Some(account_id) => Some(ClaimedBy { account_id, top_up_id: top_up(row.top_up_id)? }),
            None => None,
        };
        Ok(KnownAs {
            transaction,
            subscription: account(row.by_subscription)?,
            customer: account(row.by_customer)?,
        })
    }

    /// Says that a payment is an account's, and which of its purchases it is
    /// for, unless somebody has said so before; gives what holds. A purchase
    /// that is named later is added, where it is the same account's. Events that
    /// were parked for this payment are woken.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn claim_transaction(
        &self,
        provider: &str,
        transaction_id: &str,
        account_id: &AccountId,
        top_up_id: Option<&OperationId>,
    ) -> Result<ClaimedBy, StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO public.provider_transactions AS t
                   (provider, transaction_id, account_id, top_up_id)
            VALUES ($1, $2, $3, $4)
                ON CONFLICT ON CONSTRAINT provider_transactions_pkey DO UPDATE
               SET top_up_id = EXCLUDED.top_up_id
             WHERE t.account_id = EXCLUDED.account_id
               AND t.top_up_id IS NULL AND EXCLUDED.top_up_id IS NOT NULL
            "#,
            provider,
            transaction_id,
            account_id.as_str(),
            top_up_id.map(OperationId::as_str)
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        // A row is there now, and its account never changes.
        let row = sqlx::query!(
            r#"
            SELECT account_id, top_up_id FROM public.provider_transactions
             WHERE provider = $1 AND transaction_id = $2
            "#,
            provider,
            transaction_id
        )
        .fetch_one(&mut *self.directories().acquire().await?)
        .await?;
        self.wake_transaction(provider, transaction_id).await?;
        Ok(ClaimedBy {
            account_id: id(&row.account_id, AccountId::new)?,
            top_up_id: top_up(row.top_up_id)?,
        })
    }

    /// Says that a subscription is an account's, unless somebody has said so
    /// before; gives what holds.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn claim_subscription(
        &self,
        provider: &str,
        subscription_id: &SubscriptionId,
        account_id: &AccountId,
    ) -> Result<AccountId, StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO public.provider_subscriptions (provider, subscription_id, account_id)
            VALUES ($1, $2, $3)
                ON CONFLICT ON CONSTRAINT provider_subscriptions_pkey DO NOTHING
            "#,
            provider,
            subscription_id.as_str(),
            account_id.as_str()
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        let found = sqlx::query_scalar!(
            r#"
            SELECT account_id FROM public.provider_subscriptions
             WHERE provider = $1 AND subscription_id = $2
            "#,
            provider,
            subscription_id.as_str()
        )
        .fetch_one(&mut *self.directories().acquire().await?)
        .await?;
        id(&found, AccountId::new)
    }

    /// Says of many subscriptions whose they are, unless somebody has said so
    /// before; gives what holds.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn claim_subscriptions(
        &self,
        provider: &str,
        claims: &[(SubscriptionId, AccountId)],
    ) -> Result<Vec<(SubscriptionId, AccountId)>, StoreError> {
        // In the order in which anybody else would claim some of them.
        let mut claims: Vec<&(SubscriptionId, AccountId)> = claims.iter().collect();
        claims.sort();
        let (subscription_ids, account_ids): (Vec<String>, Vec<String>) = claims
            .iter()
            .map(|(subscription, account)| (subscription.to_string(), account.to_string()))
            .unzip();
        sqlx::query!(
            r#"
            INSERT INTO public.provider_subscriptions (provider, subscription_id, account_id)
            SELECT $1, subscription_id, account_id
              FROM UNNEST($2::text[], $3::text[]) AS u (subscription_id, account_id)
                ON CONFLICT ON CONSTRAINT provider_subscriptions_pkey DO NOTHING
            "#,
            provider,
            &subscription_ids,
            &account_ids
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        self.subscription_owners(provider, claims.into_iter().map(|(id, _)| id)).await
    }

    /// Whose these subscriptions are; those that nobody has claimed are left out.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn subscription_owners(
        &self,
        provider: &str,
        subscription_ids: impl Iterator<Item = &SubscriptionId>,
    ) -> Result<Vec<(SubscriptionId, AccountId)>, StoreError> {
        let keys: Vec<String> = subscription_ids.map(ToString::to_string).collect();
        let rows = sqlx::query!(
            r#"
            SELECT subscription_id, account_id FROM public.provider_subscriptions
             WHERE provider = $1 AND subscription_id = ANY ($2::text[])
            "#,
            provider,
            &keys
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?;
        rows.into_iter()
            .map(|row| {
                let subscription_id = id(&row.subscription_id, SubscriptionId::new)?;
                Ok((subscription_id, id(&row.account_id, AccountId::new)?))
            })
            .collect()
    }
}

fn top_up(text: Option<String>) -> Result<Option<OperationId>, StoreError> {
    text.map(|text| id(&text, OperationId::new)).transpose()
}
