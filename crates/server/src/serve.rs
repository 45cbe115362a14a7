//! Threads, and connections on them.
//!
//! Each thread has its own single-threaded runtime and its own listener. A connection stays on the thread that accepted
//! it, or on the one that it was given to at once because that had fewer (`share.rs`): no work is stolen. The price is
//! that a slow call delays its thread's other connections, so whatever takes 100 microseconds or more must leave the
//! thread (`spawn_blocking`). All futures are `Send` nevertheless, so that a runtime with many threads remains a switch.

use std::future::Future;
use std::io;
use std::net::{IpAddr, TcpListener as StdTcpListener};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use strongroom_audit::Appenders;
use strongroom_types::Env;
use strongroom_types::limits::{
    ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, HEAVY_THREADS_NICE, HEAVY_THREADS_PER_LOOP,
    LARGE_REQUESTS_MAX, REQUEST_HEAD_BYTES_MAX,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::activity::{Activity, AtWork};
use crate::admin::{Admin, Health};
use crate::body::Budget;
use crate::config::Config;
use crate::connection::{Timeouts, Watch, Watched, drive, http1};
use crate::crowd::Crowd;
use crate::gate::{Gate, Place, Sources};
use crate::handle::{Host, Peer, RequestWatch, Service};
use crate::listen::Listeners;
use crate::metrics::Metrics;
use crate::secure::Secure;
use crate::share::{Arrived, Places, Seat, Share};
use crate::shutdown::Shutdown;
use crate::tls::Tls;

/// How long to wait after accepting has failed. It fails when descriptors or memory run out, which the next attempt at
/// once would not change.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a log line says so.
const TROUBLES_INTERVAL: Duration = Duration::from_secs(10);
/// Prometheus scrapes every 10 to 60 seconds; whoever is slower than this is not a scraper.
const ADMIN_TIMEOUTS: Timeouts =
    Timeouts { body: Duration::from_secs(5), header: Duration::from_secs(5), idle: Duration::from_secs(75) };
/// Answers about health take no time; there is little to wait for.
const ADMIN_GRACE: Duration = Duration::from_millis(500);
/// How long the end waits for what computes beside the event loops, so that it is recorded. Making an RSA key of 4096 bits takes a
/// second of processor time, and these threads rank behind all others of the machine.
const HEAVY_GRACE: Duration = Duration::from_secs(20);

/// What the server is made of.
pub struct Parts<S> {
    /// Told when the threads that serve requests have work, once there is a journal.
    pub appenders: Arc<OnceLock<Appenders>>,
    pub env: Arc<dyn Env>,
    pub health: Arc<dyn Health>,
    pub metrics: Arc<Metrics>,
    pub service: Arc<S>,
    /// What the main listener speaks; without it, HTTP in the clear.
    pub tls: Option<Arc<Tls>>,
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
    let alone = Share::alone();
    let admin_thread =
        spawn("strongroom-admin".to_owned(), listeners.admin, admin_settings, admin, alone, Arc::default())?;

    register_gauges(&parts.metrics, settings, budget);
    let mut threads = Vec::with_capacity(listeners.main.len());
    let shares = Share::among(listeners.main.len());
    for (number, (listener, share)) in listeners.main.into_iter().zip(shares).enumerate() {
        let host = Arc::new(Host {
            budget: Arc::clone(budget),
            env: Arc::clone(&parts.env),
            recorder: parts.metrics.recorder(),
            requests: Arc::clone(&settings.requests),
            service: Arc::clone(&parts.service),
        });
        let (name, settings) = (format!("strongroom-http-{number}"), settings.clone());
        let appenders = Arc::clone(&parts.appenders);
        threads.push(match &parts.tls {
            None => spawn(name, listener, settings, host, share, appenders)?,
            Some(tls) => {
                let secure = Arc::new(Secure::new(host, Arc::clone(tls)));
                spawn(name, listener, settings, secure, share, appenders)?
            }
        });
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
pub(crate) struct Settings {
    pub(crate) builder: Builder,
    gate: Arc<Gate>,
    grace: Duration,
    large_requests: Arc<Gate>,
    requests: Arc<Gate>,
    /// `None` if one source may have all connections.
    sources: Option<Arc<Sources>>,
    stop: Shutdown,
    timeouts: Timeouts,
}

impl Settings {
    fn main(config: &Config, stop: Shutdown) -> Self {
        let per_source = config.connections_per_source_max.as_usize();
        Self {
            builder: http1(REQUEST_HEAD_BYTES_MAX),
            gate: Arc::new(Gate::new(config.connections_max.as_usize())),
            grace: config.shutdown_grace(),
            large_requests: Arc::new(Gate::new(LARGE_REQUESTS_MAX)),
            requests: Arc::new(Gate::new(config.requests_max.as_usize())),
            sources: (per_source > 0).then(|| Arc::new(Sources::new(per_source))),
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
            large_requests: Arc::new(Gate::new(ADMIN_CONNECTIONS_MAX)),
            requests: Arc::new(Gate::new(ADMIN_CONNECTIONS_MAX)),
            sources: None,
            stop,
            timeouts: ADMIN_TIMEOUTS,
        }
    }

    fn watch(&self) -> Arc<Watch> {
        Arc::new(Watch::new(self.timeouts, Arc::clone(&self.large_requests)))
    }
}

/// What one listener's connections are served with.
pub(crate) trait Serve: Send + Sync + 'static {
    fn serve(
        self: Arc<Self>,
        settings: &Settings,
        stream: TcpStream,
        source: IpAddr,
        watch: Arc<Watch>,
        stop: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static;
}

impl<S: Service> Serve for Host<S> {
    fn serve(
        self: Arc<Self>,
        settings: &Settings,
        stream: TcpStream,
        source: IpAddr,
        watch: Arc<Watch>,
        stop: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static {
        let builder = settings.builder.clone();
        async move {
            let peer = Peer { source, tls: None };
            serve_http1(&self, &builder, watch, stream, peer, &stop).await;
        }
    }
}

/// Serves one connection that speaks HTTP/1.1, in the clear or inside TLS.
pub(crate) async fn serve_http1<S: Service, T: AsyncRead + AsyncWrite + Unpin>(
    host: &Arc<Host<S>>,
    builder: &Builder,
    watch: Arc<Watch>,
    stream: T,
    peer: Peer,
    stop: &Shutdown,
) {
    let stream = Watched::new(stream, Arc::clone(&watch));
    let service = service_fn(|request| {
        let (host, watch) = (Arc::clone(host), Arc::clone(&watch));
        async move { host.handle(&*watch, peer, request).await }
    });
    drive(builder, stream, service, stop).await;
}

impl Serve for Admin {
    fn serve(
        self: Arc<Self>,
        settings: &Settings,
        stream: TcpStream,
        _source: IpAddr,
        watch: Arc<Watch>,
        stop: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static {
        let builder = settings.builder.clone();
        async move {
            let stream = Watched::new(stream, Arc::clone(&watch));
            let service = service_fn(|request| {
                let reply = self.handle(&request);
                (&*watch).end_request();
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
    share: Share,
    appenders: Arc<OnceLock<Appenders>>,
) -> io::Result<JoinHandle<()>> {
    let activity = Arc::new(Activity::new(appenders));
    let (idle, busy) = (Arc::clone(&activity), Arc::clone(&activity));
    let mut builder = runtime::Builder::new_current_thread();
    builder.on_thread_park(move || idle.idle()).on_thread_unpark(move || busy.busy());
    builder.max_blocking_threads(HEAVY_THREADS_PER_LOOP).on_thread_start(give_way);
    let runtime = builder.enable_io().enable_time().build()?;
    let listener = {
        let _context = runtime.enter();
        TcpListener::from_std(listener)?
    };
    thread::Builder::new().name(name).spawn(move || {
        // Parking and waking alternate from here on.
        let _at_work = AtWork::begin(activity);
        run(runtime, listener, &settings, &served, share);
    })
}

/// For the threads beside the loops, which compute for milliseconds: whoever only has to be answered comes first, as long as
/// the loops leave anything at all. Where it is not possible, the latency of all others shows it.
fn give_way() {
    let _ = rustix::process::setpriority_process(None, HEAVY_THREADS_NICE);
}

fn run<T: Serve>(
    runtime: Runtime,
    listener: TcpListener,
    settings: &Settings,
    served: &Arc<T>,
    share: Share,
) {
    let _stop_others = StopOnDrop(settings.stop.clone());
    runtime.block_on(accept(listener, settings, served, share));
    // Work on blocking threads cannot be ended from outside; it is waited for, so that it is recorded, but not for ever.
    runtime.shutdown_timeout(HEAVY_GRACE);
}

fn join(thread: JoinHandle<()>) -> Result<(), ServeError> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    thread.join().map_err(|_| ServeError::ThreadPanicked { name })
}

/// Accepts until told to stop; then waits for the connections of this thread, as long as their grace lasts.
async fn accept<T: Serve>(listener: TcpListener, settings: &Settings, served: &Arc<T>, mut share: Share) {
    // Connections wait on a signal of this thread: waiting on one shared by all threads would take its lock each time
    // that a connection wakes up.
    let stop_connections = Shutdown::new();
    // Each connection holds a sender, so the receiver is done when the last connection is.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let stopped = settings.stop.triggered();
    let mut stopped = std::pin::pin!(stopped);
    let mut troubles = Troubles::default();
    let crowd = Crowd::new();
    let keep = |stream: TcpStream, source: IpAddr, places: Places, seat: Seat| {
        let watch = settings.watch();
        let stop = stop_connections.clone();
        let connection = Arc::clone(served).serve(settings, stream, source, Arc::clone(&watch), stop);
        crowd.spawn(watch, connection, (places, seat, open.clone()));
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(Arrived { stream, source, places }) = share.handed.recv() => {
                let seat = share.seat_of_handed();
                match TcpStream::from_std(stream) {
                    Ok(stream) => keep(stream, source, places, seat),
                    Err(error) => troubles.tell(&error),
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(connection) => connection,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                troubles.tell(&error);
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let source = peer.ip().to_canonical();
        // Beyond the limits a connection is closed by dropping it: an answer would cost what they are to save.
        let source_place = match settings.sources.as_ref().map(|sources| sources.enter(source)) {
            Some(None) => continue,
            Some(place) => place,
            None => None,
        };
        let place = match settings.gate.enter() {
            Some(place) => place,
            None => match make_room(&crowd, &settings.gate).await {
                Some(place) => place,
                None => continue,
            },
        };
        if let Err(error) = stream.set_nodelay(true) {
            // The client has already gone.
            tracing::debug!(%error, "connection ended");
            continue;
        }
        let places = (place, source_place);
        let Some(number) = share.fewer() else {
            keep(stream, source, places, share.take_seat());
            continue;
        };
        match stream.into_std() {
            Ok(stream) => share.hand_over(number, Arrived { stream, source, places }),
            Err(error) => tracing::debug!(%error, "connection ended"),
        }
    }
    drop(listener);
    drop(open);
    stop_connections.trigger();
    if timeout(settings.grace, all_closed.recv()).await.is_err() {
        let open = settings.gate.inside();
        tracing::warn!(
            open,
            "requests were still running at the end of `shutdown_grace_secs`; they are abandoned"
        );
        // Dropping a request's future is what tells the service that it was abandoned.
        crowd.end_all();
        let _: Option<()> = all_closed.recv().await;
    }
}

/// Ends connections of this thread that wait, and takes a place that has become free.
async fn make_room(crowd: &Crowd, gate: &Arc<Gate>) -> Option<Place> {
    if crowd.end_waiting(Instant::now()) == 0 {
        return None;
    }
    // They have to be run once more to end.
    yield_now().await;
    gate.enter()
}

/// Whether accepting has failed for this connection alone, so that the next one may come at once (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says that connections cannot be accepted, rarely: it goes on for as long as there are no descriptors.
#[derive(Default)]
struct Troubles {
    told: Option<Instant>,
    untold: u64,
}

impl Troubles {
    fn tell(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.told.is_some_and(|told| now.duration_since(told) < TROUBLES_INTERVAL) {
            self.untold += 1;
            return;
        }
        tracing::warn!(%error, untold = self.untold, "cannot accept connections for a moment");
        *self = Self { told: Some(now), untold: 0 };
    }
}

fn register_gauges(metrics: &Metrics, settings: &Settings, budget: &Arc<Budget>) {
    /// Exact below 2^53, which memory does not reach.
    fn float(number: usize) -> f64 {
        number as f64
    }
    fn whole(number: usize) -> u64 {
        u64::try_from(number).unwrap_or(u64::MAX)
    }
    let (open, refused, budget) = (Arc::clone(&settings.gate), settings.clone(), Arc::clone(budget));
    metrics.register_gauge_fn(
        "strongroom_connections_open",
        "Connections open on the main listener.",
        Box::new(move || float(open.inside())),
    );
    metrics.register_counter_fn(
        "strongroom_connections_refused",
        "Connections that found too many open, altogether or from one source.",
        Box::new(move || {
            let of_sources = refused.sources.as_ref().map_or(0, |sources| sources.refused());
            whole(refused.gate.refused().saturating_add(of_sources))
        }),
    );
    let requests = Arc::clone(&settings.requests);
    metrics.register_gauge_fn(
        "strongroom_requests_open",
        "Requests being answered.",
        Box::new(move || float(requests.inside())),
    );
    let large = Arc::clone(&settings.large_requests);
    metrics.register_counter_fn(
        "strongroom_large_requests_refused",
        "Connections closed because too many were sending large requests.",
        Box::new(move || whole(large.refused())),
    );
    metrics.register_gauge_fn(
        "strongroom_bodies_bytes",
        "Memory of request bodies being read or answered.",
        Box::new(move || float(budget.in_use_bytes())),
    );
}

#[cfg(test)]
mod tests;
