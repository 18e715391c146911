//! Who asks: what the ledger writes down beside every movement.

use tonic::Request;

/// The name of the credential that a request came with, left in the request's
/// extensions by whoever has checked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(pub String);

/// The actor of a request's commands.
#[must_use]
pub fn actor<T>(request: &Request<T>) -> String {
    let principal = request.extensions().get::<Principal>();
    principal.map_or_else(|| "anonymous".to_owned(), |Principal(name)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_is_the_principal_where_there_is_one() {
        let mut request = Request::new(());
        assert_eq!(actor(&request), "anonymous");
        request.extensions_mut().insert(Principal("scheduler".to_owned()));
        assert_eq!(actor(&request), "scheduler");
    }
}
