//! `creditgate import`, as an operator runs it, as the role that serves.

mod files;
mod interrupted;

use std::path::{Path, PathBuf};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    harness::{TestDb, TestServer},
    program::{output, program, text},
};

/// A database with the catalog of `deploy/catalogs/prebreach.toml`.
async fn database() -> TestDb {
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    let file = format!("{}/deploy/catalogs/prebreach.toml", env!("CARGO_MANIFEST_DIR"));
    let mut apply = program();
    let applied =
        output(apply.args(["--addr", &server.grpc_addr(), "catalog", "apply", &file])).await;
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    server.finish().await;
    db
}

/// A file of a test's own. It goes with it.
struct TestFile(PathBuf);

impl TestFile {
    fn new(extension: &str, content: impl AsRef<[u8]>) -> Self {
        let name = format!("creditgate-import-{}.{extension}", Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Exit code, standard output, standard error.
async fn import(db: &TestDb, file: &Path, options: &[&str]) -> (i32, String, String) {
    let mut command = program();
    let command = command.arg("import").arg(file).args(options).env("DATABASE_URL", db.url());
    let output = output(command).await;
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Exit code and the JSON document.
async fn report(db: &TestDb, file: &Path, options: &[&str]) -> (i32, Value) {
    let (code, out, error) = import(db, file, &[options, &["--output", "json"]].concat()).await;
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}")))
}

/// The rows that an import may make, of all kinds.
async fn rows(db: &TestDb) -> i64 {
    let mut rows = 0;
    for table in [
        "account_directory",
        "project_directory",
        "provider_subscriptions",
        "accounts",
        "projects",
        "lots",
        "ledger_entries",
        "operations",
        "subscriptions",
    ] {
        rows += db.count(&format!("SELECT count(*) FROM {table}")).await;
    }
    rows
}
