//! What kind of PostgreSQL this is.

use super::{Database, StoreError, connect::promptly};
use crate::clock::Timestamp;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its version, in words: `15.18 (Debian ...)`.
    pub version: String,
    /// Its version as a number: 150018.
    pub version_number: i32,
    /// The role that asks.
    pub role: String,
    /// What its clock says.
    pub time: Timestamp,
    /// Connections that it takes at most, of all who use it.
    pub max_connections: i32,
}

impl Database {
    /// Asks the server what it is.
    ///
    /// # Errors
    ///
    /// It is away, or silent for seconds.
    pub async fn server_facts(&self) -> Result<ServerFacts, StoreError> {
        promptly(async {
            let mut connection = self.directories().acquire().await?;
            let facts = sqlx::query_as!(
                ServerFacts,
                r#"
                SELECT current_setting('server_version') AS "version!",
                       current_setting('server_version_num')::int AS "version_number!",
                       current_user::text AS "role!",
                       clock_timestamp() AS "time!",
                       current_setting('max_connections')::int AS "max_connections!"
                "#
            );
            Ok(facts.fetch_one(&mut *connection).await?)
        })
        .await
    }
}
