//! Projects: the directory says which account had a project last, the account's
//! cell decides.

use sqlx::PgConnection;

use super::{Cell, CellId, Database, StoreError, connect::enter};
use crate::ids::{AccountId, ProjectId};

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
