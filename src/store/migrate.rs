//! Migrations, and the rights of the role that serves.
//!
//! Migrations are embedded, only ever added to, and run under an advisory lock.
//! Those of `public` run once, those of a cell once in each cell's schema.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, migrate::Migrator};

use super::{CellId, Database, StoreError, pool::Pool};

/// The directories.
static PUBLIC: Migrator = sqlx::migrate!("migrations/public");
/// A cell's tables.
static CELL: Migrator = sqlx::migrate!("migrations/cell");

/// Tables on which the serving role may do no more than read and insert.
const APPEND_ONLY: [&str; 6] =
    ["ledger_entries", "operations", "notices", "transactions", "applied_events", "feed"];

/// The tables of `public`.
const DIRECTORIES: &str = "public.cells, public.account_directory, public.project_directory, \
                           public.provider_directory, public.catalogs, public.top_up_directory, \
                           public.webhook_inbox, public.provider_transactions, \
                           public.provider_subscriptions, public.event_cursors, \
                           public.webhook_endpoints, public.webhook_deliveries, \
                           public.mail_choices, public.mails";

/// What a migration is to leave behind.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The role that serves: created where it does not exist, given the rights
    /// that it needs, and no more.
    pub serving_role: String,
    /// How many cells there are to be, 1 to 99. Never fewer than there are.
    pub cells: CellId,
}

impl Plan {
    /// The serving role's name where none is given.
    pub const DEFAULT_SERVING_ROLE: &'static str = "creditgate_app";
}

impl Database {
    /// Brings the schema up to date. Runs as the owner of the schema. May be
    /// repeated, and run by several at once.
    ///
    /// # Errors
    ///
    /// The database is away, a right is missing, or a migration was changed
    /// after it had been applied.
    pub async fn migrate(&self, plan: &Plan) -> Result<(), StoreError> {
        let mut connection = self.connect_to("public").await?;
        sqlx::query!("SELECT pg_advisory_lock(hashtextextended('creditgate migrate', 0))")
            .fetch_one(&mut connection)
            .await?;
        PUBLIC.run(&mut connection).await?;
        create_role(&mut connection, &plan.serving_role).await?;
        grant(&mut connection, &plan.serving_role, "public").await?;
        let existing = sqlx::query_scalar!("SELECT schema_name FROM public.cells")
            .fetch_all(&mut connection)
            .await?;
        let planned = (0..plan.cells).map(|cell| (cell, format!("cell_{cell:02}")));
        for (cell_id, schema) in planned {
            // The name is made of digits here.
            let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
            connection.execute(AssertSqlSafe(create)).await?;
            self.migrate_cell(&schema, &plan.serving_role).await?;
            if !existing.contains(&schema) {
                self.open_cell(&mut connection, cell_id, &schema).await?;
            }
        }
        for schema in existing.iter().filter(|schema| {
            schema
                .strip_prefix("cell_")
                .and_then(|n| n.parse().ok())
                .is_some_and(|n: CellId| n >= plan.cells)
        }) {
            self.migrate_cell(schema, &plan.serving_role).await?;
        }
        connection.close().await?;
        Ok(())
    }

    async fn migrate_cell(&self, schema: &str, role: &str) -> Result<(), StoreError> {
        let mut connection = self.connect_to(schema).await?;
        CELL.run(&mut connection).await?;
        grant(&mut connection, role, schema).await?;
        connection.close().await?;
        Ok(())
    }

    /// A new cell begins with the catalog that holds elsewhere.
    async fn open_cell(
        &self,
        connection: &mut PgConnection,
        cell_id: CellId,
        schema: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = connection.begin().await?;
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('creditgate catalog', 0))")
            .fetch_one(&mut *transaction)
            .await?;
        super::connect::enter(&mut transaction, schema).await?;
        sqlx::query!(
            r#"
            INSERT INTO catalogs (revision, document, create_time)
            SELECT revision, document, create_time
              FROM public.catalogs ORDER BY revision DESC LIMIT 1
            "#
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "INSERT INTO public.cells (cell_id, schema_name) VALUES ($1, $2)",
            cell_id,
            schema
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Checks that every migration of this program has been applied.
    ///
    /// # Errors
    ///
    /// [`StoreError::SchemaNotReady`] where one has not.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let public = applied(self.directories()).await?;
        let wanted = newest(&PUBLIC);
        if public < wanted {
            return Err(StoreError::SchemaNotReady(format!("public is at {public} of {wanted}")));
        }
        let wanted = newest(&CELL);
        for cell in self.cells().await? {
            let version = applied(&cell.pool).await?;
            cell.close().await;
            if version < wanted {
                let schema = cell.schema_name;
                return Err(StoreError::SchemaNotReady(format!(
                    "{schema} is at {version} of {wanted}"
                )));
            }
        }
        Ok(())
    }

    /// The settings under which the database acknowledges what a power cut may
    /// still undo: to warn of, loudly.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn risky_settings(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"
            SELECT name AS "name!" FROM pg_settings
             WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
             ORDER BY name
            "#
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?)
    }

    /// The append-only tables that the current role could nevertheless change:
    /// to warn of, loudly.
    ///
    /// # Errors
    ///
    /// The database is away.
    pub async fn excessive_rights(&self) -> Result<Vec<String>, StoreError> {
        let tables: Vec<String> = APPEND_ONLY.iter().map(ToString::to_string).collect();
        Ok(sqlx::query_scalar!(
            r#"
            SELECT DISTINCT t.schemaname || '.' || t.tablename AS "name!"
              FROM pg_tables t JOIN public.cells c ON c.schema_name = t.schemaname
             WHERE t.tablename = ANY ($1::text[])
               AND has_table_privilege(format('%I.%I', t.schemaname, t.tablename),
                                       'UPDATE, DELETE, TRUNCATE')
             ORDER BY 1
            "#,
            &tables
        )
        .fetch_all(&mut *self.directories().acquire().await?)
        .await?)
    }
}

/// The newest migration in the pool's schema. The table is sqlx's own, which
/// no migration of ours makes: the one statement that is not checked.
async fn applied(pool: &Pool) -> Result<i64, StoreError> {
    let newest = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";
    Ok(sqlx::query_scalar(newest).fetch_one(&mut *pool.acquire().await?).await?)
}

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Creates the role, able to log in without a password: whether that is enough
/// is for `pg_hba.conf` to say. Two migrations of different databases may race.
async fn create_role(connection: &mut PgConnection, role: &str) -> Result<(), StoreError> {
    let exists = sqlx::query_scalar!("SELECT 1 AS one FROM pg_roles WHERE rolname = $1", role)
        .fetch_optional(&mut *connection)
        .await?
        .is_some();
    if exists {
        return Ok(());
    }
    let statement = format!("CREATE ROLE {} LOGIN", quote(role));
    match connection.execute(AssertSqlSafe(statement)).await {
        Ok(_) => Ok(()),
        Err(error) => match StoreError::from(error) {
            // Unique violation, or duplicate object: it is there now.
            StoreError::Conflict(_) => Ok(()),
            StoreError::Other(sqlx::Error::Database(error))
                if error.code().as_deref() == Some("42710") =>
            {
                Ok(())
            }
            error => Err(error),
        },
    }
}

/// Read, insert and update everywhere; delete only what carries no history;
/// neither update nor delete what is append-only.
async fn grant(connection: &mut PgConnection, role: &str, schema: &str) -> Result<(), StoreError> {
    let (role, schema_name) = (quote(role), quote(schema));
    let mut statements = vec![
        format!("GRANT USAGE ON SCHEMA {schema_name} TO {role}"),
        format!("GRANT SELECT ON {schema_name}._sqlx_migrations TO {role}"),
    ];
    if schema == "public" {
        // By name: others may keep tables there, of which some are not even ours
        // to give (views of extensions, on a managed server).
        statements.push(format!("GRANT SELECT, INSERT, UPDATE ON {DIRECTORIES} TO {role}"));
        statements.push(format!("REVOKE INSERT, UPDATE ON {schema_name}.cells FROM {role}"));
        // What lets callers in is made, and taken away, but never changed nor removed: a
        // secret, a scope, an account of a key stay as they are.
        for (table, ends) in [("api_keys", "expire_time, "), ("principals", "")] {
            let columns = format!("{ends}revoke_time, revoke_actor, last_use_time");
            statements.push(format!(
                "GRANT SELECT, INSERT, UPDATE ({columns}) ON {schema_name}.{table} TO {role}"
            ));
        }
        // What was told long ago is forgotten; a choice may be taken back.
        for table in ["webhook_deliveries", "mails", "mail_choices"] {
            statements.push(format!("GRANT DELETE ON {schema_name}.{table} TO {role}"));
        }
        // Neither a catalog nor whose a top-up is ever changes.
        for table in ["catalogs", "top_up_directory"] {
            statements.push(format!("REVOKE UPDATE ON {schema_name}.{table} FROM {role}"));
        }
    } else {
        statements.push(format!(
            "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {schema_name} TO {role}"
        ));
        statements
            .push(format!("REVOKE INSERT, UPDATE ON {schema_name}._sqlx_migrations FROM {role}"));
        // How far the feed has come.
        statements.push(format!("GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema_name} TO {role}"));
        statements.push(format!("GRANT DELETE ON {schema_name}.projects TO {role}"));
        for table in APPEND_ONLY.iter().chain(&["catalogs"]) {
            statements.push(format!("REVOKE UPDATE ON {schema_name}.{table} FROM {role}"));
        }
    }
    // Names are quoted above; the rest is written here.
    connection.execute(AssertSqlSafe(statements.join("; "))).await?;
    Ok(())
}

/// A name as an SQL identifier.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
