//! Answers to CONNECT, on a connection that HTTP has no other say in.

use std::io;

use http::StatusCode;
use tokio::io::AsyncWriteExt;

use super::plain::Plain;

/// The way is open: what follows is the tunnel's (RFC 9110, 9.3.6).
pub(super) async fn established(stream: &mut Plain) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await
}

/// There is no way, for which `text` has the reason. `id` names the record of it.
pub(super) async fn refused(
    stream: &mut Plain,
    status: StatusCode,
    text: &'static str,
    id: Option<&str>,
) {
    let reason = status.canonical_reason().unwrap_or_default();
    let allow = match status {
        StatusCode::METHOD_NOT_ALLOWED => "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
        _ => "",
    };
    let id = id.map(|id| format!("x-request-id: {id}\r\n")).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n{allow}{id}connection: close\r\n\r\n\
         {text}",
        status.as_u16(),
        text.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    if let Err(error) = told.await {
        tracing::debug!(%error, "who asked for a tunnel was gone before the answer");
    }
}
