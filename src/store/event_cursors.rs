//! How far the cells' feeds were handed on. Whoever holds a cursor's row hands on; what
//! is handed on and how far are one transaction.

use super::{Cell, CellId, Database, StoreError, pool::Transaction};

/// A feed that is being handed on: nobody else does, until this ends. Dropped, nothing
/// has happened.
pub struct Handover {
    pub(super) transaction: Transaction,
    consumer: &'static str,
    cell_id: CellId,
    /// What was handed on before.
    pub position: i64,
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Cell {
    /// Sees to it that the feed is handed on to `consumer`: where it never was, from now
    /// on. What is being committed just now may be the last that is not, or the first.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn begin_event_place(&self, consumer: &str) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            INSERT INTO public.event_cursors (consumer, cell_id, position)
            SELECT $1, $2, coalesce(max(position), 0) FROM feed
                ON CONFLICT ON CONSTRAINT event_cursors_pkey DO NOTHING
            "#,
            consumer,
            self.cell_id
        )
        .execute(&mut *self.pool.acquire().await?)
        .await?;
        Ok(())
    }
}

impl Database {
    /// How far a cell's feed was handed on; `None` where it never was.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn event_place(
        &self,
        consumer: &str,
        cell_id: CellId,
    ) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT position FROM public.event_cursors WHERE consumer = $1 AND cell_id = $2",
            consumer,
            cell_id
        )
        .fetch_optional(&mut *self.directories().acquire().await?)
        .await?)
    }

    /// Takes a cell's feed to hand it on to `consumer`; `None` while somebody else does,
    /// or where it was not begun.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn hand_over(
        &self,
        consumer: &'static str,
        cell_id: CellId,
    ) -> Result<Option<Handover>, StoreError> {
        let mut transaction = self.directories().begin().await?;
        let row = sqlx::query_scalar!(
            r#"
            SELECT position FROM public.event_cursors WHERE consumer = $1 AND cell_id = $2
               FOR UPDATE SKIP LOCKED
            "#,
            consumer,
            cell_id
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(position) = row else {
            transaction.rollback().await?;
            return Ok(None);
        };
        Ok(Some(Handover { transaction, consumer, cell_id, position }))
    }
}

impl Handover {
    /// Up to here it was handed on.
    ///
    /// # Errors
    ///
    /// The database is away; whether it counts is then unknown, and harmless.
    pub async fn finish(mut self, position: i64) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            UPDATE public.event_cursors SET position = $3, move_time = clock_timestamp()
             WHERE consumer = $1 AND cell_id = $2
            "#,
            self.consumer,
            self.cell_id,
            position
        )
        .execute(&mut *self.transaction)
        .await?;
        self.transaction.commit().await
    }

    /// Leaves it as it was.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn leave(self) -> Result<(), StoreError> {
        self.transaction.rollback().await
    }
}
