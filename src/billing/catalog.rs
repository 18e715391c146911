//! The catalog, applied whole.

use super::{Billing, BillingError};
use crate::{
    domain::{
        catalog::{Catalog, RevisedCatalog},
        catalog_check, catalog_diff,
    },
    ledger::detached,
    store::catalogs::Applied,
};

/// What applying a catalog did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedCatalog {
    /// The revision that holds.
    pub revision: i64,
    /// What changed, a line each.
    pub changes: Vec<String>,
}

impl Billing {
    /// Replaces the catalog, or only says what that would change. The same one
    /// again changes nothing.
    ///
    /// # Errors
    ///
    /// It breaks its own rules, or lacks plans that have live subscriptions, or
    /// the database is away.
    pub async fn apply_catalog(
        &self,
        catalog: Catalog,
        validate_only: bool,
        actor: &str,
    ) -> Result<AppliedCatalog, BillingError> {
        catalog_check::check(&catalog).map_err(BillingError::CatalogInvalid)?;
        if validate_only {
            return self.preview_catalog(catalog).await;
        }
        let database = self.database.clone();
        let (actor, wanted) = (actor.to_owned(), catalog.clone());
        let applied =
            detached(async move { database.apply_catalog(&wanted, &actor).await }).await?;
        match applied {
            Applied::Unchanged { revision } => Ok(AppliedCatalog { revision, changes: Vec::new() }),
            Applied::PlansInUse(plans) => Err(BillingError::PlansInUse(plans)),
            Applied::Changed { revision, replaced } => {
                tracing::info!(revision, "a catalog was applied");
                Ok(AppliedCatalog { revision, changes: catalog_diff::diff(&replaced, &catalog) })
            }
        }
    }

    async fn preview_catalog(&self, catalog: Catalog) -> Result<AppliedCatalog, BillingError> {
        let held = self.catalog().await?;
        let removed = catalog_diff::removed_plans(&held.catalog, &catalog);
        let (database, cells) = (self.database.clone(), self.cells.clone());
        let in_use = detached(async move { database.plans_in_use(&cells, &removed).await }).await?;
        if !in_use.is_empty() {
            return Err(BillingError::PlansInUse(in_use));
        }
        let changes = catalog_diff::diff(&held.catalog, &catalog);
        Ok(AppliedCatalog { revision: held.revision, changes })
    }

    /// The catalog that holds; an empty one of revision 0 before the first.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn catalog(&self) -> Result<RevisedCatalog, BillingError> {
        let database = self.database.clone();
        Ok(detached(async move { database.catalog().await }).await?)
    }
}
