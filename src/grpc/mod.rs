//! The gRPC services: decode, one call, encode.
//!
//! A handler holds no rule: `decode` turns a request into domain types
//! and tells all that is wrong with it at once, the ledger or a use case
//! decides, `encode` words the answer. `status` alone builds a
//! [`tonic::Status`], so that every error has the same shape.

mod access;
mod accounts;
mod actor;
mod billing;
mod catalog;
mod decode;
mod delivery;
mod direct;
mod encode;
mod events;
mod gate;
mod guard;
mod lasting;
mod ledger;
mod observe;
mod page;
mod shed;
mod status;
#[cfg(test)]
mod tests;

pub use access::AccessApi;
pub use accounts::AccountApi;
pub use actor::{actor, seen};
pub use billing::BillingApi;
pub use catalog::CatalogApi;
pub use delivery::DeliveryApi;
pub use direct::{Direct, DirectLayer};
pub use events::EventApi;
pub use gate::GateApi;
pub use guard::{Guard, GuardLayer};
pub use ledger::LedgerApi;
pub use observe::{Observe, ObserveLayer};
pub use shed::{Shed, ShedLayer};

use tonic::{server::NamedService, service::Routes};

use crate::{
    auth::Access,
    billing::Billing,
    delivery::{Endpoints, mail::Mails},
    events::Events,
    ledger::Ledger,
    parking::Parking,
    proto::{
        access_service_server::AccessServiceServer, account_service_server::AccountServiceServer,
        billing_service_server::BillingServiceServer, catalog_service_server::CatalogServiceServer,
        delivery_service_server::DeliveryServiceServer, event_service_server::EventServiceServer,
        gate_service_server::GateServiceServer, ledger_service_server::LedgerServiceServer,
    },
};

/// The largest request that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;
/// The largest response that is sent, in bytes: what clients of most languages
/// read unless told otherwise.
pub const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// The full names of the services, as health reports them.
pub const SERVICE_NAMES: [&str; 8] = [
    <GateServiceServer<GateApi> as NamedService>::NAME,
    <LedgerServiceServer<LedgerApi> as NamedService>::NAME,
    <AccountServiceServer<AccountApi> as NamedService>::NAME,
    <BillingServiceServer<BillingApi> as NamedService>::NAME,
    <CatalogServiceServer<CatalogApi> as NamedService>::NAME,
    <AccessServiceServer<AccessApi> as NamedService>::NAME,
    <EventServiceServer<EventApi> as NamedService>::NAME,
    <DeliveryServiceServer<DeliveryApi> as NamedService>::NAME,
];

/// What the services stand on.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The only door to credits.
    pub ledger: Ledger,
    /// Accounts, subscriptions, purchases, the catalog.
    pub billing: Billing,
    /// Who may call.
    pub access: Access,
    /// What happened.
    pub events: Events,
    /// Who is told of it.
    pub endpoints: Endpoints,
    /// What people are mailed.
    pub mails: Mails,
}

/// All services: the gate, to which calls go directly, and the others.
#[must_use]
pub fn services(parts: Parts) -> (DirectLayer<GateServiceServer<GateApi>>, Routes) {
    let Parts { ledger, billing, access, events, endpoints, mails } = parts;
    let parking = Parking::new(ledger.clone(), events.clone());
    let gate = GateApi::new(ledger.clone(), parking).into_server();
    let others = Routes::new(LedgerApi::new(ledger.clone()).into_server())
        .add_service(EventApi::new(ledger.clone(), events).into_server())
        .add_service(DeliveryApi::new(endpoints, mails).into_server())
        .add_service(BillingApi::new(ledger, billing.clone()).into_server())
        .add_service(AccountApi::new(billing.clone()).into_server())
        .add_service(CatalogApi::new(billing).into_server())
        .add_service(AccessApi::new(access).into_server());
    (DirectLayer::new(gate), others)
}
