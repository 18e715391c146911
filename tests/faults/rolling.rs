//! A rolling restart, as an orchestrator does it, under load: replicas end by
//! SIGTERM one after the other, while a balancer sends connections to those that
//! are ready. Where an earlier program is named, it is what they are rolled from.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use creditgate::{
    client::{Client, Verdict},
    proto::{self, billing_service_client::BillingServiceClient},
};
use nix::sys::signal::Signal;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::{
    books,
    clients::account,
    postgres::Postgres,
    replica::Replica,
    schedule::{Schedule, earlier, found_accounts, program},
    send::CREDIT_TYPE,
};

/// Callers that call all the time.
const CALLERS: usize = 8;

/// Sends each connection to the next replica that is ready.
async fn balance(ready: Arc<Mutex<Vec<SocketAddr>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut turn = 0;
        while let Ok((mut client, _)) = listener.accept().await {
            turn += 1;
            let to = {
                let ready = ready.lock().unwrap();
                ready.get(turn % ready.len().max(1)).copied()
            };
            tokio::spawn(async move {
                let Some(to) = to else { return };
                let Ok(mut server) = TcpStream::connect(to).await else { return };
                let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

/// Scans one after the other; gives the ids of those that were acknowledged as paid.
async fn call(
    number: usize,
    gate: SocketAddr,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Vec<String> {
    let client = Client::lazy(&format!("http://{gate}")).unwrap();
    let mut paid = Vec::new();
    let mut turn = 0;
    while !stop.load(Relaxed) {
        turn += 1;
        let reservation_id = format!("roll-{number}-{turn}");
        let account_id = account(turn % 3);
        let request = proto::ReserveRequest {
            reservation_id: reservation_id.clone(),
            scan: Some(proto::Scan {
                account_id: account_id.clone(),
                scan_kind: "live_audit".to_owned(),
                ..proto::Scan::default()
            }),
            ..proto::ReserveRequest::default()
        };
        let verdict = client.reserve(request).await;
        let verdict = verdict.unwrap_or_else(|error| panic!("a Reserve failed: {error}"));
        assert!(matches!(verdict, Verdict::Held(_)), "{verdict:?}");
        let request = proto::CommitRequest {
            account_id,
            reservation_id: reservation_id.clone(),
            credits: None,
        };
        client.commit(request).await.unwrap_or_else(|error| panic!("a Commit failed: {error}"));
        paid.push(reservation_id);
        done.fetch_add(2, Relaxed);
    }
    paid
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_are_rolled_under_load_and_no_call_fails() {
    let mut postgres = Postgres::start().await;
    let schedule = Schedule {
        seed: 0,
        length: Duration::ZERO,
        deck: Vec::new(),
        all: false,
        program: program(),
        earlier: None,
        planted: None,
        unguard: "",
    };
    schedule.make_database(&postgres, "rolling").await;
    let old = earlier().unwrap_or_else(program);
    let mut replicas = Vec::new();
    for number in 0..3 {
        let log = postgres.home().join(format!("rolling{number}.log"));
        let socket = postgres.socket();
        let mut replica = Replica::new(number, old.clone(), socket, "rolling", log, None).await;
        replica.drain_seconds = 1;
        replica.start();
        replica.ready_after(Duration::from_secs(30)).await.expect("it does not start");
        replicas.push(replica);
    }
    found_accounts(&replicas[0]).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", replicas[0].grpc));
    let mut billing = BillingServiceClient::new(channel.unwrap().connect_lazy());
    for number in 0..3 {
        let request = proto::GrantCreditsRequest {
            grant_id: "rolling".to_owned(),
            account_id: account(number),
            credit_type: CREDIT_TYPE.to_owned(),
            credits: 1_000_000,
            expire_time: None,
            reason: "rolling".to_owned(),
        };
        billing.grant_credits(request).await.unwrap();
    }
    let ready = Arc::new(Mutex::new(replicas.iter().map(|replica| replica.grpc).collect()));
    let gate = balance(ready.clone()).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(call(number, gate, stop.clone(), done.clone()));
    }
    for replica in &mut replicas {
        // As an orchestrator: it hears that the replica is not ready, and sends no more
        // there; connections that are open stay.
        replica.signal(Signal::SIGTERM);
        let begun = Instant::now();
        while replica.is_ready().await {
            assert!(begun.elapsed() < Duration::from_secs(5), "it stays ready");
            sleep(Duration::from_millis(10)).await;
        }
        ready.lock().unwrap().retain(|address| *address != replica.grpc);
        assert!(replica.ended().await, "a replica does not end as it should");
        replica.program = program();
        replica.start();
        replica.ready_after(Duration::from_secs(10)).await.expect("it does not start again");
        ready.lock().unwrap().push(replica.grpc);
        let answered = done.load(Relaxed);
        let begun = Instant::now();
        while done.load(Relaxed) < answered + 200 {
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing goes on");
            sleep(Duration::from_millis(10)).await;
        }
    }
    stop.store(true, Relaxed);
    let paid: Vec<String> = callers.join_all().await.into_iter().flatten().collect();
    for replica in &mut replicas {
        assert!(replica.stop().await);
    }
    let mut owner = postgres.owner("rolling").await;
    let stored = books::read(&mut owner).await;
    for id in &paid {
        let is_there = |of: &books::Books| of.reservations.get(id) == Some(&2);
        assert!(stored.values().any(is_there), "{id} was acknowledged and is not there");
    }
    println!("{} calls, none failed; {} scans paid", done.load(Relaxed), paid.len());
    drop(owner);
    postgres.crash(Signal::SIGQUIT).await;
}
