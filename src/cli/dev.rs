//! `creditgate dev`: the server with a PostgreSQL of its own, ready to try.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{
    CliError, Outcome, catalog_file,
    output::note,
    serve::{start_logs, stop_on_signals},
};
use crate::{
    client::Client,
    clock::Clock,
    config::{LogFormat, Secret, Settings},
    dev::postgres::{ManagedPostgres, OWNER_ROLE, Options, default_data_dir},
    proto,
    server::{self, MigrationPlan},
};

/// The database within the managed PostgreSQL.
const DATABASE: &str = "creditgate";
/// What a new data directory begins with. The account has no subscription, so
/// that any catalog can be applied over this one.
const DEMO_CATALOG: &str = include_str!("../../deploy/catalogs/demo.toml");
const DEMO_ACCOUNT: &str = "demo";
const DEMO_PROJECT: &str = "demo-site";
const DEMO_CREDITS: i64 = 5;

/// Where to keep the data, and where to serve.
#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// Where data is kept across runs [default: .creditgate].
    #[arg(long, env = "CREDITGATE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where gRPC is served, without credentials.
    #[arg(
        long,
        env = "CREDITGATE_GRPC_ADDR",
        value_name = "ADDR",
        default_value = "127.0.0.1:50051"
    )]
    grpc_addr: SocketAddr,
    /// Where health and metrics are served over HTTP.
    #[arg(
        long,
        env = "CREDITGATE_HTTP_ADDR",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    http_addr: SocketAddr,
    /// Secrets of Paddle's notification destination, divided by commas: to try
    /// POST /webhooks/paddle.
    #[arg(long, env = "CREDITGATE_PADDLE_SECRETS", value_name = "SECRETS", hide_env_values = true)]
    paddle_secrets: Option<String>,
    /// What is logged: warn, info, creditgate=debug, ...
    #[arg(long, env = "CREDITGATE_LOG", value_name = "FILTER", default_value = "warn")]
    log: String,
}

/// Runs until Ctrl-C or SIGTERM, and leaves no process behind.
pub(super) async fn run(args: DevArgs) -> Result<Outcome, CliError> {
    for address in [args.grpc_addr, args.http_addr] {
        if !address.ip().is_loopback() {
            let hint = "`creditgate serve` is for others to reach";
            return Err(CliError::Usage(format!(
                "dev serves on loopback only, not {address}: {hint}"
            )));
        }
    }
    start_logs(&args.log, LogFormat::Text)?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let data_dir = match args.data_dir.clone() {
        Some(data_dir) => data_dir,
        None => default_data_dir().await,
    };
    let mut postgres = ManagedPostgres::start(Options::new(data_dir)).await?;
    // Whatever happens from here on, PostgreSQL is stopped first.
    let served = serve(&args, &mut postgres, stop).await;
    let stopped = postgres.stop().await;
    served?;
    stopped?;
    Ok(Outcome::Done)
}

async fn serve(
    args: &DevArgs,
    postgres: &mut ManagedPostgres,
    stop: CancellationToken,
) -> Result<(), CliError> {
    postgres.ensure_database(DATABASE).await?;
    let settings = |role: &str| Settings {
        database_url: Some(Secret::new(postgres.url(role, DATABASE))),
        grpc_addr: args.grpc_addr,
        http_addr: args.http_addr,
        drain_seconds: 0,
        paddle_secrets: args.paddle_secrets.clone().map(Secret::new),
        ..Settings::default()
    };
    let role = MigrationPlan::DEFAULT_SERVING_ROLE;
    let plan = MigrationPlan { serving_role: role.to_owned(), cells: 1 };
    server::migrate(&settings(OWNER_ROLE), &plan).await?;
    let settings = settings(role);
    seed(&settings).await?;
    let running = match server::start(&settings, Clock::Database, stop.clone()).await {
        Err(server::ServerError::Stopped) => return Ok(()),
        started => started?,
    };
    welcome(args, postgres);
    tokio::select! {
        () = stop.cancelled() => {}
        error = postgres.exited() => {
            stop.cancel();
            let _drained = running.ended().await;
            return Err(error.into());
        }
    }
    Ok(running.ended().await?)
}

/// Puts the demo's catalog, account, project and credits into a database that
/// never had a catalog, through a server on a port that nobody knows.
async fn seed(settings: &Settings) -> Result<(), CliError> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings { grpc_addr: any_port, http_addr: any_port, ..settings.clone() };
    let stop = CancellationToken::new();
    let running = server::start(&settings, Clock::Database, stop.clone()).await?;
    let client = Client::connect(&format!("http://{}", running.grpc_addr)).await?;
    let filled = fill(&client).await;
    drop(client);
    stop.cancel();
    running.ended().await?;
    filled
}

async fn fill(client: &Client) -> Result<(), CliError> {
    if client.get_catalog(proto::GetCatalogRequest {}).await?.revision > 0 {
        return Ok(());
    }
    let account_id = || DEMO_ACCOUNT.to_owned();
    client
        .create_account(proto::CreateAccountRequest {
            account_id: account_id(),
            display_name: "Demo".to_owned(),
            billing_email: String::new(),
        })
        .await?;
    client
        .assign_project(proto::AssignProjectRequest {
            project_id: DEMO_PROJECT.to_owned(),
            account_id: account_id(),
        })
        .await?;
    let catalog = catalog_file::parse_toml(DEMO_CATALOG).map_err(CliError::Other)?;
    let request = proto::ApplyCatalogRequest { catalog: Some(catalog), validate_only: false };
    client.apply_catalog(request).await?;
    client
        .grant_credits(proto::GrantCreditsRequest {
            grant_id: "welcome".to_owned(),
            account_id: account_id(),
            credit_type: "scan".to_owned(),
            credits: DEMO_CREDITS,
            expire_time: None,
            reason: "welcome to the demo".to_owned(),
        })
        .await?;
    Ok(())
}

/// What to type next.
fn welcome(args: &DevArgs, postgres: &ManagedPostgres) {
    let program = std::env::args().next().unwrap_or_else(|| "creditgate".to_owned());
    let (grpc, http) = (args.grpc_addr, args.http_addr);
    let data_dir = postgres.data_dir().display();
    let url = postgres.url(OWNER_ROLE, DATABASE);
    let verify = format!("DATABASE_URL='{url}' {program} verify");
    note(&format!(
        "creditgate is ready
  gRPC   {grpc}
  HTTP   http://{http} (/readyz, /metrics)
  data   {data_dir}, kept across runs
  books  {verify}

Type in another terminal:"
    ));
    if grpc.to_string() != "127.0.0.1:50051" {
        note(&format!("  export CREDITGATE_ADDR={grpc}"));
    }
    note(&format!(
        "  {program} balance --account {DEMO_ACCOUNT}
  {program} run --account {DEMO_ACCOUNT} --project {DEMO_PROJECT} --kind live_audit -- echo scanning
  {program} ledger --account {DEMO_ACCOUNT}

Ctrl-C stops it."
    ));
}
