//! Whose a top-up is: the directory that keeps two accounts from opening one
//! under the same id, and finds the account of a payment that names its top-up.

use super::{Database, StoreError, rows::id};
use crate::ids::{AccountId, OperationId};

impl Database {
    /// Claims the id of a top-up for an account; gives the account that has it
    /// now. It never changes hands again.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn claim_top_up(
        &self,
        top_up_id: &OperationId,
        account_id: &AccountId,
    ) -> Result<AccountId, StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO public.top_up_directory (top_up_id, account_id) VALUES ($1, $2)
                ON CONFLICT ON CONSTRAINT top_up_directory_pkey DO NOTHING
            "#,
            top_up_id.as_str(),
            account_id.as_str()
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        let owner = self.account_of_top_up(top_up_id).await?;
        owner.ok_or_else(|| StoreError::Corrupt(format!("top-up {top_up_id} is nobody's")))
    }

    /// The account for which a top-up was opened; `None` where none was.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn account_of_top_up(
        &self,
        top_up_id: &OperationId,
    ) -> Result<Option<AccountId>, StoreError> {
        let owner = sqlx::query_scalar!(
            "SELECT account_id FROM public.top_up_directory WHERE top_up_id = $1",
            top_up_id.as_str()
        )
        .fetch_optional(&mut *self.directories().acquire().await?)
        .await?;
        owner.map(|account_id| id(&account_id, AccountId::new)).transpose()
    }
}
