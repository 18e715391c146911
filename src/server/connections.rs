//! The connections that gRPC is served on: each has a place, and there are so many.

use std::{io, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::carrying::Carrying;

/// A connection, with its place until it is dropped.
pub(super) type Placed = Carrying<TcpStream, Place>;

/// A connection's place: counted for as long as it is taken.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("creditgate_connections").increment(1.0);
        Self { _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("creditgate_connections").decrement(1.0);
    }
}

/// Takes connections, as many at once as there are places. One that finds none is
/// closed at once: its caller hears so, and may try another replica, where it would
/// only have waited here.
pub(super) fn accept(
    listener: TcpListener,
    places: usize,
) -> impl Stream<Item = io::Result<Placed>> + Send + Unpin + 'static {
    let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
    TcpListenerStream::new(listener).filter_map(move |accepted| {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => return Some(Err(error)),
        };
        let Ok(permit) = Arc::clone(&places).try_acquire_owned() else {
            metrics::counter!("creditgate_connections_refused_total").increment(1);
            tracing::debug!("a connection was closed: there is no place for it");
            return None;
        };
        // Answers leave at once: they are small.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Some(Ok(Placed { stream, carried: Place::new(permit) }))
    })
}

impl Connected for Placed {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}
