//! Who asks: what the ledger writes down beside every movement, and what is seen.

use tonic::Request;

use crate::{auth::Caller, ids::SeenAccounts};

/// The actor of a request's commands: the name of the key that it came with, left
/// in the request's extensions by whoever has checked it.
#[must_use]
pub fn actor<T>(request: &Request<T>) -> String {
    let caller = request.extensions().get::<Caller>();
    caller.map_or_else(|| "anonymous".to_owned(), |caller| caller.actor.clone())
}

/// The accounts that a request's caller sees; `None` for all.
#[must_use]
pub fn seen<T>(request: &Request<T>) -> SeenAccounts {
    request.extensions().get::<Caller>().and_then(|caller| caller.accounts.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_is_the_caller_where_there_is_one() {
        let mut request = Request::new(());
        assert_eq!((actor(&request).as_str(), seen(&request)), ("anonymous", None));
        let caller = Caller { actor: "key:1".to_owned(), accounts: Some(Default::default()) };
        request.extensions_mut().insert(caller.clone());
        assert_eq!((actor(&request), seen(&request)), (caller.actor, caller.accounts));
    }
}
