//! A gate that somebody else runs: accounts are made through its own calls.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinSet};

use super::{BenchError, load::account_id};
use crate::{client::Client, proto};

/// Calls at once.
const AT_ONCE: usize = 64;
/// What each account is granted.
const CREDITS: i64 = 1_000_000_000;

/// Makes `count` accounts with credits, and says which kind of scan to ask for.
/// May be repeated: what is there already stays.
///
/// # Errors
///
/// The gate cannot be reached, or has no kind of scan that takes credits.
pub async fn prepare(
    client: &Client,
    count: u32,
    scan_kind: Option<&str>,
) -> Result<String, BenchError> {
    let catalog = client.get_catalog(proto::GetCatalogRequest {}).await?.catalog;
    let kinds = catalog.map(|catalog| catalog.scan_kinds).unwrap_or_default();
    let fits = |kind: &&proto::ScanKind| match scan_kind {
        Some(name) => kind.name == name,
        None => kind.credits > 0 && !kind.credit_type.is_empty(),
    };
    let kind = kinds.iter().find(fits).ok_or_else(|| {
        BenchError::Usage("the gate's catalog has no such kind of scan".to_owned())
    })?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks: JoinSet<Result<(), BenchError>> = JoinSet::new();
    for number in 0..count {
        let (client, places) = (client.clone(), places.clone());
        let credit_type = kind.credit_type.clone();
        tasks.spawn(async move {
            let _place = places.acquire().await;
            let account_id = account_id(number);
            let account = proto::CreateAccountRequest {
                account_id: account_id.clone(),
                ..proto::CreateAccountRequest::default()
            };
            client.create_account(account).await?;
            let grant = proto::GrantCreditsRequest {
                grant_id: "bench".to_owned(),
                account_id,
                credit_type,
                credits: CREDITS,
                expire_time: None,
                reason: "bench".to_owned(),
            };
            client.grant_credits(grant).await?;
            Ok(())
        });
    }
    while let Some(made) = tasks.join_next().await {
        made.map_err(|error| BenchError::Other(error.to_string()))??;
    }
    Ok(kind.name.clone())
}
