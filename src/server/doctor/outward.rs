//! What a server calls: the collector of traces, the mail server, endpoints.

use std::time::Duration;

use http::Uri;
use tokio::{net::TcpStream, time};

use super::Findings;
use crate::{
    config::Settings,
    delivery::{StoredEndpoint, mail::Mailer},
    store::Database,
};

/// How long one of them may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn collector(found: &mut Findings, settings: &Settings) {
    let Some(endpoint) = settings.otlp_endpoint.as_deref() else {
        return found.good("traces", "none are sent");
    };
    let parsed: Option<(String, u16)> = endpoint.parse::<Uri>().ok().and_then(|uri| {
        let port =
            uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        Some((host.to_owned(), port))
    });
    let Some(address) = parsed else {
        return found.bad("traces", format!("{endpoint} is no URL: --otlp-endpoint"));
    };
    let why = match time::timeout(TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => return found.good("traces", format!("{endpoint} takes connections")),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    found.warn("traces", format!("{endpoint} takes no connection ({why}): spans would be lost"));
}

pub(super) async fn mail(found: &mut Findings, settings: &Settings) {
    let (url, from) = match settings.mail() {
        Err(error) => return found.bad("mail", error.to_string()),
        Ok(None) => return found.good("mail", "none is sent"),
        Ok(Some(mail)) => mail,
    };
    let mailer = match Mailer::new(url.reveal(), from) {
        Err(error) => return found.bad("mail", error.to_string()),
        Ok(mailer) => mailer,
    };
    match mailer.greet(TIMEOUT).await {
        Ok(()) => found.good("mail", format!("the server greets; from {from}")),
        Err(why) => found.warn("mail", format!("mails would wait: {why}; look at smtp_url")),
    }
}

pub(super) async fn endpoints(found: &mut Findings, database: &Database) {
    match database.endpoints(None).await {
        Err(error) => found.warn("endpoints", error.to_string()),
        Ok(endpoints) => {
            let count = |is: fn(&StoredEndpoint) -> bool| {
                endpoints.iter().filter(|endpoint| is(endpoint)).count()
            };
            let disabled = count(|endpoint| endpoint.disable_time.is_some());
            let failing = count(|e| e.disable_time.is_none() && e.failures > 0);
            let all = endpoints.len();
            if disabled + failing == 0 {
                return found.good("endpoints", format!("{all}, none fails"));
            }
            let said = format!("{all}, of which {failing} fail and {disabled} are disabled");
            found.warn("endpoints", format!("{said}: `creditgate endpoint list` says why"));
        }
    }
}
