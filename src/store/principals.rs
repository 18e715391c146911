//! Principals: names that others vouch for, and what each may do here.

use super::{Database, StoreError, connect::promptly};
use crate::clock::Timestamp;

/// A principal, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPrincipal {
    /// Its name, with what vouches for it: `certificate:...`, `token:...`.
    pub principal: String,
    /// What it is, in its operator's words.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The accounts that it sees; `None` for all.
    pub account_ids: Option<Vec<String>>,
    /// When it was let in.
    pub create_time: Timestamp,
    /// When it was used last, to the minute.
    pub last_use_time: Option<Timestamp>,
}

/// A principal that is to be let in.
#[derive(Debug, Clone)]
pub struct NewPrincipal {
    /// Its name, with what vouches for it.
    pub principal: String,
    /// What it is.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The accounts that it sees; `None` for all.
    pub account_ids: Option<Vec<String>>,
    /// Who lets it in.
    pub actor: String,
}

impl Database {
    /// Those that may call, by name: at most ten thousand.
    ///
    /// # Errors
    ///
    /// The database is away, or silent for seconds.
    pub async fn principals(&self) -> Result<Vec<StoredPrincipal>, StoreError> {
        promptly(async {
            let mut connection = self.directories().acquire().await?;
            let rows = sqlx::query_as!(
                StoredPrincipal,
                r#"
                SELECT principal, name, scopes, account_ids, create_time, last_use_time
                  FROM public.principals
                 WHERE revoke_time IS NULL
                 ORDER BY principal
                 LIMIT 10000
                "#
            );
            Ok(rows.fetch_all(&mut *connection).await?)
        })
        .await
    }

    /// Lets a principal in. False where one of that name is in already.
    ///
    /// # Errors
    ///
    /// The database is away, or this role may not.
    pub async fn add_principal(&self, new: &NewPrincipal) -> Result<bool, StoreError> {
        let result = sqlx::query!(
            r#"
            INSERT INTO public.principals (principal, name, scopes, account_ids, create_actor)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (principal) WHERE revoke_time IS NULL DO NOTHING
            "#,
            new.principal,
            new.name,
            &new.scopes,
            new.account_ids.as_deref(),
            new.actor
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(result.rows_affected() > 0)
    }

    /// Lets a principal in no longer. False where it was not in.
    ///
    /// # Errors
    ///
    /// The database is away, or this role may not.
    pub async fn remove_principal(&self, principal: &str, actor: &str) -> Result<bool, StoreError> {
        let result = sqlx::query!(
            r#"
            UPDATE public.principals
               SET revoke_time = clock_timestamp(), revoke_actor = $2
             WHERE principal = $1 AND revoke_time IS NULL
            "#,
            principal,
            actor
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(result.rows_affected() > 0)
    }

    /// Notes that principals have called just now.
    ///
    /// # Errors
    ///
    /// The database is away, or silent for seconds.
    pub async fn note_principals_used(&self, principals: &[String]) -> Result<(), StoreError> {
        promptly(async {
            let mut connection = self.directories().acquire().await?;
            let noted = sqlx::query!(
                r#"
                UPDATE public.principals SET last_use_time = clock_timestamp()
                 WHERE principal = ANY ($1::text[]) AND revoke_time IS NULL
                "#,
                principals
            );
            noted.execute(&mut *connection).await?;
            Ok(())
        })
        .await
    }
}
