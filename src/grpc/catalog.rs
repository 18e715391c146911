//! The catalog: one document, applied whole.

use tonic::{Request, Response, Status};

use super::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, actor, decode, encode};
use crate::{
    billing::Billing,
    proto::{
        self,
        catalog_service_server::{CatalogService, CatalogServiceServer},
    },
};

/// `CatalogService`.
#[derive(Debug, Clone)]
pub struct CatalogApi {
    billing: Billing,
}

impl CatalogApi {
    /// The catalog of these use cases.
    #[must_use]
    pub fn new(billing: Billing) -> Self {
        Self { billing }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> CatalogServiceServer<Self> {
        CatalogServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }
}

#[tonic::async_trait]
impl CatalogService for CatalogApi {
    async fn apply_catalog(
        &self,
        request: Request<proto::ApplyCatalogRequest>,
    ) -> Result<Response<proto::ApplyCatalogResponse>, Status> {
        let actor = actor(&request);
        let request = request.into_inner();
        let catalog = decode::catalog(request.catalog)?;
        let applied = self.billing.apply_catalog(catalog, request.validate_only, &actor).await?;
        let (revision, changes) = (applied.revision, applied.changes);
        Ok(Response::new(proto::ApplyCatalogResponse { revision, changes }))
    }

    async fn get_catalog(
        &self,
        _request: Request<proto::GetCatalogRequest>,
    ) -> Result<Response<proto::GetCatalogResponse>, Status> {
        let revised = self.billing.catalog().await?;
        let catalog = Some(encode::catalog(revised.catalog));
        Ok(Response::new(proto::GetCatalogResponse { catalog, revision: revised.revision }))
    }
}
