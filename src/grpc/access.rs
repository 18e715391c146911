//! Who may call.

use tonic::{Request, Response, Status};

use super::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, actor, decode, encode};
use crate::{
    auth::{Access, AccessError},
    ledger::LedgerError,
    proto::{
        self,
        access_service_server::{AccessService, AccessServiceServer},
    },
};

/// `AccessService`.
#[derive(Debug, Clone)]
pub struct AccessApi {
    access: Access,
}

impl AccessApi {
    /// Lets callers in by these use cases.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self { access }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> AccessServiceServer<Self> {
        AccessServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// Does something to its end, also where its caller goes away: a statement that is
    /// dropped half-way would leave its connection in the middle of an answer.
    async fn whole<T, F>(&self, work: impl FnOnce(Access) -> F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AccessError>> + Send + 'static,
    {
        match tokio::spawn(work(self.access.clone())).await {
            Ok(result) => Ok(result?),
            Err(error) => {
                tracing::error!(%error, "a change of who may call ended early");
                Err(LedgerError::Internal.into())
            }
        }
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn create_key(
        &self,
        request: Request<proto::CreateKeyRequest>,
    ) -> Result<Response<proto::CreateKeyResponse>, Status> {
        let actor = actor(&request);
        let (rights, lifetime) = decode::create_key(request.get_ref())?;
        let key = self
            .whole(|access| async move { access.create_key(&rights, lifetime, &actor).await })
            .await?;
        let (key_id, key) = (key.id().to_string(), key.reveal().to_owned());
        Ok(Response::new(proto::CreateKeyResponse { key_id, key }))
    }

    async fn list_keys(
        &self,
        _request: Request<proto::ListKeysRequest>,
    ) -> Result<Response<proto::ListKeysResponse>, Status> {
        let keys = self.whole(|access| async move { access.keys().await }).await?;
        let keys = keys.into_iter().map(encode::key).collect();
        Ok(Response::new(proto::ListKeysResponse { keys }))
    }

    async fn rotate_key(
        &self,
        request: Request<proto::RotateKeyRequest>,
    ) -> Result<Response<proto::RotateKeyResponse>, Status> {
        let actor = actor(&request);
        let (old, overlap, lifetime) = decode::rotate_key(request.get_ref())?;
        let key = self
            .whole(|access| async move { access.rotate_key(&old, overlap, lifetime, &actor).await })
            .await?;
        let (key_id, key) = (key.id().to_string(), key.reveal().to_owned());
        Ok(Response::new(proto::RotateKeyResponse { key_id, key }))
    }

    async fn revoke_key(
        &self,
        request: Request<proto::RevokeKeyRequest>,
    ) -> Result<Response<proto::RevokeKeyResponse>, Status> {
        let actor = actor(&request);
        let key_id = decode::key_id(&request.get_ref().key_id)?;
        self.whole(|access| async move { access.revoke_key(&key_id, &actor).await }).await?;
        Ok(Response::new(proto::RevokeKeyResponse {}))
    }

    async fn add_principal(
        &self,
        request: Request<proto::AddPrincipalRequest>,
    ) -> Result<Response<proto::AddPrincipalResponse>, Status> {
        let actor = actor(&request);
        let (principal, rights) = decode::add_principal(request.get_ref())?;
        self.whole(|access| async move { access.add_principal(&principal, &rights, &actor).await })
            .await?;
        Ok(Response::new(proto::AddPrincipalResponse {}))
    }

    async fn list_principals(
        &self,
        _request: Request<proto::ListPrincipalsRequest>,
    ) -> Result<Response<proto::ListPrincipalsResponse>, Status> {
        let principals = self.whole(|access| async move { access.principals().await }).await?;
        let principals = principals.into_iter().map(encode::principal).collect();
        Ok(Response::new(proto::ListPrincipalsResponse { principals }))
    }

    async fn remove_principal(
        &self,
        request: Request<proto::RemovePrincipalRequest>,
    ) -> Result<Response<proto::RemovePrincipalResponse>, Status> {
        let actor = actor(&request);
        let principal = decode::principal(&request.get_ref().principal)?;
        self.whole(|access| async move { access.remove_principal(&principal, &actor).await })
            .await?;
        Ok(Response::new(proto::RemovePrincipalResponse {}))
    }
}
