//! API keys: of each a hash, what it may do, and since when it may not.

use super::{Database, StoreError, connect::promptly, rows};
use crate::clock::Timestamp;

/// A key, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// What names it.
    pub key_id: String,
    /// What it is for, in its owner's words.
    pub name: String,
    /// SHA-256 of it.
    pub secret_hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<String>,
    /// The accounts that it sees; `None` for all.
    pub account_ids: Option<Vec<String>>,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it runs out; `None` for never.
    pub expire_time: Option<Timestamp>,
    /// When it was revoked.
    pub revoke_time: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub last_use_time: Option<Timestamp>,
    /// True where it has run out, by the database's clock.
    pub is_expired: bool,
    /// True where it was revoked.
    pub is_revoked: bool,
}

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What names it.
    pub key_id: String,
    /// What it is for.
    pub name: String,
    /// SHA-256 of it.
    pub secret_hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<String>,
    /// The accounts that it sees; `None` for all.
    pub account_ids: Option<Vec<String>>,
    /// Seconds for which it is good; `None` for ever.
    pub lifetime_seconds: Option<f64>,
    /// Who makes it.
    pub actor: String,
}

impl Database {
    /// All keys, the newest first: at most ten thousand.
    ///
    /// # Errors
    ///
    /// The database is away, or silent for seconds.
    pub async fn api_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let rows = promptly(async {
            let mut connection = self.directories().acquire().await?;
            let rows = sqlx::query!(
                r#"
                SELECT key_id, name, secret_hash, scopes, account_ids, create_time, expire_time,
                       revoke_time, last_use_time,
                       coalesce(expire_time <= clock_timestamp(), false) AS "is_expired!"
                  FROM public.api_keys
                 ORDER BY create_time DESC, key_id
                 LIMIT 10000
                "#
            );
            Ok(rows.fetch_all(&mut *connection).await?)
        })
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(StoredKey {
                    key_id: row.key_id,
                    name: row.name,
                    secret_hash: rows::hash(&row.secret_hash)?,
                    scopes: row.scopes,
                    account_ids: row.account_ids,
                    create_time: row.create_time,
                    expire_time: row.expire_time,
                    revoke_time: row.revoke_time,
                    last_use_time: row.last_use_time,
                    is_expired: row.is_expired,
                    is_revoked: row.revoke_time.is_some(),
                })
            })
            .collect()
    }

    /// Makes a key.
    ///
    /// # Errors
    ///
    /// The database is away, or this role may not.
    pub async fn create_api_key(&self, key: &NewKey) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO public.api_keys
                   (key_id, name, secret_hash, scopes, account_ids, expire_time, create_actor)
            VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6), $7)
            "#,
            key.key_id,
            key.name,
            key.secret_hash.as_slice(),
            &key.scopes,
            key.account_ids.as_deref(),
            key.lifetime_seconds,
            key.actor
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(())
    }

    /// Lets a key run out after so many seconds, if it would not before. False
    /// where there is none that is good.
    ///
    /// # Errors
    ///
    /// The database is away, or this role may not.
    pub async fn expire_api_key(&self, key_id: &str, seconds: f64) -> Result<bool, StoreError> {
        let result = sqlx::query!(
            r#"
            UPDATE public.api_keys
               SET expire_time = least(expire_time, clock_timestamp() + make_interval(secs => $2))
             WHERE key_id = $1 AND revoke_time IS NULL
               AND coalesce(expire_time > clock_timestamp(), true)
            "#,
            key_id,
            seconds
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(result.rows_affected() > 0)
    }

    /// Revokes a key; may be repeated. False where there is none.
    ///
    /// # Errors
    ///
    /// The database is away, or this role may not.
    pub async fn revoke_api_key(&self, key_id: &str, actor: &str) -> Result<bool, StoreError> {
        let result = sqlx::query!(
            r#"
            UPDATE public.api_keys
               SET revoke_time = coalesce(revoke_time, clock_timestamp()),
                   revoke_actor = CASE WHEN revoke_time IS NULL THEN $2 ELSE revoke_actor END
             WHERE key_id = $1
            "#,
            key_id,
            actor
        )
        .execute(&mut *self.directories().acquire().await?)
        .await?;
        Ok(result.rows_affected() > 0)
    }

    /// Notes that keys were used just now.
    ///
    /// # Errors
    ///
    /// The database is away, or silent for seconds.
    pub async fn note_api_keys_used(&self, key_ids: &[String]) -> Result<(), StoreError> {
        promptly(async {
            let mut connection = self.directories().acquire().await?;
            let noted = sqlx::query!(
                r#"
                UPDATE public.api_keys SET last_use_time = clock_timestamp()
                 WHERE key_id = ANY ($1::text[])
                "#,
                key_ids
            );
            noted.execute(&mut *connection).await?;
            Ok(())
        })
        .await
    }
}
