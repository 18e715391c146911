//! A client that is not written in Rust walks through the whole contract.

use std::{path::Path, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::harness::{TestDb, TestServer};

#[tokio::test]
async fn a_client_in_another_language_walks_through_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    assert!(
        python.exists(),
        "{} is not there: `make tools` makes it, and `make test` too",
        python.display()
    );
    let db = TestDb::new().await;
    let server = TestServer::start(&db).await;
    let mut walk = Command::new(python);
    // No cache of modules beside the sources.
    walk.arg("-B").arg(root.join("tests/python/walk.py")).arg(server.grpc_addr());
    let output = timeout(Duration::from_secs(60), walk.kill_on_drop(true).output());
    let output = output.await.expect("the walk did not end").unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{errors}", output.status);
    println!("{said}");
    server.finish().await;
    db.finish().await;
}
