//! Catalogs: the history of revisions in `public`, a copy in each cell. The
//! copy decides, because a batch reads it in its own transaction.

use sqlx::{PgConnection, types::Json};

use super::{Cell, Database, StoreError, connect::enter};
use crate::{
    domain::{
        catalog::{Catalog, RevisedCatalog},
        catalog_diff,
    },
    ids::PlanName,
};

/// What became of a catalog that was to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It holds from now on, under this revision; `replaced` held before.
    Changed {
        /// Its revision.
        revision: i64,
        /// The catalog before it.
        replaced: Catalog,
    },
    /// It held already, under this revision.
    Unchanged {
        /// Its revision.
        revision: i64,
    },
    /// It lacks plans that have live subscriptions; nothing was written.
    PlansInUse(Vec<PlanName>),
}

/// Reads one revision within a cell's transaction.
pub(super) async fn read_in_cell(
    connection: &mut PgConnection,
    revision: i64,
) -> Result<Catalog, StoreError> {
    if revision == 0 {
        return Ok(Catalog::default());
    }
    let row = sqlx::query!(
        r#"SELECT document AS "document: Json<Catalog>" FROM catalogs WHERE revision = $1"#,
        revision
    )
    .fetch_one(connection)
    .await?;
    Ok(row.document.0)
}

/// Keeps every catalog from being applied until the transaction ends; gives the
/// revision that holds in the cell until then. Others may hold it as well.
pub(super) async fn hold_in_cell(connection: &mut PgConnection) -> Result<i64, StoreError> {
    sqlx::query!("SELECT pg_advisory_xact_lock_shared(hashtextextended('creditgate catalog', 0))")
        .fetch_one(&mut *connection)
        .await?;
    // In a later statement: one that waited does not see what it has waited for.
    Ok(sqlx::query_scalar!(r#"SELECT coalesce(max(revision), 0) AS "revision!" FROM catalogs"#)
        .fetch_one(connection)
        .await?)
}

async fn latest(connection: &mut PgConnection) -> Result<RevisedCatalog, StoreError> {
    let row = sqlx::query!(
        r#"
        SELECT revision, document AS "document: Json<Catalog>"
          FROM public.catalogs ORDER BY revision DESC LIMIT 1
        "#
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map_or_else(
        || RevisedCatalog { revision: 0, catalog: Catalog::default() },
        |row| RevisedCatalog { revision: row.revision, catalog: row.document.0 },
    ))
}

impl Database {
    /// The catalog that holds.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn catalog(&self) -> Result<RevisedCatalog, StoreError> {
        let mut connection = self.directories().acquire().await?;
        latest(&mut connection).await
    }

    /// Applies a catalog to all cells, in one transaction: those that there are
    /// by now, not only those that a server found at its start.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn apply_catalog(
        &self,
        catalog: &Catalog,
        actor: &str,
    ) -> Result<Applied, StoreError> {
        let mut transaction = self.directories().begin().await?;
        // One at a time; readers are not held up.
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('creditgate catalog', 0))")
            .fetch_one(&mut *transaction)
            .await?;
        let held = latest(&mut transaction).await?;
        if held.revision > 0 && held.catalog == *catalog {
            transaction.rollback().await?;
            return Ok(Applied::Unchanged { revision: held.revision });
        }
        let revision = held.revision + 1;
        let removed = catalog_diff::removed_plans(&held.catalog, catalog);
        // A new cell is opened under the same lock.
        let schemas = sqlx::query_scalar!("SELECT schema_name FROM public.cells ORDER BY cell_id")
            .fetch_all(&mut *transaction)
            .await?;
        let mut in_use = Vec::new();
        for schema in &schemas {
            enter(&mut transaction, schema).await?;
            in_use.extend(plans_in_use(&mut transaction, &removed).await?);
            sqlx::query!(
                r#"
                INSERT INTO catalogs (revision, document, create_time)
                VALUES ($1, $2, clock_timestamp())
                "#,
                revision,
                Json(catalog) as _
            )
            .execute(&mut *transaction)
            .await?;
        }
        if !in_use.is_empty() {
            transaction.rollback().await?;
            in_use.sort();
            in_use.dedup();
            return Ok(Applied::PlansInUse(in_use));
        }
        sqlx::query!(
            "INSERT INTO public.catalogs (revision, document, actor) VALUES ($1, $2, $3)",
            revision,
            Json(catalog) as _,
            actor
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Applied::Changed { revision, replaced: held.catalog })
    }

    /// Which of these plans have live subscriptions in any cell.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn plans_in_use(
        &self,
        cells: &[Cell],
        plans: &[PlanName],
    ) -> Result<Vec<PlanName>, StoreError> {
        let mut in_use = Vec::new();
        for cell in cells {
            in_use.extend(plans_in_use(&mut *cell.pool.acquire().await?, plans).await?);
        }
        in_use.sort();
        in_use.dedup();
        Ok(in_use)
    }
}

/// Of these plans, the ones with live subscriptions in the current cell.
async fn plans_in_use(
    connection: &mut PgConnection,
    plans: &[PlanName],
) -> Result<Vec<PlanName>, StoreError> {
    if plans.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = plans.iter().map(ToString::to_string).collect();
    let in_use = sqlx::query_scalar!(
        "SELECT DISTINCT plan FROM subscriptions WHERE status <> 5 AND plan = ANY ($1::text[])",
        &names
    )
    .fetch_all(connection)
    .await?;
    Ok(plans
        .iter()
        .filter(|plan| in_use.iter().any(|name| name == plan.as_str()))
        .cloned()
        .collect())
}
