//! How often a key may call.

use std::time::{Duration, Instant};

use creditgate::{
    clock::Clock,
    config::{Auth, Settings},
    server::access::Scope,
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    harness::{TestDb, TestServer, eventually, settings},
    keys::{bearer, call, make, reason},
};

#[tokio::test]
async fn a_key_that_calls_too_often_is_told_to_wait_and_others_are_not() {
    let db = TestDb::new().await;
    let (busy, calm) =
        (make(&db, &[Scope::Viewer], None).await, make(&db, &[Scope::Viewer], None).await);
    let rate_limit = std::num::NonZeroU32::new(5);
    let settings = Settings { auth: Auth::Keys, rate_limit, ..settings(&db) };
    let server = TestServer::with(&settings, Clock::Database).await;
    let channel = server.channel();
    let path = "/creditgate.v1.LedgerService/GetBalance";
    let mut refused = Vec::new();
    let begun = Instant::now();
    for _ in 0..200 {
        let status = call(&channel, path, bearer(&busy).as_ref()).await.unwrap_err();
        if status.code() == Code::ResourceExhausted {
            refused.push(status);
        } else {
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        }
    }
    // Five at once, and five for each second that it took.
    let passed = 200.0 - f64::from(u32::try_from(refused.len()).unwrap());
    assert!(passed <= 6.0 + 5.0 * begun.elapsed().as_secs_f64(), "{passed} passed");
    let status = refused.last().expect("all passed");
    assert_eq!(reason(status), "RATE_LIMITED");
    let wait = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(!wait.is_zero() && wait <= Duration::from_secs(1), "{wait:?}");
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    let status = call(&channel, path, bearer(&calm).as_ref()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "another key has its own: {status}");
    eventually("its time comes again", async || {
        let status = call(&channel, path, bearer(&busy).as_ref()).await.unwrap_err();
        status.code() == Code::InvalidArgument
    })
    .await;
    server.finish().await;
    let alone = Settings { rate_limit, ..settings };
    let alone = Settings { auth: Auth::Loopback, ..alone };
    assert!(alone.check_auth().is_err(), "a limit for keys, and none to have them");
    db.finish().await;
}
