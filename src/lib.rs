//! creditgate: a credit gate between a scan scheduler and a Postgres ledger.
//!
//! Reading order: [`domain`] (the rules, pure), [`ledger`] (commands, lanes,
//! batches), [`store`] (SQL); then the edges: [`grpc`], [`http`], [`server`].
//! `ARCHITECTURE.md` follows one Reserve from wire to disk and says which room
//! may touch which.

// The generators of random histories name this crate as its users do, so that
// other test binaries can include them.
#[cfg(test)]
extern crate self as creditgate;

pub mod auth;
pub mod bench;
pub mod billing;
pub mod checkpoint;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod dev;
pub mod domain;
pub mod events;
pub mod grpc;
pub mod http;
pub mod ids;
pub mod import;
pub mod ledger;
pub mod paddle;
pub mod parking;
pub mod planted;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod workers;

/// The wire contract, generated from `proto/`.
pub mod proto {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("creditgate.v1");

    /// The contract's descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

    impl std::fmt::Debug for CreateKeyResponse {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("CreateKeyResponse")
                .field("key_id", &self.key_id)
                .finish_non_exhaustive()
        }
    }

    impl std::fmt::Debug for RotateKeyResponse {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("RotateKeyResponse")
                .field("key_id", &self.key_id)
                .finish_non_exhaustive()
        }
    }

    impl std::fmt::Debug for CreateEndpointResponse {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("CreateEndpointResponse")
                .field("endpoint_id", &self.endpoint_id)
                .finish_non_exhaustive()
        }
    }

    impl std::fmt::Debug for RotateEndpointSecretResponse {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("RotateEndpointSecretResponse").finish_non_exhaustive()
        }
    }

    /// The paths of all calls, such as `/creditgate.v1.GateService/Reserve`: those
    /// of services that are not served yet, too.
    #[must_use]
    pub fn calls() -> Vec<String> {
        use prost::Message;
        let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        let mut calls = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service, method) =
                        (file.package(), service.name(), method.name());
                    calls.push(format!("/{package}.{service}/{method}"));
                }
            }
        }
        calls
    }
}
