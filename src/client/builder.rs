//! From an address and a policy to a client.

use std::{fmt, sync::Arc, time::Duration};

use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

use super::{Client, ClientError, RetryPolicy, error::Rejection, retry::Spent};

/// Settings of a [`Client`].
#[derive(Clone)]
pub struct ClientBuilder {
    endpoint: String,
    policy: RetryPolicy,
    key: Option<MetadataValue<Ascii>>,
    authority: Option<Certificate>,
    identity: Option<Identity>,
    trace: Option<MetadataValue<Ascii>>,
}

impl fmt::Debug for ClientBuilder {
    /// Without what says who calls: the certificate's key would show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("endpoint", &self.endpoint)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Starts from an address: `http://host:port`, or `host:port`.
    #[must_use]
    pub fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            policy: RetryPolicy::default(),
            key: None,
            authority: None,
            identity: None,
            trace: None,
        }
    }

    /// The key to call with, `cg_...`, or a token: for a gate that takes them.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] for what cannot be a key.
    pub fn key(mut self, key: &str) -> Result<Self, ClientError> {
        let bad = |_| ClientError::Endpoint("the key has characters that no key has".to_owned());
        let mut value = MetadataValue::try_from(format!("Bearer {key}")).map_err(bad)?;
        value.set_sensitive(true);
        self.key = Some(value);
        Ok(self)
    }

    /// For `https://`: the authority that has signed the gate's certificate, as PEM,
    /// instead of those that this machine trusts.
    #[must_use]
    pub fn authority(mut self, pem: &str) -> Self {
        self.authority = Some(Certificate::from_pem(pem));
        self
    }

    /// For `https://`: the certificate that says who calls, and its key, as PEM.
    #[must_use]
    pub fn certificate(mut self, chain: &str, key: &str) -> Self {
        self.identity = Some(Identity::from_pem(chain, key));
        self
    }

    /// The trace that all calls belong to, as W3C's `traceparent` has it: a gate that
    /// traces goes on with it.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] for what cannot be a header.
    pub fn trace(mut self, traceparent: &str) -> Result<Self, ClientError> {
        let bad = |_| ClientError::Endpoint("the trace has characters that none has".to_owned());
        self.trace = Some(MetadataValue::try_from(traceparent).map_err(bad)?);
        Ok(self)
    }

    /// How long one attempt of a call may take; 5 s by default. The server is
    /// told (`grpc-timeout`), so that it does not work for nobody.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.policy.deadline = deadline;
        self
    }

    /// How long a call may take with all its attempts; 15 s by default.
    #[must_use]
    pub fn budget(mut self, budget: Duration) -> Self {
        self.policy.budget = budget;
        self
    }

    /// How many attempts a call may make; 5 by default, 1 for no retries.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.policy.max_attempts = attempts;
        self
    }

    /// Replaces the whole policy.
    #[must_use]
    pub fn policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Connects now.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`], or [`ClientError::Unavailable`] where nothing
    /// answers within the deadline.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let endpoint = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(|error| {
            Spent { attempts: 1, ..Spent::default() }.unavailable(Rejection::unreachable(&error))
        })?;
        Ok(Client { channel, policy: Arc::new(self.policy), key: self.key, trace: self.trace })
    }

    /// Connects at the first call. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`].
    pub fn lazy(self) -> Result<Client, ClientError> {
        let channel = self.endpoint()?.connect_lazy();
        Ok(Client { channel, policy: Arc::new(self.policy), key: self.key, trace: self.trace })
    }

    fn endpoint(&self) -> Result<Endpoint, ClientError> {
        let url = if self.endpoint.contains("://") {
            self.endpoint.clone()
        } else {
            format!("http://{}", self.endpoint)
        };
        let bad = |why: &str| ClientError::Endpoint(format!("`{}`: {why}", self.endpoint));
        let is_tls = url.starts_with("https://");
        if !is_tls && !url.starts_with("http://") {
            return Err(bad("the scheme must be http or https"));
        }
        let mut endpoint = Endpoint::from_shared(url).map_err(|error| bad(&error.to_string()))?;
        // An address such as `http://:50051` parses but can never be reached.
        if endpoint.uri().host().is_none_or(str::is_empty) {
            return Err(bad("no host"));
        }
        if is_tls {
            let mut trusted = match &self.authority {
                Some(authority) => ClientTlsConfig::new().ca_certificate(authority.clone()),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            if let Some(identity) = &self.identity {
                trusted = trusted.identity(identity.clone());
            }
            endpoint = endpoint.tls_config(trusted).map_err(|error| bad(&error.to_string()))?;
        }
        Ok(endpoint
            .connect_timeout(self.policy.deadline)
            .tcp_nodelay(true)
            // A peer that vanished without a word is found out between calls,
            // so that a long scan's settlement does not run into a dead line.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_http() {
        let endpoint = ClientBuilder::new("localhost:50051").endpoint().unwrap();
        assert_eq!(endpoint.uri().to_string(), "http://localhost:50051/");
    }

    #[test]
    fn addresses_that_cannot_be_dialled_are_refused() {
        for bad in ["", "https://", "ftp://gate", "http://", "a b"] {
            let error = ClientBuilder::new(bad).endpoint().unwrap_err();
            assert!(matches!(error, ClientError::Endpoint(_)), "{bad}: {error}");
        }
    }
}
