//! A TCP stream from which only so much is read until its handshake is done.
//!
//! rustls keeps what it has of a message until all of it has come, up to 64 KiB, and in no budget. An honest hello has one
//! or two KiB, a client's certificate with all between it and its CA a few more.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use strongroom_types::limits::TLS_HANDSHAKE_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Capped {
    /// What may still come; `None` once the handshake is done.
    left: Option<usize>,
    stream: TcpStream,
}

impl Capped {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { left: Some(TLS_HANDSHAKE_BYTES_MAX), stream }
    }

    /// The handshake is done: from here on what comes in is bounded by what it is.
    pub(super) fn lift(&mut self) {
        self.left = None;
    }

    /// Whether the client has closed the connection, as far as is known now.
    pub(super) async fn is_gone(&self) -> bool {
        poll_fn(|context| {
            let mut byte = [0];
            let peeked = self.stream.poll_peek(context, &mut ReadBuf::new(&mut byte));
            Poll::Ready(matches!(peeked, Poll::Ready(Ok(0) | Err(_))))
        })
        .await
    }
}

impl AsyncRead for Capped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(left) = self.left {
            let received = buffer.filled().len().saturating_sub(before);
            match left.checked_sub(received) {
                Some(rest) => self.left = Some(rest),
                None => return Poll::Ready(Err(io::Error::other("the handshake is too large"))),
            }
        }
        polled
    }
}

impl AsyncWrite for Capped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
