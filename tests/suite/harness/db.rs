//! A database for each test, on the server that `tests/with-postgres` started.

use creditgate::{
    clock::Clock,
    ledger::{Ledger, LedgerOptions, verify},
    store::{Database, migrate::Plan},
};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// The role that serves in tests: one for all databases of the server.
const ROLE: &str = "creditgate_app";

/// The tables in which commands leave rows of an account.
pub const TABLES: [&str; 13] = [
    "accounts",
    "balances",
    "lots",
    "reservations",
    "ledger_entries",
    "operations",
    "notices",
    "subscriptions",
    "top_ups",
    "transactions",
    "purchases",
    "adjustments",
    "applied_events",
];

/// The database that all others are copies of: migrated once a process.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A database of a test's own. It goes with [`TestDb::finish`]; one that a
/// failed test left behind goes with its server.
pub struct TestDb {
    name: String,
    /// As the owner: to look, and to do what the service may not.
    pub owner: PgPool,
}

fn admin_url() -> String {
    std::env::var("CREDITGATE_TEST_DATABASE_URL").expect(
        "these tests need a PostgreSQL: run them with `make test`, or \
         `tests/with-postgres cargo test --test suite NAME`",
    )
}

fn options(database: &str) -> PgConnectOptions {
    admin_url().parse::<PgConnectOptions>().unwrap().database(database)
}

/// The server's URL with another role and database.
fn url(role: &str, database: &str) -> String {
    let options = options(database).username(role);
    // sqlx writes a URL that it reads back itself.
    sqlx::ConnectOptions::to_url_lossy(&options).to_string()
}

async fn admin(statement: &str) {
    let mut connection = PgConnection::connect_with(&options("postgres")).await.unwrap();
    connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

async fn template() -> &'static str {
    TEMPLATE
        .get_or_init(|| async {
            let name = format!("template_{}", Uuid::now_v7().simple());
            admin(&format!("CREATE DATABASE {name}")).await;
            let database = Database::new(&url("creditgate_owner", &name), 1).unwrap();
            let plan = Plan { serving_role: ROLE.to_owned(), cells: 1 };
            database.migrate(&plan).await.unwrap();
            database.close().await;
            name
        })
        .await
}

impl TestDb {
    /// A fresh one, migrated.
    pub async fn new() -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        admin(&format!("CREATE DATABASE {name} TEMPLATE {}", template().await)).await;
        Self::named(name)
    }

    /// A fresh one with nothing in it.
    pub async fn empty() -> Self {
        // Whoever migrates first makes the serving role, which is the server's.
        template().await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        admin(&format!("CREATE DATABASE {name}")).await;
        Self::named(name)
    }

    fn named(name: String) -> Self {
        let options = options(&name).options([("search_path", "cell_00,public")]);
        let owner = PgPoolOptions::new().max_connections(4).connect_lazy_with(options);
        Self { name, owner }
    }

    /// For the service.
    pub fn url(&self) -> String {
        url(ROLE, &self.name)
    }

    /// For whoever migrates.
    pub fn owner_url(&self) -> String {
        url("creditgate_owner", &self.name)
    }

    /// As the service sees it.
    pub fn database(&self) -> Database {
        Database::new(&self.url(), 4).unwrap()
    }

    /// A ledger on it, on its own lanes.
    pub async fn ledger(&self, clock: Clock) -> Ledger {
        self.ledger_with(LedgerOptions { clock, ..LedgerOptions::default() }).await
    }

    /// As [`ledger`](Self::ledger); what else there is to say of it is in `options`.
    pub async fn ledger_with(&self, options: LedgerOptions) -> Ledger {
        let options = LedgerOptions { lanes: 2, check_lanes: 1, ..options };
        let database = self.database();
        let cells = database.cells().await.unwrap();
        Ledger::start(database, cells, &options)
    }

    /// One number.
    pub async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.owner).await.unwrap()
    }

    /// Any statements, as the owner.
    pub async fn execute(&self, statements: &str) {
        self.owner.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
    }

    /// What the check of all books finds.
    pub async fn findings(&self) -> Vec<String> {
        let database = Database::new(&self.owner_url(), 2).unwrap();
        let mut findings = Vec::new();
        for cell in database.cells().await.unwrap() {
            findings.extend(cell.orphans().await.unwrap());
            for account in cell.account_ids(None, 100_000).await.unwrap() {
                let books = cell.books(&account).await.unwrap().unwrap();
                let report = verify::check(&books);
                findings.extend(report.findings.iter().map(|f| format!("{account}: {f}")));
            }
            cell.close().await;
        }
        database.close().await;
        findings
    }

    /// The books agree, no transaction was left open; then the database goes.
    pub async fn finish(self) {
        assert_eq!(self.findings().await, Vec::<String>::new());
        let open = format!(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = '{}' AND state LIKE 'idle in transaction%'",
            self.name
        );
        super::eventually("no transaction is left open", async || self.count(&open).await == 0)
            .await;
        self.owner.close().await;
        admin(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}
