//! A client's connection: one request at a time, one write and one read for each.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::error::{BenchError, io_error};
use crate::reply;

/// A server that is silent for so long is not slow but stuck.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(20);
/// More than any reply has.
const BUFFER_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// A reply of status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// Head and body.
    pub(crate) bytes: usize,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, SILENCE_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], filled: 0 })
    }

    /// The stream blocks, yet this does not wait: nothing else is in flight, so there is room in the socket's buffer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(), BenchError> {
        self.stream.write_all(request).map_err(io_error("send a request"))
    }

    /// Reads once; whether the reply is whole then.
    pub(crate) fn receive(&mut self) -> Result<bool, BenchError> {
        Ok(self.receive_reply(|_, _| ())?.is_some())
    }

    /// One request and its reply.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Answer, BenchError> {
        self.send(request)?;
        loop {
            let answer = self.receive_reply(|body, bytes| Answer { body: body.to_vec(), bytes })?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }

    fn receive_reply<T>(&mut self, use_it: impl FnOnce(&[u8], usize) -> T) -> Result<Option<T>, BenchError> {
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = match self.stream.read(room) {
            Ok(0) => return Err(io_error("read a reply")(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(BenchError::Timeout { seconds: SILENCE_MAX.as_secs() });
            }
            Err(error) => return Err(io_error("read a reply")(error)),
        };
        self.filled += read;
        let Some(reply) = reply::parse(self.buffer.get(..self.filled).unwrap_or_default())? else {
            return Ok(None);
        };
        if reply.status != 200 {
            let body = String::from_utf8_lossy(reply.body).into_owned();
            return Err(BenchError::Refused { status: reply.status, body });
        }
        self.filled = 0;
        Ok(Some(use_it(reply.body, reply.bytes)))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers each connection with `reply`, in two parts, and closes it.
    fn server(replies: [&'static str; 3]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 64]).unwrap();
                let (one, other) = reply.split_at(reply.len() / 2);
                stream.write_all(one.as_bytes()).unwrap();
                stream.write_all(other.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn anything_but_a_whole_200_is_an_error() {
        let address = server([
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\nwhy?",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nshort",
        ]);
        let ask = || Connection::open(address).unwrap().ask(b"x");
        let refused = ask().unwrap_err();
        assert!(matches!(&refused, BenchError::Refused { status: 400, body } if body == "why?"), "{refused}");
        assert_eq!(ask().unwrap().body, b"short");
        assert!(matches!(ask(), Err(BenchError::Io { .. })));
    }
}
