//! Threads, and connections on them.
//!
//! Each thread has its own single-threaded runtime and its own listener, and a connection stays on the thread that
//! accepted it: nothing is handed over, and no work is stolen. The price is that a slow call delays its thread's other
//! connections, so whatever takes 100 microseconds or more must leave the thread (`spawn_blocking`). All futures are
//! `Send` nevertheless, so that a runtime with many threads remains a switch.

use std::future::Future;
use std::io;
use std::net::{IpAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use strongroom_audit::Appenders;
use strongroom_types::Env;
use strongroom_types::limits::{ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, REQUEST_HEAD_BYTES_MAX};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::admin::{Admin, Health};
use crate::body::Budget;
use crate::config::Config;
use crate::connection::{Timeouts, Watch, Watched, drive, http1};
use crate::handle::{Host, Service};
use crate::listen::Listeners;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// How long to wait after accepting has failed. It fails when descriptors or memory run out, which the next attempt at
/// once would not change.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Prometheus scrapes every 10 to 60 seconds; whoever is slower than this is not a scraper.
const ADMIN_TIMEOUTS: Timeouts =
    Timeouts { body: Duration::from_secs(5), header: Duration::from_secs(5), idle: Duration::from_secs(75) };
/// Answers about health take no time; there is little to wait for.
const ADMIN_GRACE: Duration = Duration::from_millis(500);

/// What the server is made of.
pub struct Parts<S> {
    /// Told when the threads that serve requests have work.
    pub appenders: Option<Appenders>,
    pub env: Arc<dyn Env>,
    pub health: Arc<dyn Health>,
    pub metrics: Arc<Metrics>,
    pub service: Arc<S>,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot start the threads that serve requests")]
    Start(#[from] io::Error),
    #[error("thread `{name}` has panicked")]
    ThreadPanicked { name: String },
}

/// Serves until `shutdown` is triggered and requests in flight have ended or their grace is over.
///
/// The calling thread waits. If a serving thread dies, the others are shut down too, and this is an error: a server
/// with some of its threads is a server that loses some of its connections.
pub fn serve<S: Service>(
    listeners: Listeners,
    config: &Config,
    parts: Parts<S>,
    shutdown: &Shutdown,
) -> Result<(), ServeError> {
    serve_with(listeners, parts, &Settings::main(config, shutdown.clone()), &Arc::default())
}

fn serve_with<S: Service>(
    listeners: Listeners,
    parts: Parts<S>,
    settings: &Settings,
    budget: &Arc<Budget>,
) -> Result<(), ServeError> {
    // Dropped on every way out, also if a thread cannot be started: the ones that were are then shut down.
    let stop_threads = StopOnDrop(settings.stop.clone());
    let stop_admin = StopOnDrop(Shutdown::new());
    let admin_settings = Settings::admin(stop_admin.0.clone());
    let admin = Arc::new(Admin {
        health: parts.health,
        metrics: Arc::clone(&parts.metrics),
        shutdown: settings.stop.clone(),
    });
    let admin_thread = spawn("strongroom-admin".to_owned(), listeners.admin, admin_settings, admin, None)?;

    register_gauges(&parts.metrics, &settings.gate, budget);
    let mut threads = Vec::with_capacity(listeners.main.len());
    for (number, listener) in listeners.main.into_iter().enumerate() {
        let host = Arc::new(Host {
            budget: Arc::clone(budget),
            env: Arc::clone(&parts.env),
            recorder: parts.metrics.recorder(),
            service: Arc::clone(&parts.service),
        });
        let name = format!("strongroom-http-{number}");
        threads.push(spawn(name, listener, settings.clone(), host, parts.appenders.clone())?);
    }

    let ends: Vec<_> = threads.into_iter().map(join).collect();
    drop(stop_threads);
    drop(stop_admin);
    ends.into_iter().chain([join(admin_thread)]).collect()
}

/// Triggers the shutdown when it goes out of scope, by return or by panic.
struct StopOnDrop(Shutdown);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

/// How connections of one listener are treated.
#[derive(Clone)]
struct Settings {
    builder: Builder,
    gate: Arc<Gate>,
    grace: Duration,
    stop: Shutdown,
    timeouts: Timeouts,
}

impl Settings {
    fn main(config: &Config, stop: Shutdown) -> Self {
        Self {
            builder: http1(REQUEST_HEAD_BYTES_MAX),
            gate: Arc::new(Gate::new(config.connections_max.as_usize())),
            grace: config.shutdown_grace(),
            stop,
            timeouts: Timeouts {
                body: config.body_timeout(),
                header: config.header_timeout(),
                idle: config.idle_timeout(),
            },
        }
    }

    fn admin(stop: Shutdown) -> Self {
        Self {
            builder: http1(ADMIN_HEAD_BYTES_MAX),
            gate: Arc::new(Gate::new(ADMIN_CONNECTIONS_MAX)),
            grace: ADMIN_GRACE,
            stop,
            timeouts: ADMIN_TIMEOUTS,
        }
    }
}

/// Counts connections and lets no more than `max` in.
#[derive(Debug)]
struct Gate {
    max: usize,
    open: AtomicUsize,
    refused: AtomicUsize,
}

/// A place inside the gate, given back when dropped.
struct Place(Arc<Gate>);

impl Gate {
    fn new(max: usize) -> Self {
        Self { max, open: AtomicUsize::new(0), refused: AtomicUsize::new(0) }
    }

    fn enter(self: &Arc<Self>) -> Option<Place> {
        let more = |open: usize| (open < self.max).then_some(open + 1);
        if self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() {
            return Some(Place(Arc::clone(self)));
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one listener's connections are served with.
trait Serve: Send + Sync + 'static {
    fn serve(
        self: Arc<Self>,
        settings: &Settings,
        stream: TcpStream,
        source: IpAddr,
        stop: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static;
}

impl<S: Service> Serve for Host<S> {
    fn serve(
        self: Arc<Self>,
        settings: &Settings,
        stream: TcpStream,
        source: IpAddr,
        stop: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static {
        let builder = settings.builder.clone();
        let watch = Arc::new(Watch::new(settings.timeouts));
        async move {
            let stream = Watched::new(stream, Arc::clone(&watch));
            let service = service_fn(|request| {
                let (host, watch) = (Arc::clone(&self), Arc::clone(&watch));
                async move { host.handle(&watch, source, request).await }
            });
            drive(&builder, stream, service, &stop).await;
        }
    }
}

impl Serve for Admin {
    fn serve(
        self: Arc<Self>,
        settings: &Settings,
        stream: TcpStream,
        _source: IpAddr,
        stop: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static {
        let builder = settings.builder.clone();
        let watch = Arc::new(Watch::new(settings.timeouts));
        async move {
            let stream = Watched::new(stream, Arc::clone(&watch));
            let service = service_fn(|request| {
                let reply = self.handle(&request);
                watch.end_request();
                async move { reply }
            });
            drive(&builder, stream, service, &stop).await;
        }
    }
}

fn spawn<T: Serve>(
    name: String,
    listener: StdTcpListener,
    settings: Settings,
    served: Arc<T>,
    appenders: Option<Appenders>,
) -> io::Result<JoinHandle<()>> {
    let mut builder = runtime::Builder::new_current_thread();
    if let Some(appenders) = appenders.clone() {
        let (idle, busy) = (appenders.clone(), appenders);
        builder.on_thread_park(move || idle.idle()).on_thread_unpark(move || busy.busy());
    }
    let runtime = builder.enable_io().enable_time().build()?;
    let listener = {
        let _context = runtime.enter();
        TcpListener::from_std(listener)?
    };
    thread::Builder::new().name(name).spawn(move || {
        // Parking and waking alternate from here on.
        let _at_work = appenders.map(AtWork::begin);
        run(runtime, listener, &settings, &served);
    })
}

/// A thread that has work when it begins and none when it ends.
struct AtWork(Appenders);

impl AtWork {
    fn begin(appenders: Appenders) -> Self {
        appenders.busy();
        Self(appenders)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.idle();
    }
}

fn run<T: Serve>(runtime: Runtime, listener: TcpListener, settings: &Settings, served: &Arc<T>) {
    let _stop_others = StopOnDrop(settings.stop.clone());
    runtime.block_on(accept(listener, settings, served));
    // Ends what is left: dropping a request's future is what tells the service that it was abandoned. Work on blocking
    // threads cannot be ended from outside, and is not waited for.
    runtime.shutdown_background();
}

fn join(thread: JoinHandle<()>) -> Result<(), ServeError> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    thread.join().map_err(|_| ServeError::ThreadPanicked { name })
}

/// Accepts until told to stop; then waits for the connections of this thread, as long as their grace lasts.
async fn accept<T: Serve>(listener: TcpListener, settings: &Settings, served: &Arc<T>) {
    // Connections wait on a signal of this thread: waiting on one shared by all threads would take its lock each time
    // that a connection wakes up.
    let stop_connections = Shutdown::new();
    // Each connection holds a sender, so the receiver is done when the last connection is.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let stopped = settings.stop.triggered();
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for a moment");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Beyond the limit the connection is closed by dropping it: an answer would cost what the limit is to save.
        let Some(place) = settings.gate.enter() else { continue };
        if let Err(error) = stream.set_nodelay(true) {
            // The client has already gone.
            tracing::debug!(%error, "connection ended");
            continue;
        }
        let source = peer.ip().to_canonical();
        let connection = Arc::clone(served).serve(settings, stream, source, stop_connections.clone());
        let held = (place, open.clone());
        tokio::spawn(async move {
            connection.await;
            drop(held);
        });
    }
    drop(listener);
    drop(open);
    stop_connections.trigger();
    if timeout(settings.grace, all_closed.recv()).await.is_err() {
        let open = settings.gate.open.load(Ordering::Relaxed);
        tracing::warn!(
            open,
            "requests were still running at the end of `shutdown_grace_secs`; they are abandoned"
        );
    }
}

fn register_gauges(metrics: &Metrics, gate: &Arc<Gate>, budget: &Arc<Budget>) {
    /// Exact below 2^53, which memory does not reach.
    fn float(number: usize) -> f64 {
        number as f64
    }
    let (open, refused, budget) = (Arc::clone(gate), Arc::clone(gate), Arc::clone(budget));
    metrics.register_gauge_fn(
        "strongroom_connections_open",
        "Connections open on the main listener.",
        Box::new(move || float(open.open.load(Ordering::Relaxed))),
    );
    metrics.register_counter_fn(
        "strongroom_connections_refused",
        "Connections closed at once because `connections_max` were open.",
        Box::new(move || u64::try_from(refused.refused.load(Ordering::Relaxed)).unwrap_or(u64::MAX)),
    );
    metrics.register_gauge_fn(
        "strongroom_bodies_bytes",
        "Memory of request bodies being read or answered.",
        Box::new(move || float(budget.in_use_bytes())),
    );
}

#[cfg(test)]
mod tests;
