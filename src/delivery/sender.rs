//! Sends one webhook: to the address that was checked, and nowhere else.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::time;
use tower::Service;

use super::{address::is_public, shown};

/// How long all of an attempt may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How much of an answer is read: nobody looks at it.
const MAX_ANSWER: usize = 64 << 10;

/// Why a URL cannot be an endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is none.
    #[error("is no URL of an endpoint: {0}")]
    Malformed(String),
    /// Anybody could read and change what is sent.
    #[error("must begin with https://")]
    Open,
    /// It leads to this machine, or its network.
    #[error("leads to {0}, which is no public address")]
    Private(IpAddr),
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was answered, if anything.
    pub status: Option<u16>,
    /// What went wrong, for people; `None` where it was taken.
    pub error: Option<String>,
    /// When to try again, where the receiver says so.
    pub retry_after: Option<Duration>,
}

/// Sends webhooks. Clones share its settings, and no connections.
#[derive(Debug, Clone)]
pub struct Sender {
    tls: ClientConfig,
    allow_private: bool,
    names: Names,
}

/// Names that lead elsewhere than the resolver says: for tests.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Where to.
    pub known: BTreeMap<String, Vec<IpAddr>>,
    /// How often one of them was asked for.
    pub asked: Arc<AtomicUsize>,
}

impl Sender {
    /// Trusts the authorities that this machine trusts (`SSL_CERT_FILE` names others).
    /// `allow_private`: endpoints may be on this machine or its network, and without TLS.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn new(allow_private: bool) -> io::Result<Self> {
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_native_roots()?
            .with_no_client_auth();
        Ok(Self { tls, allow_private, names: Names::default() })
    }

    /// Trusts these authorities instead.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub fn with_roots(allow_private: bool, roots: RootCertStore) -> io::Result<Self> {
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls, allow_private, names: Names::default() })
    }

    /// With names that lead elsewhere.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// Whether this URL may be an endpoint's. Where its name leads is looked at again
    /// whenever something is sent.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, url: &str) -> Result<Uri, UrlError> {
        let malformed = |why: &str| UrlError::Malformed(why.to_owned());
        let uri: Uri = url
            .parse()
            .map_err(|error: http::uri::InvalidUri| UrlError::Malformed(error.to_string()))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| malformed("it has no host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(malformed("it has a user or a password in it"));
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self.allow_private => {}
            _ => return Err(UrlError::Open),
        }
        // An address is dialled as it is; a name is resolved, and checked, below.
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>()
            && !self.allow_private
            && !is_public(address)
        {
            return Err(UrlError::Private(address));
        }
        Ok(uri)
    }

    /// Sends a body. No redirect is followed.
    pub async fn send(&self, url: &str, headers: HeaderMap, body: String) -> Answer {
        match time::timeout(TIMEOUT, self.try_send(url, headers, body)).await {
            Ok(Ok((status, headers))) => Answer {
                status: Some(status.as_u16()),
                error: (!status.is_success()).then(|| refused(status)),
                retry_after: retry_after(&headers),
            },
            Ok(Err(error)) => {
                Answer { status: None, error: Some(shown(&error)), retry_after: None }
            }
            Err(_) => {
                let error = format!("no answer within {} s", TIMEOUT.as_secs());
                Answer { status: None, error: Some(error), retry_after: None }
            }
        }
    }

    async fn try_send(
        &self,
        url: &str,
        headers: HeaderMap,
        body: String,
    ) -> Result<(StatusCode, HeaderMap), String> {
        let uri = self.check(url).map_err(|error| format!("the URL {error}"))?;
        let resolver = Resolver { allow_private: self.allow_private, names: self.names.clone() };
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        // A connection of its own: what was checked is what is used.
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let mut request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header(header::USER_AGENT, concat!("creditgate/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(body))
            .map_err(|error| error.to_string())?;
        request.headers_mut().extend(headers);
        let response = client.request(request).await.map_err(|error| causes(&error))?;
        let (parts, answer) = response.into_parts();
        // Read, so that the sender does not seem to break off; what it says is nobody's.
        let _answer = Limited::new(answer, MAX_ANSWER).collect().await;
        Ok((parts.status, parts.headers))
    }
}

fn refused(status: StatusCode) -> String {
    match status.is_redirection() {
        true => format!("the answer is {status}: redirects are not followed"),
        false => format!("the answer is {status}"),
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time: DateTime<Utc> = DateTime::parse_from_rfc2822(text).ok()?.into();
    (time - Utc::now()).to_std().ok()
}

/// An error with what is behind it: the last one says what to mend.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (**error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Resolves names to addresses that may be dialled. The connection is made to what
/// this gives: a name that leads elsewhere a moment later is asked no second time.
#[derive(Debug, Clone)]
struct Resolver {
    allow_private: bool,
    names: Names,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let addresses: Vec<SocketAddr> = match this.names.known.get(name) {
                Some(known) => {
                    this.names.asked.fetch_add(1, Ordering::Relaxed);
                    known.iter().map(|address| (*address, 0).into()).collect()
                }
                None => tokio::net::lookup_host((name, 0)).await?.collect(),
            };
            let private = |address: &&SocketAddr| !is_public(address.ip());
            match addresses.iter().find(private).filter(|_| !this.allow_private) {
                // One is enough: whoever mixes them does so on purpose.
                Some(address) => Err(io::Error::other(format!(
                    "{name} leads to {}, which is no public address",
                    address.ip()
                ))),
                None => Ok(addresses.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_public_and_spoken_to_in_private() {
        let strict = Sender::new(false).unwrap();
        let open = Sender::new(true).unwrap();
        for (url, is_ok, is_ok_inside) in [
            ("https://hooks.example/creditgate?x=1", true, true),
            ("https://hooks.example:8443/", true, true),
            ("http://hooks.example/", false, true),
            ("https://127.0.0.1/", false, true),
            ("https://[::1]:8443/", false, true),
            ("https://[::ffff:10.0.0.1]/", false, true),
            ("https://169.254.169.254/latest/meta-data", false, true),
            ("https://8.8.8.8/", true, true),
            ("ftp://hooks.example/", false, false),
            ("hooks.example", false, false),
            ("https://user:password@hooks.example/", false, false),
            ("https:///", false, false),
            ("/hook", false, false),
            ("", false, false),
            ("https://hooks.example/a b", false, false),
        ] {
            assert_eq!(strict.check(url).is_ok(), is_ok, "{url}");
            assert_eq!(open.check(url).is_ok(), is_ok_inside, "{url}");
        }
    }

    #[test]
    fn a_receiver_may_ask_for_a_rest_in_seconds_or_by_a_date() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        let soon = (Utc::now() + chrono::TimeDelta::minutes(10)).to_rfc2822();
        let soon = asked(&soon.replace("+0000", "GMT")).unwrap().as_secs();
        assert!((595..=600).contains(&soon), "{soon}");
        for wrong in ["-1", "soon", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}
