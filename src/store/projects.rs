//! Projects: the directory says which account had a project last, the account's
//! cell decides.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{Cell, CellId, Database, StoreError, accounts::homes, connect::enter, rows::id};
use crate::ids::{AccountId, ProjectId};

/// A project that was to be given to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedProject {
    /// The project.
    pub project_id: ProjectId,
    /// Whose it is now.
    pub account_id: AccountId,
    /// True where it was nobody's before.
    pub is_new: bool,
}

impl Database {
    /// Gives a project to an account (`None`: to nobody), taking it from the
    /// one that has it; gives the account that had it, if another one did. All
    /// in one transaction: at no time do two accounts have it.
    ///
    /// # Errors
    ///
    /// The database is away, or the account is gone from its directory.
    pub async fn assign_project(
        &self,
        cells: &[Cell],
        project_id: &ProjectId,
        to: Option<&AccountId>,
    ) -> Result<Option<String>, StoreError> {
        let mut transaction = self.directories().begin().await?;
        sqlx::query!(
            r#"
            INSERT INTO public.project_directory (project_id, account_id) VALUES ($1, NULL)
                ON CONFLICT ON CONSTRAINT project_directory_pkey DO NOTHING
            "#,
            project_id.as_str()
        )
        .execute(&mut *transaction)
        .await?;
        let previous = sqlx::query_scalar!(
            "SELECT account_id FROM public.project_directory WHERE project_id = $1 FOR UPDATE",
            project_id.as_str()
        )
        .fetch_one(&mut *transaction)
        .await?;
        let to_text = to.map(AccountId::as_str);
        if previous.as_deref() == to_text {
            transaction.commit().await?;
            return Ok(None);
        }
        if let Some(account_id) = &previous {
            enter_cell_of(&mut transaction, cells, account_id).await?;
            sqlx::query!(
                "DELETE FROM projects WHERE account_id = $1 AND project_id = $2",
                account_id,
                project_id.as_str()
            )
            .execute(&mut *transaction)
            .await?;
        }
        if let Some(account_id) = to_text {
            enter_cell_of(&mut transaction, cells, account_id).await?;
            sqlx::query!(
                r#"
                INSERT INTO projects (account_id, project_id, create_time)
                VALUES ($1, $2, clock_timestamp())
                    ON CONFLICT ON CONSTRAINT projects_pkey DO NOTHING
                "#,
                account_id,
                project_id.as_str()
            )
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query!(
            "UPDATE public.project_directory SET account_id = $2 WHERE project_id = $1",
            project_id.as_str(),
            to_text
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(previous)
    }

    /// Gives projects to accounts, those that nobody has, and returns whose they
    /// are now: the caller compares. Nothing is taken from anybody. All in one
    /// transaction.
    ///
    /// # Errors
    ///
    /// The database is away, or an account is in no directory.
    pub async fn claim_projects(
        &self,
        cells: &[Cell],
        claims: &[(ProjectId, AccountId)],
    ) -> Result<Vec<ClaimedProject>, StoreError> {
        // In the order in which anybody else would claim some of them.
        let mut claims: Vec<&(ProjectId, AccountId)> = claims.iter().collect();
        claims.sort();
        let projects: Vec<String> = claims.iter().map(|(project, _)| project.to_string()).collect();
        let accounts: Vec<String> = claims.iter().map(|(_, account)| account.to_string()).collect();
        let mut transaction = self.directories().begin().await?;
        // Also locks those that are somebody's already.
        let claimed: BTreeSet<String> = sqlx::query_scalar!(
            r#"
            INSERT INTO public.project_directory AS p (project_id, account_id)
            SELECT * FROM UNNEST($1::text[], $2::text[])
                ON CONFLICT ON CONSTRAINT project_directory_pkey DO UPDATE
               SET account_id = EXCLUDED.account_id
             WHERE p.account_id IS NULL
            RETURNING project_id
            "#,
            &projects,
            &accounts
        )
        .fetch_all(&mut *transaction)
        .await?
        .into_iter()
        .collect();
        let owners = owners(&mut transaction, &projects).await?;
        let homes = homes(&mut transaction, &accounts).await?;
        let homeless = claims.iter().find(|(_, account)| {
            cells.iter().all(|cell| homes.get(account.as_str()) != Some(&cell.cell_id))
        });
        if let Some((_, account)) = homeless {
            transaction.rollback().await?;
            return Err(StoreError::Corrupt(format!("account {account} has no cell")));
        }
        for cell in cells {
            let here = claims.iter().filter(|(project, account)| {
                claimed.contains(project.as_str())
                    && homes.get(account.as_str()) == Some(&cell.cell_id)
            });
            let (accounts, projects): (Vec<String>, Vec<String>) =
                here.map(|(project, account)| (account.to_string(), project.to_string())).unzip();
            if projects.is_empty() {
                continue;
            }
            enter(&mut transaction, &cell.schema_name).await?;
            sqlx::query!(
                r#"
                INSERT INTO projects (account_id, project_id, create_time)
                SELECT account_id, project_id, clock_timestamp()
                  FROM UNNEST($1::text[], $2::text[]) AS u (account_id, project_id)
                    ON CONFLICT ON CONSTRAINT projects_pkey DO NOTHING
                "#,
                &accounts,
                &projects
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        owners
            .into_iter()
            .filter_map(|(project, owner)| owner.map(|owner| (project, owner)))
            .map(|(project, owner)| {
                let is_new = claimed.contains(&project);
                let (project_id, account_id) =
                    (id(&project, ProjectId::new)?, id(&owner, AccountId::new)?);
                Ok(ClaimedProject { project_id, account_id, is_new })
            })
            .collect()
    }

    /// Whose these projects are; those that nobody has are left out.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn project_owners(
        &self,
        project_ids: &[ProjectId],
    ) -> Result<Vec<(ProjectId, AccountId)>, StoreError> {
        let keys: Vec<String> = project_ids.iter().map(ToString::to_string).collect();
        let rows = owners(&mut *self.directories().acquire().await?, &keys).await?;
        rows.into_iter()
            .filter_map(|(project, owner)| owner.map(|owner| (project, owner)))
            .map(|(project, owner)| {
                Ok((id(&project, ProjectId::new)?, id(&owner, AccountId::new)?))
            })
            .collect()
    }
}

/// These projects, as far as the directory knows them, with the account of each.
async fn owners(
    connection: &mut PgConnection,
    keys: &[String],
) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT project_id, account_id FROM public.project_directory WHERE project_id = ANY ($1::text[])",
        keys
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.project_id, row.account_id)).collect())
}

/// Turns the transaction to the cell in which an account lives.
async fn enter_cell_of(
    connection: &mut PgConnection,
    cells: &[Cell],
    account_id: &str,
) -> Result<(), StoreError> {
    let cell_id: Option<CellId> = sqlx::query_scalar!(
        "SELECT cell_id FROM public.account_directory WHERE account_id = $1",
        account_id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let cell = cells
        .iter()
        .find(|cell| Some(cell.cell_id) == cell_id)
        .ok_or_else(|| StoreError::Corrupt(format!("account {account_id} has no cell")))?;
    enter(connection, &cell.schema_name).await
}
