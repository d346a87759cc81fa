//! HTTP/2 connections for peers of tests.

use std::convert::Infallible;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;

/// Serves the connections of `listener` without end.
pub(in crate::remote::tests) async fn listen<S>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service.clone());
        connections.spawn(async move {
            // A client that goes is part of the tests.
            let _ = connection.await;
        });
    }
}
