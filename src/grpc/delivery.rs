//! Endpoints of webhooks, and what was sent.

use tonic::{Request, Response, Status};

use super::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, actor, decode, encode, page::rows_for, seen};
use crate::{
    delivery::{Endpoints, StoredDelivery, StoredMail, mail::Mails},
    proto::{
        self,
        delivery_service_server::{DeliveryService, DeliveryServiceServer},
    },
};

/// `DeliveryService`.
#[derive(Debug, Clone)]
pub struct DeliveryApi {
    endpoints: Endpoints,
    mails: Mails,
}

impl DeliveryApi {
    /// Keeps these endpoints, and shows these mails.
    #[must_use]
    pub fn new(endpoints: Endpoints, mails: Mails) -> Self {
        Self { endpoints, mails }
    }

    /// The service to be routed to.
    #[must_use]
    pub fn into_server(self) -> DeliveryServiceServer<Self> {
        DeliveryServiceServer::new(self)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// The endpoints that a request's caller sees.
    fn endpoints<T>(&self, request: &Request<T>) -> Endpoints {
        self.endpoints.seen_by(seen(request))
    }

    /// The mails that a request's caller sees.
    fn mails<T>(&self, request: &Request<T>) -> Mails {
        self.mails.seen_by(seen(request))
    }
}

#[tonic::async_trait]
impl DeliveryService for DeliveryApi {
    async fn create_endpoint(
        &self,
        request: Request<proto::CreateEndpointRequest>,
    ) -> Result<Response<proto::CreateEndpointResponse>, Status> {
        let endpoints = self.endpoints(&request);
        let actor = actor(&request);
        let request = request.into_inner();
        let new = decode::create_endpoint(&request)?;
        let added = endpoints.add(new.account_id, &request.url, &new.kinds, &actor).await?;
        let (endpoint_id, secret) = (added.endpoint_id, added.secret);
        Ok(Response::new(proto::CreateEndpointResponse { endpoint_id, secret }))
    }

    async fn list_endpoints(
        &self,
        request: Request<proto::ListEndpointsRequest>,
    ) -> Result<Response<proto::ListEndpointsResponse>, Status> {
        let endpoints = self.endpoints(&request);
        let endpoints = endpoints.list().await?;
        let endpoints = endpoints.into_iter().map(encode::endpoint).collect();
        Ok(Response::new(proto::ListEndpointsResponse { endpoints }))
    }

    async fn enable_endpoint(
        &self,
        request: Request<proto::EnableEndpointRequest>,
    ) -> Result<Response<proto::EnableEndpointResponse>, Status> {
        let endpoints = self.endpoints(&request);
        let endpoint_id = decode::endpoint_id(&request.get_ref().endpoint_id)?;
        endpoints.enable(&endpoint_id).await?;
        Ok(Response::new(proto::EnableEndpointResponse {}))
    }

    async fn disable_endpoint(
        &self,
        request: Request<proto::DisableEndpointRequest>,
    ) -> Result<Response<proto::DisableEndpointResponse>, Status> {
        let endpoints = self.endpoints(&request);
        let (endpoint_id, reason) = decode::disable_endpoint(request.get_ref())?;
        endpoints.disable(&endpoint_id, reason).await?;
        Ok(Response::new(proto::DisableEndpointResponse {}))
    }

    async fn delete_endpoint(
        &self,
        request: Request<proto::DeleteEndpointRequest>,
    ) -> Result<Response<proto::DeleteEndpointResponse>, Status> {
        let endpoints = self.endpoints(&request);
        let actor = actor(&request);
        let endpoint_id = decode::endpoint_id(&request.get_ref().endpoint_id)?;
        endpoints.remove(&endpoint_id, &actor).await?;
        Ok(Response::new(proto::DeleteEndpointResponse {}))
    }

    async fn rotate_endpoint_secret(
        &self,
        request: Request<proto::RotateEndpointSecretRequest>,
    ) -> Result<Response<proto::RotateEndpointSecretResponse>, Status> {
        let endpoints = self.endpoints(&request);
        let endpoint_id = decode::endpoint_id(&request.get_ref().endpoint_id)?;
        let secret = endpoints.rotate(&endpoint_id).await?;
        Ok(Response::new(proto::RotateEndpointSecretResponse { secret }))
    }

    async fn list_deliveries(
        &self,
        request: Request<proto::ListDeliveriesRequest>,
    ) -> Result<Response<proto::ListDeliveriesResponse>, Status> {
        let endpoints = self.endpoints(&request);
        let asked = decode::deliveries(request.get_ref())?;
        let rows = endpoints
            .deliveries(&asked.endpoint_id, asked.state, asked.before, asked.limit)
            .await?;
        let key = |delivery: &StoredDelivery| delivery.delivery;
        let (deliveries, next_page_token) =
            asked.list.page(rows, asked.size, key, encode::delivery);
        Ok(Response::new(proto::ListDeliveriesResponse { deliveries, next_page_token }))
    }

    async fn replay_deliveries(
        &self,
        request: Request<proto::ReplayDeliveriesRequest>,
    ) -> Result<Response<proto::ReplayDeliveriesResponse>, Status> {
        let endpoints = self.endpoints(&request);
        let (endpoint_id, events) = decode::replay(request.get_ref())?;
        let count = endpoints.replay(&endpoint_id, events).await?;
        let deliveries = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(Response::new(proto::ReplayDeliveriesResponse { deliveries }))
    }

    async fn set_mail_kinds(
        &self,
        request: Request<proto::SetMailKindsRequest>,
    ) -> Result<Response<proto::SetMailKindsResponse>, Status> {
        let mails = self.mails(&request);
        let actor = actor(&request);
        let (account_id, kinds) = decode::mail_kinds(request.get_ref())?;
        let kinds = mails.choose(&account_id, kinds, &actor).await?;
        let kinds = kinds.into_iter().map(|kind| i32::from(kind as i16)).collect();
        Ok(Response::new(proto::SetMailKindsResponse { kinds }))
    }

    async fn list_mails(
        &self,
        request: Request<proto::ListMailsRequest>,
    ) -> Result<Response<proto::ListMailsResponse>, Status> {
        let mails = self.mails(&request);
        let asked = decode::mails(request.get_ref())?;
        let rows = mails.list(&asked.query.0, asked.query.1, rows_for(asked.size)).await?;
        let key = |mail: &StoredMail| (mail.create_time, mail.event_id);
        let (mails, next_page_token) = asked.list.page(rows, asked.size, key, encode::mail);
        Ok(Response::new(proto::ListMailsResponse { mails, next_page_token }))
    }
}
