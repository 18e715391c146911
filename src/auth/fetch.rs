//! Reads a small document from somewhere else: over https, or from this machine.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, crypto::ring};
use tokio::time;

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest document.
const MAX_BYTES: usize = 1 << 20;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It would come over a network that anybody may listen on, and write to.
    #[error("{0} is neither https nor of this machine")]
    Open(String),
    /// It is no address.
    #[error("{0} is no address: {1}")]
    Address(String, String),
    /// Nothing was answered within seconds.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// An answer without a document: redirects are not followed.
    #[error("the answer is {0}")]
    Status(http::StatusCode),
    /// It could not be reached, or broke off, or is too large.
    #[error("{0}")]
    Transport(String),
}

/// Reads documents. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Fetcher {
    /// Trusts the authorities that this machine trusts (`SSL_CERT_FILE` names others).
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn new() -> io::Result<Self> {
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_native_roots()?
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector.build())))
    }

    /// Reads one document.
    ///
    /// # Errors
    ///
    /// See [`FetchError`].
    pub async fn get(&self, address: &str) -> Result<Bytes, FetchError> {
        let uri = is_safe(address)?;
        let request = Request::get(uri)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("creditgate/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| FetchError::Address(address.to_owned(), error.to_string()))?;
        let read = async {
            let response = self.0.request(request).await.map_err(|error| transport(&error))?;
            if !response.status().is_success() {
                return Err(FetchError::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
            Ok(body.map_err(|error| transport(error.as_ref()))?.to_bytes())
        };
        time::timeout(TIMEOUT, read).await.map_err(|_| FetchError::TimedOut)?
    }
}

/// An error with what is behind it: the last one says what to mend.
fn transport(error: &(dyn std::error::Error + 'static)) -> FetchError {
    let causes = std::iter::successors(Some(error), |error| (**error).source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    FetchError::Transport(words.join(": "))
}

/// The address, where nobody in between can read or change what comes from it.
///
/// # Errors
///
/// It is not safe, or no address.
pub fn is_safe(address: &str) -> Result<Uri, FetchError> {
    let no_address = |why: String| FetchError::Address(address.to_owned(), why);
    let uri: Uri =
        address.parse().map_err(|error: http::uri::InvalidUri| no_address(error.to_string()))?;
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| no_address("it has no host".to_owned()))?;
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_here => Ok(uri),
        _ => Err(FetchError::Open(address.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_change_on_its_way_is_read() {
        for (address, is_ok) in [
            ("https://issuer.example", true),
            ("https://issuer.example:8443/keys?a=b", true),
            ("http://127.0.0.1:9000/keys", true),
            ("http://localhost/keys", true),
            ("http://[::1]:1/", true),
            ("http://issuer.example/keys", false),
            ("http://127.0.0.1.example/keys", false),
            ("ftp://127.0.0.1/keys", false),
            ("file:///etc/passwd", false),
            ("issuer.example", false),
            ("https://", false),
            ("", false),
            ("two words", false),
        ] {
            assert_eq!(is_safe(address).is_ok(), is_ok, "{address:?}");
        }
    }
}
