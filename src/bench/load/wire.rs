//! A gRPC call at the price of its bytes: HTTP/2 streams by hand. The caller
//! shares the machine with what it measures, so that every layer that a client
//! library adds would be taken from the server's part.

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header::CONTENT_TYPE};
use prost::Message;
use tokio::net::TcpStream;

use super::Failure;
use crate::bench::BenchError;

/// Bytes that the server may send ahead: enough that no call waits for a window.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// RESOURCE_EXHAUSTED, as a status is written.
const SHED: &str = "8";
/// Flag and length, in front of each message.
const PREFIX: usize = 5;

/// One HTTP/2 connection. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Line {
    sender: SendRequest<Bytes>,
    address: String,
}

/// A method's address, made once.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Route(Uri);

impl Line {
    /// Connects to `host:port`. The connection lives on the current runtime.
    pub(in crate::bench) async fn connect(address: &str) -> Result<Self, BenchError> {
        let failed = |why: String| BenchError::Connect { address: address.to_owned(), why };
        let stream =
            TcpStream::connect(address).await.map_err(|error| failed(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await
            .map_err(|error| failed(error.to_string()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the bench ended");
            }
        });
        Ok(Self { sender, address: address.to_owned() })
    }

    /// The address of a method, such as `creditgate.v1.GateService/Reserve`.
    pub(in crate::bench) fn route(&self, method: &str) -> Result<Route, BenchError> {
        let uri = format!("http://{}/{method}", self.address).parse();
        uri.map(Route).map_err(|error: http::uri::InvalidUri| BenchError::Connect {
            address: self.address.clone(),
            why: error.to_string(),
        })
    }

    /// One call.
    pub(in crate::bench) async fn call<A: Message + Default>(
        &mut self,
        route: &Route,
        message: &impl Message,
    ) -> Result<A, Failure> {
        let body = framed(message)?;
        std::future::poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut stream) = self.sender.send_request(request(route), false)?;
        stream.send_data(body, true)?;
        let response = response.await?;
        if !response.status().is_success() {
            return Err(Failure::new(format!("HTTP {}", response.status())));
        }
        // An error without a message has its status in the headers.
        check(response.headers())?;
        let mut body = response.into_body();
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            if first.is_empty() {
                first = data;
            } else {
                rest.extend_from_slice(&data);
            }
        }
        let trailers = body.trailers().await?;
        check(&trailers.ok_or_else(|| Failure::new("no grpc-status"))?)?;
        if !rest.is_empty() {
            first = [first.as_ref(), &rest].concat().into();
        }
        let message = first.get(PREFIX..).ok_or_else(|| Failure::new("an empty answer"))?;
        A::decode(message).map_err(|error| Failure::new(error.to_string()))
    }
}

fn framed(message: &impl Message) -> Result<Bytes, Failure> {
    let length = message.encoded_len();
    let mut body = BytesMut::with_capacity(PREFIX + length);
    body.put_u8(0);
    body.put_u32(u32::try_from(length).map_err(|_| Failure::new("a request is too long"))?);
    message.encode(&mut body).map_err(|error| Failure::new(error.to_string()))?;
    Ok(body.freeze())
}

fn request(route: &Route) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = route.0.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
    request
}

/// The status that headers or trailers carry, where they carry one.
fn check(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get("grpc-status") {
        Some(code) if code == SHED => Err(Failure::Shed),
        Some(code) if code != "0" => {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let message = headers.get("grpc-message").map(text).unwrap_or_default();
            Err(Failure::new(format!("gRPC status {}: {message}", text(code))))
        }
        _ => Ok(()),
    }
}
