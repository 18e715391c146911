//! What a start needs before there is anything to serve.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, time};
use tokio_util::sync::CancellationToken;

use super::{PROBE_PERIOD, ServerError};
use crate::{
    auth::{Issuer, IssuerError, IssuerSettings},
    config::{ConfigError, Secret, Settings, Tokens},
    delivery::mail::Mailer,
    paddle::signature::Verifier,
    store::{Database, StoreError},
};

/// Whose tokens are taken.
pub(super) fn issuer(tokens: Tokens<'_>) -> Result<Arc<Issuer>, IssuerError> {
    let Tokens { issuer, audience, keys } = tokens;
    let settings = IssuerSettings {
        issuer: issuer.to_owned(),
        audience: audience.to_owned(),
        keys: keys.map(ToOwned::to_owned),
    };
    Issuer::new(settings).map(Arc::new)
}

/// Who is believed to be Paddle; nobody where no secret is set.
pub(super) fn verifier(settings: &Settings) -> Result<Option<Verifier>, ConfigError> {
    let secrets = settings.paddle_secrets()?;
    let (tolerance, skew) = (settings.paddle_tolerance_seconds, settings.paddle_skew_seconds);
    let verifier = || Verifier::new(secrets.iter().map(Secret::reveal), tolerance, skew);
    Ok((!secrets.is_empty()).then(verifier))
}

/// Listens; the address says which port it became.
pub(super) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Waits for the database, for as long as it takes; a schema that does not fit
/// is an error at once.
pub(super) async fn wait_for(
    database: &Database,
    stop: &CancellationToken,
) -> Result<(), ServerError> {
    let mut told = Instant::now().checked_sub(Duration::from_secs(60));
    loop {
        match database.check_schema().await {
            Ok(()) => return Ok(()),
            Err(StoreError::Unavailable(error)) => {
                if told.is_none_or(|told| told.elapsed() > Duration::from_secs(10)) {
                    tracing::warn!(%error, "waiting for the database");
                    told = Some(Instant::now());
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = stop.cancelled() => return Err(ServerError::Stopped),
            () = time::sleep(PROBE_PERIOD) => {}
        }
    }
}

/// Who sends mails; nobody where no server is set.
pub(super) fn mailer(settings: &Settings) -> Result<Option<Mailer>, ServerError> {
    let mail = settings.mail()?;
    Ok(mail.map(|(url, from)| Mailer::new(url.reveal(), from)).transpose()?)
}
