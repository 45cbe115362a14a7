//! Listening sockets: one per thread on the same address, and one for health and metrics.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;

/// Connections that the kernel holds until they are accepted; the kernel caps this at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}` (`{field}`); is it an address of this machine, and free?")]
pub struct ListenError {
    address: SocketAddr,
    field: &'static str,
    source: io::Error,
}

/// Sockets that listen already: from now on clients can connect, and wait until `serve` accepts them.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) admin: TcpListener,
    admin_address: SocketAddr,
    address: SocketAddr,
    /// One for each thread. The kernel spreads connections over them (SO_REUSEPORT, socket(7)).
    pub(crate) main: Vec<TcpListener>,
}

impl Listeners {
    pub fn bind(config: &Config) -> Result<Self, ListenError> {
        let (address, admin_address) = (config.listen, config.admin_listen);
        let (main, address) = bind_group(address, config.thread_count()).map_err(|source| ListenError {
            address,
            field: "listen",
            source,
        })?;
        let admin = bind_one(admin_address, false)
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map_err(|source| ListenError { address: admin_address, field: "admin_listen", source });
        let (admin_address, admin) = admin?;
        Ok(Self { admin, admin_address, address, main })
    }

    /// Where requests are served. The port is the one in use, also if the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }
}

fn bind_group(address: SocketAddr, count: usize) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    // SO_REUSEPORT would let a second server of the same user join this address in silence and take every other
    // connection. A socket without it cannot be bound where another one listens.
    let address = bind_one(address, false)?.local_addr()?;
    let listeners = (0..count).map(|_| bind_one(address, true)).collect::<Result<_, _>>()?;
    Ok((listeners, address))
}

fn bind_one(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process that still wait for their end (TIME_WAIT) must not keep a new one from starting.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn config(listen: SocketAddr, admin_listen: SocketAddr) -> Config {
        Config { listen, admin_listen, threads: "3".parse().unwrap(), ..Config::default() }
    }

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn an_address_in_use_is_refused_and_named() {
        let first = Listeners::bind(&config(any_port(), any_port())).unwrap();
        let refused = Listeners::bind(&config(first.address(), any_port())).unwrap_err();
        assert!(refused.to_string().contains(&format!("`{}` (`listen`)", first.address())), "{refused}");
        assert!(refused.source().is_some());
        let refused = Listeners::bind(&config(any_port(), first.admin_address())).unwrap_err();
        assert!(refused.to_string().contains("`admin_listen`"), "{refused}");
    }

    #[test]
    fn every_thread_has_a_listener_on_the_same_address() {
        let listeners = Listeners::bind(&config(any_port(), any_port())).unwrap();
        assert_eq!(listeners.main.len(), 3);
        assert!(listeners.main.iter().all(|listener| listener.local_addr().unwrap() == listeners.address()));
        assert_ne!(listeners.address().port(), 0);
    }
}
